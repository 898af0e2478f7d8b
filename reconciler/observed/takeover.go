package observed

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"berth.dev/berth/reconciler/manifest"
)

// TakeOver returns managed fields in which Berth owns the fields that users own and may not keep. The next apply then
// removes those that Git does not set. An object that kubectl created is also adopted in this way. TakeOver does not
// change its argument.
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

// takenFrom returns the fields that Berth may take from a user's entry.
func takenFrom(e metav1.ManagedFieldsEntry) *fieldpath.Set {
	taken := &fieldpath.Set{}
	for path := range setOf(e).All() {
		if !mayStay(path) {
			taken.Insert(path)
		}
	}
	return taken
}

// Claim returns managed fields in which Berth alone owns some fields of the object, whoever owned them before. The next
// apply then removes those that Git does not set. Entries of another version of the API lose all their fields, because
// their paths cannot be compared. Claim does not change its arguments.
func Claim(entries []metav1.ManagedFieldsEntry, fields *fieldpath.Set, version string) ([]metav1.ManagedFieldsEntry, error) {
	ours := metav1.ManagedFieldsEntry{Manager: manifest.FieldManager, Operation: metav1.ManagedFieldsOperationApply, APIVersion: version, FieldsType: "FieldsV1"}
	claimed, result := fields, make([]metav1.ManagedFieldsEntry, 0, len(entries)+1)
	for _, e := range entries {
		switch {
		case isOurs(e):
			ours, claimed = e, claimed.Union(setOf(e))
		case e.Subresource != "":
			result = append(result, e)
		case e.APIVersion == version:
			left := without(setOf(e), fields)
			if left.Empty() {
				continue
			}
			rest, err := withFields(e, left)
			if err != nil {
				return nil, err
			}
			result = append(result, rest)
		}
	}
	ours, err := withFields(ours, claimed)
	return append(result, ours), err
}

// without returns a set less some fields and all below them. It also removes a struct that contained them if the set
// has nothing else in that struct.
func without(set, fields *fieldpath.Set) *fieldpath.Set {
	left := set.RecursiveDifference(fields)
	contained := &fieldpath.Set{}
	for path := range left.All() {
		if !below(fields, path).Empty() {
			contained.Insert(path)
		}
	}
	others := left.Difference(contained)
	for path := range contained.All() {
		if !below(others, path).Empty() {
			others.Insert(path)
		}
	}
	return others
}
