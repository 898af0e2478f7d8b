// Package controlplane runs a Kubernetes control plane and one node. etcd runs in this process; the API server, the
// controller manager, the scheduler and the node are processes of the same binary. KWOK simulates the node, and then
// everything listens on the loopback address. Alternatively this machine is the node.
package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// The parts that run as separate processes. The binary takes the name of a part as its first argument. The files of the
// part are NAME.log and NAME.pid in the directory of the control plane.
const (
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Scheduler         = "kube-scheduler"
	KWOK              = "kwok"
)

// Config configures a control plane.
type Config struct {
	// Dir holds everything: the kubeconfig, credentials, etcd's data, logs. Run creates it if needed, and replaces the
	// files of an earlier run.
	Dir string
	// APIServerOnly runs only etcd and the API server: objects are stored and validated, and no controller acts on
	// them.
	APIServerOnly bool
	// Audit is the file for the API server's audit log, one JSON object per
	// request at level Metadata. Empty means none.
	Audit string
	// Machine makes this machine the node; nil means a simulated node.
	Machine *Machine
	// Progress is called with a line for the user after each step. It may be nil.
	Progress func(line string)
	// Ready is called once with the path of the administrator's kubeconfig, when everything answers. It may be nil.
	Ready func(kubeconfig string)
}

// A cluster is a running control plane.
type cluster struct {
	config      Config
	credentials *credentials
	host        string
	kubeconfig  string

	ready chan struct{}
	parts sync.WaitGroup
	// failed receives the failure of a part.
	failed chan error
}

// Run runs a control plane until ctx is done, which is not an error. A part that ends after it was ready is restarted;
// one that ends earlier is an error.
func Run(ctx context.Context, config Config) error {
	ctx, cancel := context.WithCancel(ctx)
	c := &cluster{
		config:     config,
		kubeconfig: filepath.Join(config.Dir, "kubeconfig"),
		ready:      make(chan struct{}),
		failed:     make(chan error, 4),
	}
	defer func() {
		cancel()
		c.parts.Wait()
	}()
	if err := c.up(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-c.failed:
		return err
	}
}

func (c *cluster) up(ctx context.Context) error {
	etcdDir := filepath.Join(c.config.Dir, "etcd")
	if err := os.RemoveAll(etcdDir); err != nil {
		return err
	}
	var err error
	if c.credentials, err = newCredentials(filepath.Join(c.config.Dir, "credentials"), c.config.Machine); err != nil {
		return err
	}
	if err := os.WriteFile(c.credentials.path("audit-policy.yaml"), []byte(auditPolicy), 0o600); err != nil {
		return err
	}
	etcd, etcdAddress, err := startEtcd(ctx, etcdDir, filepath.Join(c.config.Dir, "etcd.log"))
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, etcd.Server.HardStop)
	c.progress("etcd serves %s", etcdAddress)

	port, err := c.port(ctx)
	if err != nil {
		return err
	}
	c.host = fmt.Sprintf("https://%s:%d", c.config.Machine.address(), port)
	if err := c.credentials.writeKubeconfigs(c.host, c.kubeconfig); err != nil {
		return err
	}
	if err := c.startParts(ctx, etcdAddress, port); err != nil {
		return err
	}
	close(c.ready)
	if c.config.Ready != nil {
		c.config.Ready(c.kubeconfig)
	}
	return nil
}

// port returns the port of the API server: a free one or, on a machine with a network of its own, the usual one.
func (c *cluster) port(ctx context.Context) (int, error) {
	if c.config.Machine != nil {
		return machinePort, nil
	}
	port, err := reservePort()
	if err != nil {
		return 0, err
	}
	context.AfterFunc(ctx, port.release)
	return port.number, nil
}

func (c *cluster) startParts(ctx context.Context, etcd string, port int) error {
	probe, err := newProbe(c.credentials.config(c.host, adminUser), c.config.Machine.name())
	if err != nil {
		return err
	}
	c.run(ctx, apiServer(c.config, c.credentials, etcd, port))
	if err := c.wait(ctx, "the API server is ready", probe.apiServerReady); err != nil {
		return err
	}
	if c.config.APIServerOnly {
		return nil
	}
	if err := c.startNode(ctx, probe); err != nil {
		return err
	}
	c.run(ctx, controllerManager(c.credentials))
	c.run(ctx, scheduler(c.credentials))
	if err := c.wait(ctx, "the node is ready", probe.nodeReady); err != nil {
		return err
	}
	return c.wait(ctx, "the default service account is there", probe.controllersReady)
}

func (c *cluster) startNode(ctx context.Context, probe *probe) error {
	if m := c.config.Machine; m != nil {
		parts, err := m.parts(c.config.Dir, c.credentials)
		for _, p := range parts {
			c.run(ctx, p)
		}
		return errors.Join(err, probe.allowProxy(ctx))
	}
	if err := probe.createNode(ctx); err != nil {
		return err
	}
	c.run(ctx, kwokNode(c.credentials))
	return nil
}

func (c *cluster) run(ctx context.Context, p part) {
	process := newProcess(c.config.Dir, p)
	c.parts.Go(func() {
		if err := process.supervise(ctx, c.ready); err != nil {
			c.failed <- err
		}
	})
}

func (c *cluster) progress(format string, arguments ...any) {
	if c.config.Progress != nil {
		c.config.Progress(fmt.Sprintf(format, arguments...))
	}
}
