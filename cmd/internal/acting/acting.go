// Package acting writes what users may change: the settings of an Environment, and requests to the agent.
package acting

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
)

// Patcher changes objects. A client.Writer is one.
type Patcher interface {
	// Patch changes an object, and updates it to what the cluster has then.
	Patch(ctx context.Context, object client.Object, patch client.Patch, opts ...client.PatchOption) error
}

// Actor writes as one user.
type Actor struct {
	Client Patcher
	// Name is the field manager. It has to differ from the agent's, so that the agent never reverts these writes. Ids of
	// requests begin with it.
	Name string
	// User returns the name of the user, for the history of the Environment; nil, or empty: the history has none.
	User func(ctx context.Context) string
}

// Merge changes fields of an object; nil removes a field.
func (a Actor) Merge(ctx context.Context, object client.Object, fields map[string]any) error {
	patch, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	return a.Client.Patch(ctx, object, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(a.Name))
}

// Request requests something by an annotation, and returns the id that the status shows once it is handled.
func (a Actor) Request(ctx context.Context, object client.Object, annotation string) (id string, err error) {
	id = a.newID()
	if env, ok := object.(*v1alpha1.Environment); ok && annotation == v1alpha1.AnnotationConfirmed && env.Status.BlockedDeletions != nil {
		id += "@" + env.Status.BlockedDeletions.Digest // others may be blocked when the agent sees it
	}
	annotations := map[string]any{annotation: id}
	a.sign(ctx, object, annotations, requests[annotation])
	return id, a.Merge(ctx, object, map[string]any{"metadata": map[string]any{"annotations": annotations}})
}

// Annotate sets an annotation, or removes it if the value is nil.
func (a Actor) Annotate(ctx context.Context, object client.Object, annotation string, value any) error {
	return a.Merge(ctx, object, map[string]any{"metadata": map[string]any{"annotations": map[string]any{annotation: value}}})
}

// Set sets one field of a spec, or removes it if the value is nil.
func (a Actor) Set(ctx context.Context, object client.Object, field string, value any) error {
	actions := sets
	if value == nil {
		actions = removals
	}
	fields, annotations := map[string]any{"spec": map[string]any{field: value}}, map[string]any{}
	a.sign(ctx, object, annotations, actions[field])
	if len(annotations) > 0 {
		fields["metadata"] = map[string]any{"annotations": annotations}
	}
	return a.Merge(ctx, object, fields)
}

// newID returns an id that no other request has.
func (a Actor) newID() string {
	_, short, _ := strings.Cut(a.Name, "-")
	return short + "-" + strings.ToLower(rand.Text()[:12])
}
