// Package node runs a Kubernetes control plane with this machine as its node: a kubelet, kube-proxy, containerd and runc
// that run real containers. Everything is in a network, a mount and a process namespace of its own: nothing of the machine
// changes, nothing leaves it, and all of it ends with its first process.
//
// It needs Linux, root, and the programs that Missing names.
package node

import (
	"os"
	"path/filepath"
)

// Where things are inside.
const (
	// Address is that of the bridge that the pods are on, under which they reach this machine.
	Address = "10.244.0.1"
	pods    = "10.244.0.0/24"
	bridge  = "pods"
	// services is the range of the Services' addresses.
	services = "10.96.0.0/12"
)

// Config says where to run.
type Config struct {
	// Dir holds everything: the kubeconfig, credentials, containers, images, logs. It is made if needed, and must be on
	// a file system on which overlays can be mounted.
	Dir string
	// Pause is a static program that does nothing, of which the image of every pod's first container is made.
	Pause string
	// Progress is called with a line for a person when a step is done, and may be nil.
	Progress func(line string)
	// Ready is called once with the path of the administrator's kubeconfig, and may be nil.
	Ready func(kubeconfig string)
}

// socket is where containerd listens.
func socket(dir string) string { return filepath.Join(dir, "containerd", "containerd.sock") }

// inside is the variable that says to the program that it runs in namespaces of its own.
const inside = "BERTH_NODE_INSIDE"

// Inside reports whether this program runs in namespaces of its own, as Enter began it.
func Inside() bool { return os.Getenv(inside) != "" }
