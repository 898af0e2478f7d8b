// Package clustertest starts real Kubernetes control planes for tests, for scenarios and for the demo. A control
// plane is a process of its own: the binary .build/cluster, which "make cluster-binary" builds. It ends with the
// process that started it.
package clustertest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// startTimeout is far longer than a loaded machine needs to start a cluster.
const startTimeout = 3 * time.Minute

// Config configures a control plane.
type Config struct {
	// Dir holds the cluster's kubeconfig, credentials, data and logs. Empty means a temporary directory, which is
	// removed at the end.
	Dir string
	// APIServerOnly omits controllers, scheduler and node. Such a cluster is quicker and smaller, for tests that
	// only store objects. Nothing rolls out, Jobs do not run, and deleted namespaces stay.
	APIServerOnly bool
	// Audit makes the API server log its requests, for Requests.
	Audit bool
	// Binary is the path of another program that runs a cluster as .build/cluster does; empty means .build/cluster.
	// Flags are additional flags for it.
	Binary string
	Flags  []string
}

func (c Config) arguments(verb string) []string {
	arguments := []string{verb}
	if c.Dir != "" {
		arguments = append(arguments, "--dir", c.Dir)
	}
	if c.APIServerOnly {
		arguments = append(arguments, "--only-apiserver")
	}
	if c.Audit {
		arguments = append(arguments, "--audit")
	}
	return append(arguments, c.Flags...)
}

// A Cluster is a running control plane with one simulated node.
type Cluster struct {
	kubeconfig string
	admin      *rest.Config
	stop       func()
}

// Start starts a control plane that ends with the test.
func Start(t testing.TB, config Config) *Cluster {
	t.Helper()
	cluster, err := Run(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Stop)
	return cluster
}

// Shared returns a function that starts a control plane on its first call, and returns the same one on later calls.
// Tests of one package share it as a variable:
//
//	var cluster = clustertest.Shared(clustertest.Config{})
//
// It ends with the process, so there is nothing to clean up.
func Shared(config Config) func(testing.TB) *Cluster {
	start := sync.OnceValues(func() (*Cluster, error) { return Run(context.Background(), config) })
	return func(t testing.TB) *Cluster {
		t.Helper()
		cluster, err := start()
		if err != nil {
			t.Fatal(err)
		}
		return cluster
	}
}

// Run starts a control plane and returns when it is ready: the node accepts pods, and namespaces get their default
// service account. It ends on Stop, and whenever this process ends. The context limits only the start.
func Run(ctx context.Context, config Config) (*Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	binary, err := config.binary()
	if err != nil {
		return nil, err
	}
	command := exec.Command(binary, config.arguments("run")...)
	var complaints bytes.Buffer
	command.Stderr = &complaints
	input, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	output, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("cannot start a cluster: %w", err)
	}
	stop := sync.OnceFunc(func() {
		input.Close()
		// Its exit status adds nothing to its standard error.
		_ = command.Wait()
	})
	unblock := context.AfterFunc(ctx, func() { input.Close() })
	kubeconfig, err := awaitReady(output)
	if !unblock() || err != nil {
		stop()
		return nil, errors.Join(fmt.Errorf("cannot start a cluster: %w: %s", err, bytes.TrimSpace(complaints.Bytes())), ctx.Err())
	}
	cluster, err := Open(kubeconfig)
	if err != nil {
		stop()
		return nil, err
	}
	cluster.stop = stop
	return cluster, nil
}

// awaitReady reads lines of progress until the one that says "ready" and names
// the kubeconfig.
func awaitReady(output io.Reader) (string, error) {
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		if kubeconfig, ready := strings.CutPrefix(lines.Text(), "ready "); ready {
			return kubeconfig, nil
		}
	}
	return "", errors.Join(errors.New("it ended before it was ready"), lines.Err())
}

// Up starts a control plane in config.Dir that outlives this process, or finds the one that runs there. Down ends
// it. The writer receives progress messages.
func Up(ctx context.Context, config Config, progress io.Writer) (*Cluster, error) {
	binary, err := findBinary()
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, binary, config.arguments("up")...)
	command.Stdout, command.Stderr = progress, progress
	if err := command.Run(); err != nil {
		return nil, fmt.Errorf("cannot start a cluster in %q: %w", config.Dir, err)
	}
	return Open(filepath.Join(config.Dir, "kubeconfig"))
}

// Down ends the control plane that Up started in a directory, if it runs.
func Down(ctx context.Context, dir string) error {
	binary, err := findBinary()
	if err != nil {
		return err
	}
	output, err := exec.CommandContext(ctx, binary, "down", "--dir", dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("cannot stop the cluster in %q: %w: %s", dir, err, bytes.TrimSpace(output))
	}
	return nil
}

// Open returns the cluster of a kubeconfig's current context, whatever started it. Its files are written beside the
// kubeconfig.
func Open(kubeconfig string) (*Cluster, error) {
	admin, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig %q: %w", kubeconfig, err)
	}
	// Rate limits must not delay a test's own writes.
	admin.QPS = -1
	return &Cluster{kubeconfig: kubeconfig, admin: admin, stop: func() {}}, nil
}

func (c Config) binary() (string, error) {
	if c.Binary != "" {
		return c.Binary, nil
	}
	return findBinary()
}

// findBinary looks for the binary below the root of the repository. The root is above the working directory of
// every test and program here.
func findBinary() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		module, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && bytes.HasPrefix(module, []byte("module berth.dev/berth\n")) {
			break
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("cannot find the repository of berth.dev/berth above the working directory")
		}
		dir = parent
	}
	binary := filepath.Join(dir, ".build", "cluster")
	if _, err := os.Stat(binary); err != nil {
		return "", fmt.Errorf("cannot find the local cluster's binary: %w; run \"make cluster-binary\"", err)
	}
	return binary, nil
}

// RESTConfig returns a copy of the administrator's configuration, without a
// limit on the client's rate.
func (c *Cluster) RESTConfig() *rest.Config { return rest.CopyConfig(c.admin) }

// Kubeconfig returns the path of the administrator's kubeconfig.
func (c *Cluster) Kubeconfig() string { return c.kubeconfig }

// Dir returns the directory with the cluster's files.
func (c *Cluster) Dir() string { return filepath.Dir(c.kubeconfig) }

// Stop ends the cluster, unless Up started it, and returns when it is gone.
func (c *Cluster) Stop() { c.stop() }
