package environments

import (
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/reconciler/control"
)

// Wakes requeues Environments when something changed in the cluster.
type Wakes struct {
	control.Inbox
	name func(id string) (types.NamespacedName, bool)
}

// NewWakes returns Wakes for SetUp to connect to a controller.
func NewWakes() *Wakes { return &Wakes{Inbox: control.NewInbox()} }

// Wake requeues the Environment whose objects have this id in their label. It does not block.
func (w *Wakes) Wake(id string) {
	if name, ok := w.name(id); ok {
		w.Add(name)
	}
}
