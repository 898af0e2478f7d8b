package environments

import (
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/reconciler/control"
)

// Requeues requeue Environments when something changed in the cluster.
type Requeues struct {
	control.Inbox
	name func(id string) (types.NamespacedName, bool)
}

// NewRequeues returns Requeues for SetUp to connect to a controller.
func NewRequeues() *Requeues { return &Requeues{Inbox: control.NewInbox()} }

// Requeue requeues the Environment whose objects have this id in their label. It does not block.
func (w *Requeues) Requeue(id string) {
	if name, ok := w.name(id); ok {
		w.Add(name)
	}
}
