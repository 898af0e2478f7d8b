// Command demo shows the life of a branch with Berth, from the first push to its deletion. It leaves everything running
// for a closer look.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

const usage = `Usage, in the root of the repository:
  demo up     play the demo; what an earlier one left running is replaced
  demo down   stop what it left running
  demo forge  serve the merge requests of the demo; "up" starts it
Flags:
  --dir DIR           where everything lies (.build/demo-run)
  --bin DIR           where berth and gitserver lie (.build)
  --kubeconfig FILE   play on this cluster of yours, and not on a local one
  --yes               install into it without asking
`

func main() {
	if len(os.Args) < 2 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	flags := flag.NewFlagSet("demo", flag.ExitOnError)
	flags.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	dir := flags.String("dir", filepath.Join(".build", "demo-run"), "")
	bin := flags.String("bin", ".build", "")
	own := flags.String("kubeconfig", "", "")
	yes := flags.Bool("yes", false, "")
	_ = flags.Parse(os.Args[2:]) // ends the program instead
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1], options{dir: *dir, bin: *bin, kubeconfig: *own, confirmed: *yes}); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// options are the command line options.
type options struct {
	dir, bin, kubeconfig string
	confirmed            bool
}

func run(ctx context.Context, verb string, o options) error {
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return err
	}
	bin, err := filepath.Abs(o.bin)
	if err != nil {
		return err
	}
	s := &stage{dir: dir, bin: bin}
	switch verb {
	case "up":
		if o.kubeconfig != "" {
			if s.own, err = openOwn(o.kubeconfig); err != nil {
				return err
			}
		}
		return up(ctx, s, o)
	case "down":
		return s.clear(ctx)
	case "forge":
		return serveForge(ctx, os.Stdout)
	}
	return fmt.Errorf("unknown verb %q\n%s", verb, usage)
}

// up starts everything, plays the demo, and prints the next steps.
func up(ctx context.Context, s *stage, o options) error {
	t := newTeller(ctx, os.Stdout)
	if s.own != nil && !o.confirmed {
		if err := s.own.ask(os.Stdin, os.Stdout); err != nil {
			return err
		}
	}
	if err := s.clear(ctx); err != nil {
		return err
	}
	if s.own != nil {
		if err := s.own.free(ctx); err != nil {
			return err
		}
		t.patience = ownPatience
	}
	t.chapter("A Kubernetes control plane, a Git server, a forge, and Berth")
	if err := s.set(ctx, t); err != nil {
		return err
	}
	if err := play(s, t); err != nil {
		s.invite(t)
		return err
	}
	t.chapter(fmt.Sprintf("All %d steps were as expected. Everything still runs, so you can look closer", t.steps))
	s.invite(t)
	return nil
}
