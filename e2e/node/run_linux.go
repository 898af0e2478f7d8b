package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"berth.dev/berth/e2e/controlplane"
)

// pauseImage is the image of every pod's first container.
const pauseImage = "node.berth.dev/pause:1"

// Run runs a control plane with this machine as its node until ctx is done, which is not an error. It must be called
// inside the namespaces.
func Run(ctx context.Context, config Config) error {
	if !Inside() {
		return errors.New("a node would change the network of this machine: it has to run in namespaces of its own")
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if err := settle(); err != nil {
		return err
	}
	if err := startRuntime(ctx, config.Dir, cancel); err != nil {
		return err
	}
	pause := Image{Name: pauseImage, User: "65535:65535", Entrypoint: []string{"/pause"}, Programs: map[string]string{"pause": config.Pause}}
	if err := Import(ctx, config.Dir, pause); err != nil {
		return err
	}
	err := controlplane.Run(ctx, controlplane.Config{
		Dir:      config.Dir,
		Machine:  &controlplane.Machine{Address: Address, Pods: pods, Runtime: socket(config.Dir)},
		Progress: config.Progress, Ready: config.Ready,
	})
	if cause := context.Cause(ctx); err == nil && cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// startRuntime starts containerd, and waits until it answers. The node ends when containerd ends.
func startRuntime(ctx context.Context, dir string, ended context.CancelCauseFunc) error {
	home := filepath.Join(dir, "containerd")
	files := map[string]string{
		filepath.Join(home, "config.toml"):                       fmt.Sprintf(runtimeConfig, home, home, socket(dir), pauseImage, plugins, filepath.Join(home, "cni"), filepath.Join(home, "certs.d")),
		filepath.Join(home, "cni", "10-pods.conflist"):           fmt.Sprintf(networkConfig, bridge, filepath.Join(home, "addresses"), pods, Address),
		filepath.Join(home, "certs.d", "_default", "hosts.toml"): fmt.Sprintf(registryConfig, Registry),
		filepath.Join(home, "certs.d", Registry, "hosts.toml"):   fmt.Sprintf(registryConfig, Registry),
	}
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			return err
		}
	}
	log, err := os.Create(filepath.Join(dir, "containerd.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	command := exec.Command("containerd", "--config", filepath.Join(home, "config.toml"))
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		return fmt.Errorf("cannot start containerd: %w", err)
	}
	go func() {
		ended(fmt.Errorf("containerd ended (%v); its last words are in %s", command.Wait(), log.Name()))
	}()
	for {
		if err := ctr(ctx, dir, nil, "version"); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Import loads an image into a node, so that its pods need no registry.
func Import(ctx context.Context, dir string, image Image) error {
	var archive bytes.Buffer
	if err := image.Write(&archive); err != nil {
		return fmt.Errorf("packing the image %s: %w", image.Name, err)
	}
	return ctr(ctx, dir, &archive, "images", "import", "-")
}

// ctr runs containerd's command line client.
func ctr(ctx context.Context, dir string, input *bytes.Buffer, arguments ...string) error {
	command := exec.CommandContext(ctx, "ctr", append([]string{"--address", socket(dir), "--namespace", "k8s.io"}, arguments...)...)
	if input != nil {
		command.Stdin = input
	}
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("ctr %v: %w: %s", arguments, err, bytes.TrimSpace(output))
	}
	return nil
}

// runtimeConfig restricts OOM scores because a machine in a container may not lower them.
const runtimeConfig = `version = 2
root = "%s/root"
state = "%s/state"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
[grpc]
  address = "%s"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "%s"
  restrict_oom_score_adj = true
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "%s"
    conf_dir = "%s"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "%s"
`

const registryConfig = `server = "http://%[1]s"
[host."http://%[1]s"]
  capabilities = ["pull", "resolve"]
`

const networkConfig = `{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "%s", "isDefaultGateway": true, "ipMasq": false, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "%s", "ranges": [[{"subnet": "%s", "rangeStart": "10.244.0.10", "gateway": "%s"}]]}}
]}
`
