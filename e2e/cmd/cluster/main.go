// Command cluster runs a local Kubernetes cluster, for people, tests and the demo. It has etcd, the API server, the
// controller manager, the scheduler and a simulated node. Everything listens on free ports of the loopback address.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"

	"berth.dev/berth/e2e/controlplane"
	"berth.dev/berth/e2e/kwok"
	"berth.dev/berth/internal/clustertest"
)

const usage = `Usage:
  cluster up --dir DIR     start a cluster in the background and print its kubeconfig
  cluster down --dir DIR   stop it
  cluster run [--dir DIR]  run a cluster until standard input closes
Flags of up and run:
  --only-apiserver         nothing but etcd and the API server
  --audit                  log every request to DIR/audit.jsonl
`

func main() {
	if len(os.Args) < 2 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	verb, arguments := os.Args[1], os.Args[2:]
	switch verb {
	case controlplane.APIServer:
		runPart(verb, arguments, apiserver.NewAPIServerCommand())
	case controlplane.ControllerManager:
		runPart(verb, arguments, controllermanager.NewControllerManagerCommand())
	case controlplane.Scheduler:
		runPart(verb, arguments, scheduler.NewSchedulerCommand())
	case controlplane.KWOK:
		runPart(verb, arguments, newKWOKCommand())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := runVerb(ctx, verb, arguments); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// runPart runs one part of a control plane in this process. The part ends with the parent process, which holds the
// other end of its standard input.
func runPart(name string, arguments []string, command *cobra.Command) {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	os.Args = append([]string{name}, arguments...)
	command.SetArgs(arguments)
	os.Exit(cli.Run(command))
}

func newKWOKCommand() *cobra.Command {
	var kubeconfig string
	command := &cobra.Command{
		Use:  controlplane.KWOK,
		RunE: func(*cobra.Command, []string) error { return kwok.Run(context.Background(), kubeconfig) },
	}
	command.Flags().StringVar(&kubeconfig, "kubeconfig", "", "path of the kubeconfig")
	return command
}

// options are the flags of the user-facing commands.
type options struct {
	dir        string
	background bool
	audit      bool
	config     controlplane.Config
}

func parse(verb string, arguments []string) (options, error) {
	var o options
	flags := flag.NewFlagSet(verb, flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	flags.StringVar(&o.dir, "dir", "", "")
	flags.BoolVar(&o.config.APIServerOnly, "only-apiserver", false, "")
	flags.BoolVar(&o.audit, "audit", false, "")
	flags.BoolVar(&o.background, "background", false, "")
	if err := flags.Parse(arguments); err != nil {
		return o, err
	}
	if o.dir == "" && verb != "run" {
		return o, fmt.Errorf("cannot tell which cluster: give --dir DIR")
	}
	if o.dir == "" {
		return o, nil
	}
	var err error
	o.dir, err = filepath.Abs(o.dir)
	return o, err
}

func runVerb(ctx context.Context, verb string, arguments []string) error {
	o, err := parse(verb, arguments)
	if err != nil {
		return err
	}
	switch verb {
	case "up":
		return up(ctx, o, arguments)
	case "down":
		return down(ctx, o.dir)
	case "run":
		return run(ctx, o)
	default:
		return fmt.Errorf("unknown verb %q\n%s", verb, usage)
	}
}

// run runs a cluster in this process.
func run(ctx context.Context, o options) error {
	if o.dir == "" {
		dir, err := os.MkdirTemp("", "berth-cluster-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		o.dir = dir
	}
	release, err := claim(o.dir)
	if err != nil {
		return err
	}
	defer release()
	if !o.background {
		ctx = untilClosed(ctx, os.Stdin)
	}
	o.config.Dir = o.dir
	if o.audit {
		o.config.Audit = filepath.Join(o.dir, clustertest.AuditFile)
	}
	o.config.Progress = func(line string) { fmt.Println(line) }
	o.config.Ready = func(kubeconfig string) { fmt.Println("ready " + kubeconfig) }
	return controlplane.Run(ctx, o.config)
}

// untilClosed returns a context that ends at the end of a reader.
func untilClosed(ctx context.Context, reader io.Reader) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, reader)
	}()
	return ctx
}
