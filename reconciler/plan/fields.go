package plan

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"berth.dev/berth/reconciler/manifest"
)

// people are the names under which the API server knows what persons do with kubectl, and what it calls
// the owner of all that was there before anybody applied anything. kubectl's commands for labels,
// annotations, scaling and restarts are not among them: what those add may stay.
var people = []string{
	"kubectl", "kubectl-client-side-apply", "kubectl-edit", "kubectl-patch", "kubectl-set", "kubectl-replace", "kubectl-create",
	"kubectl-rollout",
	"before-first-apply",
}

// Additions are the fields that people have added to an object of ours.
type Additions struct {
	// Manager is the name of who added them, or of the first of several.
	Manager string
	// Fields are the first few; More counts the rest.
	Fields []string
	More   int
}

// namedFields is how many fields a message names.
const namedFields = 3

// String says what was added, and by whom.
func (a Additions) String() string {
	text := a.Manager + " added " + strings.Join(a.Fields, ", ")
	if a.More > 0 {
		text += fmt.Sprintf(" and %d more", a.More)
	}
	return text
}

// isOurs says whether an entry has the fields that Berth applied.
func isOurs(e metav1.ManagedFieldsEntry) bool {
	return e.Manager == manifest.FieldManager && e.Operation == metav1.ManagedFieldsOperationApply && e.Subresource == "" && e.FieldsV1 != nil
}

func isPeoples(e metav1.ManagedFieldsEntry) bool {
	return e.Subresource == "" && e.FieldsV1 != nil && slices.Contains(people, e.Manager)
}

// setOf returns the fields of an entry; what cannot be read has none.
func setOf(e metav1.ManagedFieldsEntry) *fieldpath.Set {
	set := &fieldpath.Set{}
	if e.FieldsV1 == nil || set.FromJSON(bytes.NewReader(e.FieldsV1.GetRawBytes())) != nil {
		return &fieldpath.Set{}
	}
	return set
}

// ownSet returns the fields that Berth applied; nil if it never did.
func ownSet(entries []metav1.ManagedFieldsEntry) *fieldpath.Set {
	if i := slices.IndexFunc(entries, isOurs); i >= 0 {
		return setOf(entries[i])
	}
	return nil
}

// additions returns what people own beyond us; nil for nothing, as it is with most objects. It costs
// nothing where people have no entry.
func additions(entries []metav1.ManagedFieldsEntry) *Additions {
	var own *fieldpath.Set
	var a Additions
	for _, i := range mergeable(entries) {
		if own == nil {
			if own = ownSet(entries); own == nil {
				own = &fieldpath.Set{}
			}
		}
		for path := range setOf(entries[i]).Leaves().Difference(own).All() {
			if !mayStay(path) {
				a.add(entries[i].Manager, strings.TrimPrefix(beyond(path, own).String(), "."))
			}
		}
	}
	if a.Manager == "" {
		return nil
	}
	return &a
}

func (a *Additions) add(manager, field string) {
	switch {
	case a.Manager == "":
		a.Manager = manager
	case slices.Contains(a.Fields, field):
		return
	}
	if len(a.Fields) == namedFields {
		a.More++
		return
	}
	a.Fields = append(a.Fields, field)
}

// mergeable returns the indexes of people's entries whose fields can be compared with ours: those of the
// same version of the API, for a field's path may differ from version to version.
func mergeable(entries []metav1.ManagedFieldsEntry) []int {
	version := ""
	if i := slices.IndexFunc(entries, isOurs); i >= 0 {
		version = entries[i].APIVersion
	}
	var indexes []int
	for i, e := range entries {
		if !isPeoples(e) {
			continue
		}
		if version == "" {
			version = e.APIVersion
		}
		if e.APIVersion == version {
			indexes = append(indexes, i)
		}
	}
	return indexes
}

// beyond cuts a path off after the first part that is not in the set: an environment variable is named
// once, not by each of its fields.
func beyond(path fieldpath.Path, set *fieldpath.Set) fieldpath.Path {
	if set.Empty() {
		return path
	}
	for i, part := range path {
		below, inside := set.Children.Get(part)
		if !inside && !set.Members.Has(part) {
			return path[:i+1]
		}
		if set = below; set == nil {
			set = &fieldpath.Set{}
		}
	}
	return path
}

// takenFrom returns what Berth may take from an entry of people's.
func takenFrom(e metav1.ManagedFieldsEntry) *fieldpath.Set {
	taken := &fieldpath.Set{}
	for path := range setOf(e).All() {
		if !mayStay(path) {
			taken.Insert(path.Copy())
		}
	}
	return taken
}

