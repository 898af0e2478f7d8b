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
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(run(ctx, os.Args[1:], streams{in: input{os.Stdin, ctx}, out: os.Stdout, err: os.Stderr, program: os.Args[0]}))
}

// run runs a command line, and returns the exit code.
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
		text = "interrupted" // rather than the error of the interrupted call
	}
	if text != "" {
		fmt.Fprintln(s.err, "berth:", text)
	}
	return code
}

func newRoot(s streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "berth",
		Short: "Run an environment for every branch: a GitOps agent for Kubernetes",
		Args:  someCommand,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
		Long: `Berth applies the manifests of every branch of a Git repository to that branch's
namespace: production from main, and a preview of every feature branch, deleted
with the branch.

Exit codes: 0 fine, 1 differences or not healthy, 2 usage, 3 refused or failed.`,
		Example: `  berth get                            list environments and their status
  berth describe feature/login         show one environment, and why it is not healthy
  berth sync feature/login             sync a push now, and follow the progress
  berth ui                             open the environments in a browser
  berth render --path infra/review --branch feature/login   print what would be applied, without a cluster`,
		SilenceUsage:  true,
		SilenceErrors: true,
		// The largest edit distance at which a mistyped command gets a suggestion.
		SuggestionsMinimumDistance: 2,
		Annotations:                map[string]string{cobra.CommandDisplayNameAnnotation: s.displayName()},
	}
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError(c, "%w", err)
	})
	root.AddCommand(newAgent(s), newGet(s), newDescribe(s), newDiff(s), newSync(s), newWait(s), newRetry(s), newSuspend(s), newResume(s), newPin(s), newConfirm(s), newDelete(s), newRender(s), newSlug(s), newHealth(s), newCheck(s), newInstall(s), newUninstall(s), newCluster(s), newVersion(s), newKustomize(s), newUI(s))
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

// displayName returns the name by which Berth was called, which differs if it is a plugin of kubectl.
func (s streams) displayName() string {
	if plugin, ok := strings.CutPrefix(filepath.Base(s.program), "kubectl-"); ok {
		return "kubectl " + plugin
	}
	return "berth"
}

// someCommand rejects a first argument that is not a command.
func someCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if suggestions := c.SuggestionsFor(args[0]); len(suggestions) > 0 {
		return usageError(c, "there is no command %q; did you mean %s", args[0], strings.Join(suggestions, " or "))
	}
	return usageError(c, "there is no command %q", args[0])
}

// usageArgs turns errors in arguments into usage errors.
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

// usageError returns an error about the command line, which refers to the command's help.
func usageError(c *cobra.Command, format string, args ...any) error {
	return &codedError{code: exitUsage, err: fmt.Errorf(format+"; see %s --help", append(args, c.CommandPath())...)}
}

// errUnhealthy ends a command that has already printed what is wrong.
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
