package installation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"berth.dev/berth/health"
)

// manager is the field manager of an installation.
const manager = "berth-install"

// Action is what applying an object does.
type Action string

// The actions.
const (
	Create    Action = "create"
	Change    Action = "change"
	Unchanged Action = "unchanged"
)

// Step is the application of one object.
type Step struct {
	Object *unstructured.Unstructured
	Action Action
}

// Conflicts says what happens to fields that another field manager sets to another value.
type Conflicts string

const (
	// Refuse makes a conflict an error.
	Refuse Conflicts = "refuse"
	// Force overwrites the fields.
	Force Conflicts = "force"
)

// Installer applies an installation with the rights of its client.
type Installer struct {
	Client    dynamic.Interface
	Conflicts Conflicts
	// NamespaceFlag selects the namespace, for messages; empty is -n.
	NamespaceFlag string
	// Progress is called with each step after it was applied, and may be nil.
	Progress func(step Step)
}

// Plan returns what applying the objects does. It changes nothing: the API server checks each object in a dry run. The error
// joins the reasons why objects cannot be applied.
func (i *Installer) Plan(ctx context.Context, objects []*unstructured.Unstructured) ([]Step, error) {
	var steps []Step
	var errs []error
	absent := map[string]bool{} // namespaces
	for _, object := range objects {
		before, err := i.get(ctx, object)
		if apierrors.IsNotFound(err) && object.GetKind() == "Namespace" {
			absent[object.GetName()] = true
		}
		if err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, explained(object, err))
			continue
		}
		if before != nil {
			if err := i.refuse(before, object); err != nil {
				errs = append(errs, err)
				continue
			}
		}
		if absent[object.GetNamespace()] {
			steps = append(steps, Step{Object: object, Action: Create}) // a dry run would miss the namespace
			continue
		}
		after, err := i.apply(ctx, object, i.Conflicts, metav1.DryRunAll)
		if err != nil {
			errs = append(errs, explained(object, err))
			continue
		}
		steps = append(steps, Step{Object: object, Action: actionOf(before, after)})
	}
	return steps, joined(errs)
}

// mostErrors is how many errors a message names. A user without rights gets one for each object.
const mostErrors = 3

func joined(errs []error) error {
	if more := len(errs) - mostErrors; more > 0 {
		errs = append(errs[:mostErrors], fmt.Errorf("and %d more", more))
	}
	return errors.Join(errs...)
}

// refuse returns why an object must not be overwritten.
func (i *Installer) refuse(before, object *unstructured.Unstructured) error {
	release, helm := before.GetAnnotations()["meta.helm.sh/release-name"]
	switch {
	case object.GetKind() == "Namespace" && before.GetLabels()[partOf] != product:
		return fmt.Errorf("%s: it exists, and is not Berth's; choose another namespace with %s, or dedicate this one to Berth: kubectl label namespace %s %s=%s", Name(object), cmp.Or(i.NamespaceFlag, "-n"), object.GetName(), partOf, product)
	case helm && object.GetKind() == "Deployment":
		return fmt.Errorf("%s: Helm installed it, as the release %s; upgrade it with: helm upgrade %s deploy/chart -n %s", Name(object), release, release, object.GetNamespace())
	case i.Conflicts == Force || !isDefinition(object):
		return nil
	}
	if lost := missingIn(before, object); len(lost) > 0 {
		const most = 3
		named := strings.Join(lost[:min(most, len(lost))], ", ")
		return fmt.Errorf("%s: the installed one is newer than this berth: it has %s, which would be lost; use the newer berth, or overwrite it with --force-conflicts", Name(object), named)
	}
	return nil
}

// explained adds the next step to an error of the API server.
func explained(object *unstructured.Unstructured, err error) error {
	switch {
	case apierrors.IsConflict(err):
		return fmt.Errorf("%s: another client set fields to other values: %w; use that client, or overwrite the fields with --force-conflicts", Name(object), err)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%s: %w; installing needs the rights of a cluster administrator", Name(object), err)
	}
	return fmt.Errorf("%s: %w", Name(object), err)
}

// actionOf compares an object with the result of a dry run.
func actionOf(before, after *unstructured.Unstructured) Action {
	if before == nil {
		return Create
	}
	before, after = before.DeepCopy(), after.DeepCopy()
	for _, object := range []*unstructured.Unstructured{before, after} {
		object.SetManagedFields(nil)
		object.SetResourceVersion("")
		object.SetGeneration(0)
	}
	if equality.Semantic.DeepEqual(before.Object, after.Object) {
		return Unchanged
	}
	return Change
}

// Apply applies the steps of a plan in order. An object may follow its own definition.
func (i *Installer) Apply(ctx context.Context, steps []Step) error {
	for _, step := range steps {
		if _, err := i.apply(ctx, step.Object, i.Conflicts); err != nil {
			return explained(step.Object, err)
		}
		if isDefinition(step.Object) {
			if err := i.established(ctx, step.Object); err != nil {
				return err
			}
		}
		if i.Progress != nil {
			i.Progress(step)
		}
	}
	return nil
}

// established waits until the API server serves a kind.
func (i *Installer) established(ctx context.Context, definition *unstructured.Unstructured) error {
	return poll(ctx, func(ctx context.Context) (bool, error) {
		now, err := i.get(ctx, definition)
		return err == nil && health.Of(now).Status == health.Healthy, err
	})
}

func (i *Installer) get(ctx context.Context, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	found, err := i.of(object).Get(ctx, object.GetName(), metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return found, nil
}

func (i *Installer) apply(ctx context.Context, object *unstructured.Unstructured, conflicts Conflicts, dryRun ...string) (*unstructured.Unstructured, error) {
	text, err := object.MarshalJSON()
	if err != nil {
		return nil, err
	}
	force := conflicts == Force
	return i.of(object).Patch(ctx, object.GetName(), types.ApplyPatchType, text, metav1.PatchOptions{FieldManager: manager, Force: &force, DryRun: dryRun})
}

// of returns the client of an object's kind. All kinds of an installation have regular plurals.
func (i *Installer) of(object *unstructured.Unstructured) dynamic.ResourceInterface {
	resource, _ := meta.UnsafeGuessKindToResource(object.GroupVersionKind())
	if object.GetNamespace() == "" {
		return i.Client.Resource(resource)
	}
	return i.Client.Resource(resource).Namespace(object.GetNamespace())
}

// interval is the time between two requests of poll.
const interval = 300 * time.Millisecond

// poll calls look until it returns true or an error, or until the context ends. It then returns the context's cause.
func poll(ctx context.Context, look func(context.Context) (bool, error)) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		done, err := look(ctx)
		if err != nil && ctx.Err() != nil {
			return context.Cause(ctx) // the request was interrupted
		}
		if done || err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
