package live

import (
	"context"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
)

// marksPrefix is the prefix of the annotations of a namespace that are kept.
const marksPrefix = "berth.dev/"

// marksOf returns what a namespace says about the environment that it belongs to: its name, its label, Berth's annotations,
// and when its deletion began. It is nil for namespaces without the label.
func marksOf(o metav1.Object) *metav1.PartialObjectMetadata {
	id := o.GetLabels()[manifest.LabelEnvironment]
	if id == "" {
		return nil
	}
	marks := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Name:              o.GetName(),
		Labels:            map[string]string{manifest.LabelEnvironment: id},
		Annotations:       map[string]string{},
		DeletionTimestamp: o.GetDeletionTimestamp(),
	}}
	for name, value := range o.GetAnnotations() {
		if strings.HasPrefix(name, marksPrefix) {
			marks.Annotations[name] = value
		}
	}
	return marks
}

// WaitForNamespaces returns once the namespaces are known, or when the context ends.
func (w *Watches) WaitForNamespaces(ctx context.Context) error {
	select {
	case <-w.listed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// namespacesAreListed records that the namespaces are known.
func (w *Watches) namespacesAreListed() {
	select {
	case <-w.listed:
	default:
		close(w.listed)
	}
}

// Namespace returns what is known about a namespace, and whether it exists.
func (w *Watches) Namespace(name string) (observed.Object, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	o := w.find(manifest.Key{Kind: namespaceKind.Kind, Name: name})
	if o == nil {
		return observed.Object{}, false
	}
	return o.live, true
}

// Namespaces returns the marks of the namespaces that bear an environment's label, in any order. Those that were just
// written are missing until their watch brings them. Callers must not change the values.
func (w *Watches) Namespaces() []*metav1.PartialObjectMetadata {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []*metav1.PartialObjectMetadata
	for _, o := range w.kinds[namespaces].objects {
		if o.marks != nil {
			all = append(all, o.marks)
		}
	}
	return all
}

// noteStray records a namespace whose label is new, if its environment is not followed. before is nil for a new namespace.
func (w *Watches) noteStray(before, now *metav1.PartialObjectMetadata) {
	if now == nil || before != nil && before.Labels[manifest.LabelEnvironment] == now.Labels[manifest.LabelEnvironment] {
		return
	}
	if _, followed := w.environments[now.Labels[manifest.LabelEnvironment]]; !followed {
		w.strays = append(w.strays, now)
	}
}
