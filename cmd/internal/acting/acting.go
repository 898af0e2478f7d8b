// Package acting writes what users may change: the settings of an Environment, and requests to the agent.
package acting

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
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
	_, short, _ := strings.Cut(a.Name, "-")
	id = short + "-" + strings.ToLower(rand.Text()[:12])
	return id, a.Annotate(ctx, object, annotation, id)
}

// Annotate sets an annotation, or removes it if the value is nil.
func (a Actor) Annotate(ctx context.Context, object client.Object, annotation string, value any) error {
	return a.Merge(ctx, object, map[string]any{"metadata": map[string]any{"annotations": map[string]any{annotation: value}}})
}

// Set sets one field of a spec, or removes it if the value is nil.
func (a Actor) Set(ctx context.Context, object client.Object, field string, value any) error {
	return a.Merge(ctx, object, map[string]any{"spec": map[string]any{field: value}})
}