// staying are the fields that people, and those who speak through them, may add to an object: labels,
// annotations and the like, how many replicas it has, how much a claim asks for, when it was restarted, and what the cluster itself
// has filled in, which the owner of "before-first-apply" stands for.
var staying = []fieldpath.Path{
	fieldpath.MakePathOrDie("apiVersion"),
	fieldpath.MakePathOrDie("kind"),
	fieldpath.MakePathOrDie("metadata"),
	fieldpath.MakePathOrDie("status"),
	replicas,
	storage,
	fieldpath.MakePathOrDie("spec", "template", "metadata", "annotations", "kubectl.kubernetes.io/restartedAt"),
	fieldpath.MakePathOrDie("spec", "volumeName"),
	fieldpath.MakePathOrDie("spec", "claimRef"),
	fieldpath.MakePathOrDie("spec", "nodeName"),
}

var replicas = fieldpath.MakePathOrDie("spec", "replicas")

func mayStay(path fieldpath.Path) bool {
	return slices.ContainsFunc(staying, func(s fieldpath.Path) bool {
		return len(path) >= len(s) && path[:len(s)].Equals(s)
	})
}

// TakeOver returns managed fields in which what people own, and may not keep, is ours: the next apply then
// removes of it what Git does not say. It is also how an object that kubectl made is adopted. It changes
// nothing that it is given.
func TakeOver(entries []metav1.ManagedFieldsEntry) ([]metav1.ManagedFieldsEntry, error) {
	theirs := mergeable(entries)
	if len(theirs) == 0 {
		return entries, nil
	}
	ours := metav1.ManagedFieldsEntry{
		Manager: manifest.FieldManager, Operation: metav1.ManagedFieldsOperationApply,
		APIVersion: entries[theirs[0]].APIVersion, FieldsType: "FieldsV1", Time: entries[theirs[0]].Time,
	}
	merged, result := &fieldpath.Set{}, make([]metav1.ManagedFieldsEntry, 0, len(entries)+1)
	for i, e := range entries {
		switch {
		case isOurs(e):
			ours, merged = e, merged.Union(setOf(e))
		case !slices.Contains(theirs, i):
			result = append(result, e)
		default:
			taken := takenFrom(e)
			merged = merged.Union(taken)
			rest := setOf(e).Difference(taken)
			if rest.Leaves().Empty() {
				continue
			}
			left, err := withFields(e, rest)
			if err != nil {
				return nil, err
			}
			result = append(result, left)
		}
	}
	ours, err := withFields(ours, merged)
	return append(result, ours), err
}

func withFields(e metav1.ManagedFieldsEntry, set *fieldpath.Set) (metav1.ManagedFieldsEntry, error) {
	text, err := set.ToJSON()
	if err != nil {
		return e, fmt.Errorf("writing the fields of %q: %w", e.Manager, err)
	}
	e.FieldsV1 = metav1.NewFieldsV1(string(text))
	return e, nil
}

// scaler returns who has set the number of replicas through the scale subresource, and so taken it from
// us; empty for nobody.
func scaler(entries []metav1.ManagedFieldsEntry) string {
	for _, e := range entries {
		if e.Subresource != "scale" || !setOf(e).Has(replicas) {
			continue
		}
		if !setsOurs(entries, replicas) {
			return e.Manager
		}
	}
	return ""
}

// setsOurs says whether a field is one that Berth applied.
func setsOurs(entries []metav1.ManagedFieldsEntry, path fieldpath.Path) bool {
	name := []byte(`"f:` + *path[len(path)-1].FieldName + `"`)
	i := slices.IndexFunc(entries, isOurs)
	return i >= 0 && bytes.Contains(entries[i].FieldsV1.GetRawBytes(), name) && setOf(entries[i]).Has(path)
}

func isKubectl(manager string) bool {
	return manager == "kubectl" || strings.HasPrefix(manager, "kubectl-")
}

// rival returns who wrote the object last, if that was after us and can be told.
func rival(entries []metav1.ManagedFieldsEntry) string {
	var ours, newest metav1.Time
	name := ""
	for _, e := range entries {
		switch {
		case e.Time == nil || e.Subresource == "status":
		case e.Manager == manifest.FieldManager:
			if ours.Before(e.Time) {
				ours = *e.Time
			}
		case newest.Before(e.Time):
			newest, name = *e.Time, e.Manager
		}
	}
	if newest.Before(&ours) {
		return ""
	}
	return name
}

// isGits says whether an annotation of a live object is as Berth wrote it.
func isGits(entries []metav1.ManagedFieldsEntry, annotation string) bool {
	path := fieldpath.MakePathOrDie("metadata", "annotations", annotation)
	return slices.ContainsFunc(entries, func(e metav1.ManagedFieldsEntry) bool {
		return e.Manager == manifest.FieldManager && e.Subresource == "" && setOf(e).Has(path)
	})
}
