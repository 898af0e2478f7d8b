package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/output"
)

// defaultTimeout is how long a command waits: longer than most rollouts, and than most pipelines like to wait.
const defaultTimeout = 10 * time.Minute

// followOptions are the flags of commands that wait for what becomes of an environment.
type followOptions struct {
	timeout time.Duration
	output  string
}

func (o *followOptions) addTo(c *cobra.Command) {
	c.Flags().DurationVar(&o.timeout, "timeout", defaultTimeout, "how long to wait")
	addOutput(c, &o.output, "json or yaml: print the Environment at the end, and the progress to the standard error", output.JSON, output.YAML)
}

// follower shows what becomes of an environment.
type follower struct {
	*viewer
	progress progress
	timeout  time.Duration
	out      io.Writer
	format   output.Format
}

func (o *followOptions) follower(c *cobra.Command, s streams, n *connection) (*follower, error) {
	f := &follower{timeout: o.timeout, out: s.out, format: formatTable}
	w := s.out
	var err error
	if o.output != "" {
		if f.format, err = output.Parse(o.output, output.JSON, output.YAML); err != nil {
			return nil, usageError(c, "%w", err)
		}
		w = s.err
	}
	if o.timeout <= 0 {
		return nil, usageError(c, "--timeout %s: there has to be some time to wait", o.timeout)
	}
	f.progress.view = newView(w)
	f.viewer, err = n.open()
	return f, err
}

// newView draws on a terminal, and prints line by line elsewhere.
func newView(w io.Writer) view {
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return &lines{w: w, shown: map[string]string{}}
	}
	return &screen{w: w, size: func() (int, int) {
		width, height, err := term.GetSize(int(file.Fd()))
		if err != nil || width == 0 || height == 0 { // a pipeline's terminal may have no size
			return 80, 24
		}
		return width, height
	}}
}

// one follows an Environment until it is judged; its end is a judgement too.
func (f *follower) one(ctx context.Context, env *v1alpha1.Environment, judge judgement) error {
	latest := env
	return f.until(ctx, "Environment "+env.Name, named(env.Name), func(all []client.Object) (*v1alpha1.Environment, verdict) {
		if len(all) == 0 {
			return latest, verdict{bad, "it is gone"}
		}
		latest = all[0].(*v1alpha1.Environment)
		return latest, judge(latest)
	})
}

// until follows Environments until the one that is chosen of them is judged. None may be there yet.
func (f *follower) until(ctx context.Context, what string, options []client.ListOption, choose func([]client.Object) (*v1alpha1.Environment, verdict)) error {
	waiting, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	var env *v1alpha1.Environment
	var v verdict
	there := ""
	err := f.attend(waiting, &environmentKind, append(f.among(""), options...), func(all []client.Object) bool {
		env, v = choose(all)
		switch {
		case env != nil:
			f.progress.environment(env, v)
		case !v.over():
			there = cmp.Or(there, known(environmentsOf(all))) // as it was at first, not a line for each that comes
			f.progress.say("waiting for the " + what + "; " + there)
		}
		return v.over()
	})
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted; the agent goes on")
	case errors.Is(err, context.DeadlineExceeded):
		return f.tooLate(what, env, v)
	case err != nil:
		return err
	}
	return f.conclude(env, v)
}

// conclude prints the Environment where that is asked for, and says why it is not as it should be.
func (f *follower) conclude(env *v1alpha1.Environment, v verdict) error {
	if f.format != formatTable && env != nil {
		printer := printer{kind: &environmentKind}
		printer.complete(env)
		f.progress.err = errors.Join(f.progress.err, f.format.Write(f.out, env))
	}
	switch {
	case f.progress.err != nil:
		return f.progress.err
	case v.stage == good:
		return nil
	case env == nil:
		return errors.New(v.why)
	case v.why != "": // whatever its health is
		return unhealthy("%s: %s; berth describe %s shows more", env.Name, v.why, env.Name)
	}
	return unhealthy("%s is not healthy: %s; berth describe %s shows more", env.Name, reasonOf(env, v), env.Name)
}

// tooLate says what was waited for in vain.
func (f *follower) tooLate(what string, env *v1alpha1.Environment, v verdict) error {
	switch {
	case env == nil:
		return unhealthy("waited %s for the %s, and there is none; berth get lists those there are, and berth get repo whether the Repository can be listed", f.timeout, what)
	case v.stage == stale:
		return unhealthy("waited %s, and the agent has not got to %s yet: its branch is listed at %s, and its status is that of %s, %s; does the agent run, and is its Repository Watching? berth check tells",
			f.timeout, env.Name, output.ShortCommit(env.Spec.Commit), env.Status.ShortCommit, readyOf(env.Status.Conditions).Reason)
	}
	return unhealthy("waited %s for %s: %s; berth describe %s shows more", f.timeout, env.Name, reasonOf(env, v), env.Name)
}

// reasonOf says why an Environment is not healthy.
func reasonOf(env *v1alpha1.Environment, v verdict) string {
	if v.why != "" {
		return v.why
	}
	ready := readyOf(env.Status.Conditions)
	return output.Plain(ready.Reason + ": " + ready.Message)
}

// unhealthy ends a command with what is not as it should be.
func unhealthy(format string, args ...any) error {
	return &codedError{code: exitDifferent, err: fmt.Errorf(format, args...)}
}

// named narrows a listing to one object.
func named(name string) []client.ListOption {
	return []client.ListOption{client.MatchingFields{"metadata.name": name}}
}
