// Command node runs a local Kubernetes cluster whose node is this machine, with real containers, for people and tests.
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
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"

	"berth.dev/berth/e2e/controlplane"
	"berth.dev/berth/e2e/node"
)

const usage = `Usage:
  node run --dir DIR --pause PROGRAM   run a cluster until standard input closes, and print its kubeconfig

Everything is in namespaces of its own. To look at it, as root: nsenter -t PID -a, with the PID that is printed.
`

func main() {
	if len(os.Args) < 2 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	switch name := os.Args[1]; name {
	case controlplane.APIServer:
		runPart(name, apiserver.NewAPIServerCommand())
	case controlplane.ControllerManager:
		runPart(name, controllermanager.NewControllerManagerCommand())
	case controlplane.Scheduler:
		runPart(name, scheduler.NewSchedulerCommand())
	case controlplane.Kubelet:
		runPart(name, kubelet.NewKubeletCommand(context.Background()))
	case controlplane.Proxy:
		runPart(name, proxy.NewProxyCommand())
	}
	code, err := run(os.Args[1], os.Args[2:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// runPart runs one part of the cluster in this process. The part ends with the parent process, which holds the other
// end of its standard input.
func runPart(name string, command *cobra.Command) {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	os.Args = append([]string{name}, os.Args[2:]...)
	command.SetArgs(os.Args[1:])
	os.Exit(cli.Run(command))
}

func run(verb string, arguments []string) (int, error) {
	flags := flag.NewFlagSet(verb, flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	dir, pause := flags.String("dir", "", ""), flags.String("pause", "", "")
	if err := flags.Parse(arguments); err != nil {
		return 2, err
	}
	if verb != "run" || *dir == "" || *pause == "" {
		return 2, fmt.Errorf("cannot tell what to run\n%s", usage)
	}
	if missing := node.Missing(); missing != "" {
		return 1, fmt.Errorf("%s", missing)
	}
	if !node.Inside() {
		return node.Enter()
	}
	absolute, err := filepath.Abs(*dir)
	if err != nil {
		return 1, err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, closed := context.WithCancel(ctx)
	go func() {
		defer closed()
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	return 0, node.Run(ctx, node.Config{
		Dir: absolute, Pause: *pause,
		Progress: func(line string) { fmt.Println(line) },
		Ready:    func(kubeconfig string) { fmt.Println("ready " + kubeconfig) },
	})
}
