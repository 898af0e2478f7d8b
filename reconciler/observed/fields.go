package observed

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"berth.dev/berth/reconciler/manifest"
)

// people are the field managers of users' kubectl commands. The last one is the API server's name for the owner of
// whatever existed before the first apply. kubectl's commands for labels, annotations, scaling and restarts are not
// among them: what those add may stay.
var people = []string{
	"kubectl", "kubectl-client-side-apply", "kubectl-edit", "kubectl-patch", "kubectl-set", "kubectl-replace", "kubectl-create",
	"kubectl-rollout",
	"before-first-apply",
}

// isOurs reports whether an entry holds the fields that Berth applied.
func isOurs(e metav1.ManagedFieldsEntry) bool {
	return e.Manager == manifest.FieldManager && e.Operation == metav1.ManagedFieldsOperationApply && e.Subresource == "" && e.FieldsV1 != nil
}

func isPeoples(e metav1.ManagedFieldsEntry) bool {
	return e.Subresource == "" && e.FieldsV1 != nil && slices.Contains(people, e.Manager)
}

// setOf returns the fields of an entry; none if it cannot be read.
func setOf(e metav1.ManagedFieldsEntry) *fieldpath.Set {
	set := &fieldpath.Set{}
	if set.FromJSON(bytes.NewReader(e.FieldsV1.GetRawBytes())) != nil {
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

// Ownership returns the digest of the fields that Berth applied and still owns. It changes when another field manager
// changes or removes one of them, but not when others add their own fields. It is empty if Berth never applied the
// object.
func Ownership(fields []metav1.ManagedFieldsEntry) string {
	for _, f := range fields {
		if isOurs(f) {
			sum := sha256.Sum256(canonical(f.FieldsV1.GetRawBytes()))
			return manifest.Short(sum[:])
		}
	}
	return ""
}

// canonical sorts the keys, whose order may differ between the API server's answer to a write and a later watch event.
func canonical(raw []byte) []byte {
	var fields any
	if json.Unmarshal(raw, &fields) != nil {
		return raw
	}
	sorted, err := json.Marshal(fields)
	if err != nil {
		return raw
	}
	return sorted
}

// scaler returns the field manager that took the number of replicas from Berth through the scale subresource; empty for
// none.
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

// setsOurs reports whether a field is one that Berth applied.
func setsOurs(entries []metav1.ManagedFieldsEntry, path fieldpath.Path) bool {
	name := []byte(`"f:` + *path[len(path)-1].FieldName + `"`)
	i := slices.IndexFunc(entries, isOurs)
	return i >= 0 && bytes.Contains(entries[i].FieldsV1.GetRawBytes(), name) && setOf(entries[i]).Has(path)
}

// rival returns the field manager that wrote the object last, if that was after Berth; empty if it is not known.
func rival(entries []metav1.ManagedFieldsEntry) string {
	ours, others, name := lastWrites(entries, func(e metav1.ManagedFieldsEntry) bool { return e.Subresource != "status" })
	if others.Before(&ours) {
		return ""
	}
	return name
}

// MayBeOurs reports whether Berth may have made the last write of an object, status included. Times are in whole seconds,
// so a write of another client in the same second goes unnoticed.
func MayBeOurs(entries []metav1.ManagedFieldsEntry) bool {
	ours, others, _ := lastWrites(entries, func(metav1.ManagedFieldsEntry) bool { return true })
	return !ours.IsZero() && !ours.Before(&others)
}

// lastWrites returns when Berth and when another field manager last wrote, and the name of the latter. Only entries that
// count are considered.
func lastWrites(entries []metav1.ManagedFieldsEntry, counts func(metav1.ManagedFieldsEntry) bool) (ours, others metav1.Time, other string) {
	for _, e := range entries {
		switch {
		case !counts(e):
		case e.Manager == manifest.FieldManager:
			if ours.Before(e.Time) {
				ours = *e.Time
			}
		case others.Before(e.Time):
			others, other = *e.Time, e.Manager
		}
	}
	return ours, others, other
}

// isGits reports whether Berth wrote an annotation and still owns it.
func isGits(entries []metav1.ManagedFieldsEntry, annotation string) bool {
	path := fieldpath.MakePathOrDie("metadata", "annotations", annotation)
	return slices.ContainsFunc(entries, func(e metav1.ManagedFieldsEntry) bool {
		return e.Manager == manifest.FieldManager && e.Subresource == "" && setOf(e).Has(path)
	})
}

// OwnedByController reports whether a field manager other than Berth and users owns a top-level field of an object.
func OwnedByController(entries []metav1.ManagedFieldsEntry, field string) bool {
	path := fieldpath.MakePathOrDie(field)
	return slices.ContainsFunc(entries, func(e metav1.ManagedFieldsEntry) bool {
		return e.Manager != manifest.FieldManager && !isPeoples(e) && setOf(e).Has(path)
	})
}
