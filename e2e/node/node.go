// Package node runs a Kubernetes control plane with this machine as its node: a kubelet, kube-proxy, containerd and
// runc run real containers. Everything has its own network, mount and process namespaces. Nothing of the machine
// changes, nothing leaves it, and everything ends with its first process.
//
// It needs Linux, root, and the programs that Missing names.
package node

import (
	"os"
	"path/filepath"
)

// Addresses and paths inside the namespaces.
const (
	// Address is the address of the pods' bridge, at which pods reach this machine.
	Address = "10.244.0.1"
	pods    = "10.244.0.0/24"
	bridge  = "pods"
	// Registry is the address from which all images are pulled that Import did not load. Tests may serve one there.
	Registry = Address + ":5000"
	// services is the range of the Services' addresses.
	services = "10.96.0.0/12"
)

// Config configures a node.
type Config struct {
	// Dir holds everything: the kubeconfig, credentials, containers, images, logs. Run creates it if needed. Its file
	// system must support overlay mounts.
	Dir string
	// Pause is a static program that does nothing. It becomes the image of every pod's first container.
	Pause string
	// Progress is called with a line for the user after each step. It may be nil.
	Progress func(line string)
	// Ready is called once with the path of the administrator's kubeconfig. It may be nil.
	Ready func(kubeconfig string)
}

// socket returns the path of containerd's socket.
func socket(dir string) string { return filepath.Join(dir, "containerd", "containerd.sock") }

// inside is the environment variable that marks a process that Enter started.
const inside = "BERTH_NODE_INSIDE"

// Inside reports whether this program runs in namespaces of its own, started by Enter.
func Inside() bool { return os.Getenv(inside) != "" }
