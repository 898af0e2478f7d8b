package apply

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"regexp"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
)

const (
	maxTrials = 40 // dry runs for one object
	maxClaims = 5  // tries to write the field owners
)

// mender finds fields of a live object, besides those that Git sets, that make the API server refuse the object from Git:
// another member of a union, a list item with the same name, an old default. It tests candidates by dry runs of the apply
// without them.
type mender struct {
	client  dynamic.ResourceInterface
	live    *unstructured.Unstructured
	version string
	merger  *merger
	beside  observed.Beside
	// growing has, for every field in the API server's refusal, the surrounding sets of fields that remain to be
	// tried, and the current one.
	growing map[string]*growth
	trials  int
	// tried is the result of the last try.
	tried merged
}

type growth struct {
	now  *fieldpath.Set
	next []*fieldpath.Set
}

// mend applies an object that the API server refused because of other fields of the live object. It removes those in the
// same write, once a dry run has proven that nothing else is wrong. If it cannot be mended, the first refusal stands.
func (r *run) mend(ctx context.Context, client dynamic.ResourceInterface, s plan.Step, obj *unstructured.Unstructured, refusal error) (*unstructured.Unstructured, error) {
	_, atFault := r.prove(ctx, client, s)
	if sharesCause(atFault, refusal) {
		return nil, refusal // the remaining fields do not matter
	}
	m, err := r.mender(ctx, client, s, obj)
	if err != nil {
		return nil, refusal
	}
	remove, answer, err := m.find(ctx, refusal)
	if err != nil || len(r.dryRun) > 0 {
		return m.fresh(ctx, s, answer), err
	}
	if err := r.claim(ctx, client, m.live, remove); err != nil {
		return nil, err
	}
	if err := r.hold(ctx, client, s, obj); err != nil { // the claim changed its version
		return nil, err
	}
	if err := r.freshen(ctx, client, s, obj); err != nil {
		return nil, err
	}
	return r.patch(ctx, client, obj)
}

