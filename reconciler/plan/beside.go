package plan

import (
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"

	"berth.dev/berth/reconciler/manifest"
)

// Beside are the fields that an object has in the cluster and that Git does not set, as far as they may be removed.
type Beside struct {
	git *fieldpath.Set
	// owned are those that another field manager owns, all also those that nobody does: defaults.
	owned, all *fieldpath.Set
}

// BesideGit compares the fields of a live object with those that Git sets, both in the same version of the API.
func BesideGit(live, git *fieldpath.Set, entries []metav1.ManagedFieldsEntry, version string) Beside {
	b := Beside{git: git, owned: &fieldpath.Set{}, all: &fieldpath.Set{}}
	theirs := &fieldpath.Set{}
	for _, e := range entries {
		if !isOurs(e) && e.APIVersion == version && e.Subresource == "" {
			theirs = theirs.Union(setOf(e))
		}
	}
	for path := range live.Difference(git).All() {
		if mayStay(path) || isKey(path) {
			continue
		}
		path = path.Copy()
		b.all.Insert(path)
		if theirs.Has(path) {
			b.owned.Insert(path)
		}
	}
	return b
}

// isKey says whether a path names the field by which a list item is known.
func isKey(path fieldpath.Path) bool {
	if len(path) < 2 {
		return false
	}
	field, item := path[len(path)-1].FieldName, path[len(path)-2].Key
	return field != nil && item != nil && slices.ContainsFunc(*item, func(f value.Field) bool { return f.Name == *field })
}

// Around returns growing sets of these fields, all of them around a field that the API server complains of: first
// what other managers own at that place, then also what nobody owns there, then the same for what contains it, up to
// the whole object. A list item that Git does not set is removed whole or not at all.
func (b Beside) Around(complaint fieldpath.Path) []*fieldpath.Set {
	for i, part := range complaint {
		if part.FieldName == nil && !b.git.Has(complaint[:i+1]) {
			complaint = complaint[:i+1]
			break
		}
	}
	var sets []*fieldpath.Set
	for n := len(complaint); n >= 0; n-- {
		for _, set := range []*fieldpath.Set{b.owned, b.all} {
			around := below(set, complaint[:n])
			if size := around.Size(); size > 0 && (len(sets) == 0 || size > sets[len(sets)-1].Size()) {
				sets = append(sets, around)
			}
		}
	}
	return sets
}

// Parts splits a set of these fields into what can stay or go by itself: a list item, or a field with all below it.
func (b Beside) Parts(set *fieldpath.Set) []*fieldpath.Set {
	var parts []*fieldpath.Set
	var roots []fieldpath.Path
	for path := range set.All() {
		root := beyond(path.Copy(), b.git)
		i := slices.IndexFunc(roots, root.Equals)
		if i < 0 {
			i, roots, parts = len(roots), append(roots, root), append(parts, &fieldpath.Set{})
		}
		parts[i].Insert(path.Copy())
	}
	return parts
}

// below returns the members of a set at a path or below it.
func below(set *fieldpath.Set, path fieldpath.Path) *fieldpath.Set {
	found := &fieldpath.Set{}
	for member := range set.All() {
		if len(member) >= len(path) && member[:len(path)].Equals(path) {
			found.Insert(member.Copy())
		}
	}
	return found
}

// Locate finds what a complaint of the API server names, "spec.ports[1].name", in the object that it complains of.
// It goes as deep as the object does.
func Locate(field string, object map[string]any, fields *fieldpath.Set) fieldpath.Path {
	var path fieldpath.Path
	var at any = object
	for _, name := range strings.FieldsFunc(dotless(field), func(r rune) bool { return r == '\x00' }) {
		switch v := at.(type) {
		case map[string]any:
			path, at = append(path, fieldpath.FieldNameElement(name)), v[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(v) {
				return path
			}
			item, ok := itemIn(fields, v[i])
			if !ok {
				return path // an atomic list, which Git sets whole or not at all
			}
			path, at = append(path, item), v[i]
		default:
			return path
		}
		if fields = fields.WithPrefix(path[len(path)-1]); fields == nil {
			fields = &fieldpath.Set{}
		}
	}
	return path
}

// dotless writes a field's path with zeros between its parts; what stands in brackets is one part, dots and all.
func dotless(field string) string {
	inBrackets := false
	return strings.Map(func(r rune) rune {
		switch {
		case r == '[':
			inBrackets = true
			return 0
		case r == ']':
			inBrackets = false
			return 0
		case r == '.' && !inBrackets:
			return 0
		}
		return r
	}, field)
}

// itemIn finds the path element of an item of a list: by its keys, some of which may be left to their defaults, or by
// its value.
func itemIn(list *fieldpath.Set, item any) (fieldpath.PathElement, bool) {
	fields, _ := item.(map[string]any)
	for element := range list.Members.All() {
		switch {
		case element.Value != nil && value.Equals(*element.Value, value.NewValueInterface(item)):
			return element, true
		case element.Key != nil && !slices.ContainsFunc(*element.Key, func(f value.Field) bool {
			v, set := fields[f.Name]
			return set && !value.Equals(f.Value, value.NewValueInterface(v))
		}):
			return element, true
		}
	}
	return fieldpath.PathElement{}, false
}

// Claim returns managed fields in which some fields of the object, whoever owns them, are Berth's alone: the next apply
// then removes of them what Git does not set. Entries of another version of the API, whose paths cannot be compared,
// lose all their fields. It changes nothing that it is given.
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

// without returns what is left of a set when some fields and all below them go. What contained them goes, too, if the
// set has nothing else in it: whoever owned all of a struct owned the struct.
func without(set, fields *fieldpath.Set) *fieldpath.Set {
	left := set.RecursiveDifference(fields)
	contained := &fieldpath.Set{}
	for path := range left.All() {
		if !below(fields, path).Empty() {
			contained.Insert(path.Copy())
		}
	}
	others := left.Difference(contained)
	for path := range contained.All() {
		if !below(others, path).Empty() {
			others.Insert(path.Copy())
		}
	}
	return others
}
