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

// defaultTimeout is how long a command waits. Most rollouts take less.
const defaultTimeout = 10 * time.Minute

// followOptions are the flags of commands that wait for an environment.
type followOptions struct {
	timeout time.Duration
	output  string
}

func (o *followOptions) addTo(c *cobra.Command) {
	c.Flags().DurationVar(&o.timeout, "timeout", defaultTimeout, "maximum time to wait")
	addOutput(c, &o.output, "format of the Environment that is printed at the end, json or yaml; the progress then goes to the standard error", output.JSON, output.YAML)
}

// follower shows the progress of an environment.
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
		return nil, usageError(c, "--timeout %s must be more than 0", o.timeout)
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

// one follows an Environment until there is a verdict on it. Its deletion is a verdict too.
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

// until follows Environments until there is a verdict on the one that choose returns. It need not exist yet.
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
			there = cmp.Or(there, known(environmentsOf(all))) // only the first answer, to not print a line for each new one
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

// conclude prints the Environment if -o is given, and returns an error if it is not healthy.
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

// tooLate returns the error of a timeout.
func (f *follower) tooLate(what string, env *v1alpha1.Environment, v verdict) error {
	switch {
	case env == nil:
		return unhealthy("waited %s for the %s, and there is none; berth get lists environments, and berth get repo shows whether branches can be listed", f.timeout, what)
	case v.stage == stale:
		return unhealthy("waited %s, and the agent has not reconciled %s yet: its branch is at %s, and its status is for %s, %s; to find out whether the agent runs and its Repository is Watching: berth check",
			f.timeout, env.Name, output.ShortCommit(env.Spec.Commit), env.Status.ShortCommit, readyOf(env.Status.Conditions).Reason)
	}
	return unhealthy("waited %s for %s: %s; berth describe %s shows more", f.timeout, env.Name, reasonOf(env, v), env.Name)
}

// reasonOf returns why an Environment is not healthy.
func reasonOf(env *v1alpha1.Environment, v verdict) string {
	if v.why != "" {
		return v.why
	}
	ready := readyOf(env.Status.Conditions)
	return output.Plain(ready.Reason + ": " + ready.Message)
}

// unhealthy returns an error with the exit code for an unhealthy environment.
func unhealthy(format string, args ...any) error {
	return &codedError{code: exitDifferent, err: fmt.Errorf(format, args...)}
}

// named narrows a listing to one object.
func named(name string) []client.ListOption {
	return []client.ListOption{client.MatchingFields{"metadata.name": name}}
}