func (r *run) mender(ctx context.Context, client dynamic.ResourceInterface, s plan.Step, obj *unstructured.Unstructured) (*mender, error) {
	live, err := client.Get(ctx, s.Key.Name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	if s.TakeOver != nil { // fields that people own are removed in any case
		entries, err := observed.TakeOver(live.GetManagedFields())
		if err != nil {
			return nil, err
		}
		live.SetManagedFields(entries)
	}
	types, err := r.schemas.of(obj.GroupVersionKind().GroupVersion())
	if err != nil {
		return nil, err
	}
	merger, err := newMerger(types, live, obj)
	if err != nil {
		return nil, err
	}
	there, err := merger.live.ToFieldSet()
	if err != nil {
		return nil, err
	}
	git, err := r.fieldsOf(types, s)
	if err != nil {
		return nil, err
	}
	m := &mender{client: client, live: live, version: obj.GetAPIVersion(), merger: merger, growing: map[string]*growth{}}
	m.beside = observed.BesideGit(there, git, live.GetManagedFields(), m.version)
	return m, m.merge(&fieldpath.Set{})
}

// fieldsOf returns the fields that Git sets, including those that are left to other owners.
func (r *run) fieldsOf(types managedfields.TypeConverter, s plan.Step) (*fieldpath.Set, error) {
	whole, err := r.marked(s.Object)
	if err != nil {
		return nil, err
	}
	typed, err := types.ObjectToTyped(whole)
	if err != nil {
		return nil, err
	}
	return typed.ToFieldSet()
}

// find returns the smallest set of fields without which the API server accepts the object, and the answer to the dry run
// that proves it. It starts with the fields closest to those in the refusal.
func (m *mender) find(ctx context.Context, refusal error) (*fieldpath.Set, *unstructured.Unstructured, error) {
	for {
		if !m.grow(refusal) {
			return nil, nil, refusal
		}
		remove := m.now()
		answer, err := m.try(ctx, remove)
		switch {
		case err == nil:
			return m.spare(ctx, remove), answer, nil
		case !isMendable(err) || m.trials >= maxTrials:
			return nil, nil, refusal
		}
		refusal = err
	}
}

// grow adds the fields to remove because of a refusal, and reports whether there are new ones.
func (m *mender) grow(refusal error) (more bool) {
	for _, field := range complaints(refusal) {
		path := observed.Locate(field, m.tried.object.Object, m.tried.fields)
		g := m.growing[path.String()]
		if g == nil {
			g = &growth{now: &fieldpath.Set{}, next: m.beside.Around(path)}
			m.growing[path.String()] = g
		}
		if len(g.next) > 0 {
			g.now, g.next, more = g.next[0], g.next[1:], true
		}
	}
	return more
}

// fresh returns the answer to a dry run without stale defaults. Its managed fields are those of a patch, not of an
// apply.
func (m *mender) fresh(ctx context.Context, s plan.Step, answer *unstructured.Unstructured) *unstructured.Unstructured {
	if answer != nil && s.Action == plan.Change {
		_, answer = fresh(ctx, m.client, answer, m.tried.owned)
	}
	return answer
}

func (m *mender) now() *fieldpath.Set {
	all := &fieldpath.Set{}
	for _, g := range m.growing {
		all = all.Union(g.now)
	}
	return all
}

// spare keeps every part of the fields that does not have to be removed.
func (m *mender) spare(ctx context.Context, remove *fieldpath.Set) *fieldpath.Set {
	parts := m.beside.Parts(remove)
	for i := 0; i < len(parts) && len(parts) > 1 && m.trials < maxTrials; {
		without := slices.Delete(slices.Clone(parts), i, i+1)
		if _, err := m.try(ctx, union(without)); err == nil {
			parts = without
		} else {
			i++
		}
	}
	return union(parts)
}

func union(sets []*fieldpath.Set) *fieldpath.Set {
	all := &fieldpath.Set{}
	for _, set := range sets {
		all = all.Union(set)
	}
	return all
}

// try makes a dry run of the apply without some fields.
func (m *mender) try(ctx context.Context, remove *fieldpath.Set) (*unstructured.Unstructured, error) {
	m.trials++
	if err := m.merge(remove); err != nil {
		return nil, err
	}
	return become(ctx, m.client, m.live, m.tried.object)
}

func (m *mender) merge(remove *fieldpath.Set) error {
	entries, err := observed.Claim(m.live.GetManagedFields(), remove, m.version)
	if err != nil {
		return err
	}
	m.tried, err = m.merger.merge(entries)
	return err
}

// become makes a dry run that turns a live object into the wanted one. The API server may set defaults.
func become(ctx context.Context, client dynamic.ResourceInterface, live, wanted *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	body, err := json.Marshal(difference(live, wanted))
	if err != nil {
		return nil, err
	}
	return client.Patch(ctx, live.GetName(), types.JSONPatchType, body, metav1.PatchOptions{
		FieldManager:    manifest.FieldManager,
		FieldValidation: metav1.FieldValidationStrict,
		DryRun:          []string{metav1.DryRunAll},
	})
}

// difference returns the JSON patch from a live object to the wanted one.
func difference(live, wanted *unstructured.Unstructured) []map[string]any {
	patch := []map[string]any{
		{"op": "add", "path": "/metadata/labels", "value": wanted.GetLabels()},
		{"op": "add", "path": "/metadata/annotations", "value": wanted.GetAnnotations()},
	}
	for _, field := range slices.Sorted(maps.Keys(live.Object)) {
		if _, stays := wanted.Object[field]; !stays {
			patch = append(patch, map[string]any{"op": "remove", "path": "/" + field})
		}
	}
	for _, field := range slices.Sorted(maps.Keys(wanted.Object)) {
		if !slices.Contains([]string{"apiVersion", "kind", "metadata", "status"}, field) {
			patch = append(patch, map[string]any{"op": "add", "path": "/" + field, "value": wanted.Object[field]})
		}
	}
	return patch
}

// claim makes Berth the owner of fields of an object, so that the next apply removes those that Git does not set. It is
// retried a few times, because controllers may write the status at any time. A crash before the apply shows as drift.
func (r *run) claim(ctx context.Context, client dynamic.ResourceInterface, live *unstructured.Unstructured, fields *fieldpath.Set) error {
	for tries := 1; ; tries++ {
		entries, err := observed.Claim(live.GetManagedFields(), fields, live.GetAPIVersion())
		if err != nil {
			return err
		}
		err = r.setManagedFields(ctx, client, live, entries)
		if !apierrors.IsConflict(err) || tries == maxClaims {
			return err
		}
		if live, err = client.Get(ctx, live.GetName(), metav1.GetOptions{}); err != nil {
			return err
		}
	}
}

// isMendable reports whether a refusal concerns fields that an apply could remove. Objects that a policy or webhook refuses
// cannot be mended, because it would refuse the claim too.
func isMendable(err error) bool {
	return apierrors.IsInvalid(err) && classOf(err) == Invalid && len(complaints(err)) > 0 && !isOtherUID(err)
}

// complaints returns the fields that the API server names in a refusal.
func complaints(err error) []string {
	var fields []string
	for _, c := range causesOf(err) {
		if c.Field != "" && !slices.Contains(fields, c.Field) {
			fields = append(fields, c.Field)
		}
	}
	slices.Sort(fields)
	return fields
}

func causesOf(err error) []metav1.StatusCause {
	var answer apierrors.APIStatus
	if !errors.As(err, &answer) || answer.Status().Details == nil {
		return nil
	}
	return answer.Status().Details.Causes
}

var listIndex = regexp.MustCompile(`\[\d+\]`)

// sharesCause reports whether two refusals have a cause in common, whatever the item's index in its list.
func sharesCause(a, b error) bool {
	causes := causesOf(b)
	return slices.ContainsFunc(causesOf(a), func(one metav1.StatusCause) bool {
		return slices.ContainsFunc(causes, func(other metav1.StatusCause) bool {
			return one.Message == other.Message && listIndex.ReplaceAllString(one.Field, "") == listIndex.ReplaceAllString(other.Field, "")
		})
	})
}
