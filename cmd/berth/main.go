// Berth makes every branch of a Git repository an environment in a Kubernetes cluster.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
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
	defer stop()
	os.Exit(run(ctx, os.Args[1:], streams{out: os.Stdout, err: os.Stderr}))
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
	if text := err.Error(); text != "" {
		fmt.Fprintln(s.err, "berth:", text)
	}
	return code
}

func newRoot(s streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "berth",
		Short: "Every branch its environment: a GitOps agent for Kubernetes",
		Long: `Berth applies the manifests of every branch of a Git repository into that branch's
namespace: production from main, a preview of every feature branch, gone when the
branch is gone.

Exit codes: 0 fine, 1 differences or not healthy, 2 usage, 3 refused or failed.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetOut(s.out)
	root.SetErr(s.err)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return &codedError{code: exitUsage, err: fmt.Errorf("%w; see %s --help", err, c.CommandPath())}
	})
	root.AddCommand(newAgent(s), newVersion(s))
	return root
}

// streams are where a command writes.
type streams struct {
	out, err interface{ Write([]byte) (int, error) }
}

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
