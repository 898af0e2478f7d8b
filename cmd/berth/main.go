// Berth makes every branch of a Git repository an environment in a Kubernetes cluster.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// The exit codes, as `berth --help` documents them.
const (
	exitDifferent = 1 // there are differences, or something is not healthy
	exitUsage     = 2 // the command line is wrong
	exitFailed    = 3 // something was refused, or failed
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program whatever it is doing
	os.Exit(run(ctx, os.Args[1:], streams{in: input{os.Stdin, ctx}, out: os.Stdout, err: os.Stderr, program: os.Args[0]}))
}

// run carries out a command line, and returns the exit code.
func run(ctx context.Context, args []string, s streams) int {
	root := newRoot(s)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	code := exitFailed
	if coded, ok := errors.AsType[*codedError](err); ok {
		code = coded.code
	}
	text := err.Error()
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		text = "interrupted" // and not what happened to be under way
	}
	if text != "" {
		fmt.Fprintln(s.err, "berth:", text)
	}
	return code
}

func newRoot(s streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "berth",
		Short: "Every branch its environment: a GitOps agent for Kubernetes",
		Args:  someCommand,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
		Long: `Berth applies the manifests of every branch of a Git repository into that branch's
namespace: production from main, a preview of every feature branch, gone when the
branch is gone.

Exit codes: 0 fine, 1 differences or not healthy, 2 usage, 3 refused or failed.`,
		Example: `  berth get                            what runs, and how it is
  berth describe feature/login         everything about one environment, and why it is not healthy
  berth sync feature/login             have a push looked at now, and see how it goes
  berth render --path infra/review --branch feature/login   what would be applied; needs no cluster`,
		SilenceUsage:  true,
		SilenceErrors: true,
		// As far from a command as a mistake may be to be taken for it.
		SuggestionsMinimumDistance: 2,
		Annotations:                map[string]string{cobra.CommandDisplayNameAnnotation: s.displayName()},
	}
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError(c, "%w", err)
	})
	root.AddCommand(newAgent(s), newGet(s), newDescribe(s), newDiff(s), newSync(s), newWait(s), newRetry(s), newSuspend(s), newResume(s), newPin(s), newConfirm(s), newDelete(s), newRender(s), newSlug(s), newHealth(s), newCheck(s), newVersion(s), newKustomize(s))
	for _, c := range root.Commands() {
		c.Args = usageArgs(c.Args)
	}
	return root
}

// streams are what a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
	// program is the name by which Berth was called.
	program string
}

// displayName is how people call Berth: as a plugin, kubectl finds it by its file name.
func (s streams) displayName() string {
	if plugin, ok := strings.CutPrefix(filepath.Base(s.program), "kubectl-"); ok {
		return "kubectl " + plugin
	}
	return "berth"
}

// someCommand is the answer to a first argument that is no command.
func someCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if suggestions := c.SuggestionsFor(args[0]); len(suggestions) > 0 {
		return usageError(c, "there is no command %q; did you mean %s", args[0], strings.Join(suggestions, " or "))
	}
	return usageError(c, "there is no command %q", args[0])
}

// usageArgs makes mistakes in arguments mistakes in usage.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if check == nil {
			return nil
		}
		err := check(c, args)
		if _, ok := errors.AsType[*codedError](err); ok || err == nil {
			return err
		}
		return usageError(c, "%w", err)
	}
}

// usageError is a mistake in a command line, with where to read on.
func usageError(c *cobra.Command, format string, args ...any) error {
	return &codedError{code: exitUsage, err: fmt.Errorf(format+"; see %s --help", append(args, c.CommandPath())...)}
}

// errUnhealthy ends a command that has already said what is wrong.
var errUnhealthy = &codedError{code: exitDifferent}

// codedError is an error with an exit code of its own.
type codedError struct {
	code int
	err  error
}

func (e *codedError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *codedError) Unwrap() error { return e.err }
