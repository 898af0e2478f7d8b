package observed

import (
	"maps"
	"reflect"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// Defaults are the fields of an object that no field manager owns, because the API server has filled them in. Many
// follow from the object at that time, such as the policyTypes of a NetworkPolicy, and stay when the object changes.
type Defaults struct {
	object *unstructured.Unstructured
	fields []fieldpath.Path
}

// allotted are the fields in which the API server records what it has allocated to a Service. A dry run does not
// allocate. No field manager owns these fields, and they follow from nothing else in the object.
var allotted = []string{"clusterIP", "clusterIPs", "nodePort", "healthCheckNodePort"}

// HasDefaults reports whether the API server fills in fields of a kind's objects, as far as that is known. It does so
// for all but a few kinds.
func HasDefaults(kind schema.GroupKind) bool {
	switch kind.Group {
	case "rbac.authorization.k8s.io":
		return false
	case "":
		return !slices.Contains([]string{"ConfigMap", "Secret", "ServiceAccount"}, kind.Kind)
	}
	return true
}

// Owned returns the fields that any field manager owns.
func Owned(entries []metav1.ManagedFieldsEntry) *fieldpath.Set {
	owned := &fieldpath.Set{}
	for _, e := range entries {
		owned = owned.Union(setOf(e))
	}
	return owned
}

// DefaultsOf returns the defaults of an object, as the API server returned it. It needs no schema: a field without an
// owner is a field of a struct, and list items stay whole.
func DefaultsOf(object *unstructured.Unstructured, owned *fieldpath.Set) Defaults {
	d := Defaults{object: object}
	d.find(object.Object, owned, nil)
	return d
}

// None reports whether the object has no defaults.
func (d Defaults) None() bool { return len(d.fields) == 0 }

// find collects the fields below a value that no field manager owns. owned are the other fields, relative to the value.
func (d *Defaults) find(at any, owned *fieldpath.Set, path fieldpath.Path) {
	switch at := at.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(at)) {
			part := fieldpath.FieldNameElement(name)
			below, inside := owned.Children.Get(part)
			switch field := append(path[:len(path):len(path)], part); {
			case mayStay(field) || isKey(field) || slices.Contains(allotted, name):
			case inside:
				d.find(at[name], below, field)
			case !owned.Members.Has(part):
				d.fields = append(d.fields, field)
			}
		}
	case []any:
		items := &fieldpath.Set{} // those with fields that have an owner
		owned.Children.Iterate(items.Members.Insert)
		for _, item := range at {
			if part, found := itemIn(items, item); found {
				below, _ := owned.Children.Get(part)
				d.find(item, below, append(path[:len(path):len(path)], part))
			}
		}
	}
}

// Without returns a copy of the object without its defaults.
func (d Defaults) Without() *unstructured.Unstructured {
	bare := d.object.DeepCopy()
	for _, path := range d.fields {
		last := len(path) - 1
		parent, _ := fieldAt(bare.Object, path[:last]).(map[string]any)
		delete(parent, *path[last].FieldName)
	}
	return bare
}

// Stale returns the defaults that differ from those of an object whose defaults were all filled in again.
func (d Defaults) Stale(fresh *unstructured.Unstructured) *fieldpath.Set {
	stale := &fieldpath.Set{}
	for _, path := range d.fields {
		if !reflect.DeepEqual(fieldAt(d.object.Object, path), fieldAt(fresh.Object, path)) {
			stale.Insert(path)
		}
	}
	return stale
}

// Unowned returns the members of a set that no field manager owns.
func Unowned(fields *fieldpath.Set, entries []metav1.ManagedFieldsEntry) *fieldpath.Set {
	for _, e := range entries {
		if !isOurs(e) {
			fields = fields.RecursiveDifference(setOf(e))
		}
	}
	return fields
}

// fieldAt returns what an object has at a path; nil for nothing.
func fieldAt(at any, path fieldpath.Path) any {
	for _, part := range path {
		switch v := at.(type) {
		case map[string]any:
			if part.FieldName == nil {
				return nil
			}
			at = v[*part.FieldName]
		case []any:
			i := slices.IndexFunc(v, func(item any) bool { return isItem(part, item) })
			if i < 0 {
				return nil
			}
			at = v[i]
		default:
			return nil
		}
	}
	return at
}

// isItem reports whether a list item is the one that a path element names by its keys.
func isItem(part fieldpath.PathElement, item any) bool {
	fields, _ := item.(map[string]any)
	return part.Key != nil && !slices.ContainsFunc(*part.Key, func(f value.Field) bool {
		return !value.Equals(f.Value, value.NewValueInterface(fields[f.Name]))
	})
}
