package observed

import (
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// Beside are the fields of a live object that Git does not set and that may be removed.
type Beside struct {
	git *fieldpath.Set
	// owned are the fields that another field manager owns. all also has those that no field manager owns: defaults.
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
		b.all.Insert(path)
		if theirs.Has(path) {
			b.owned.Insert(path)
		}
	}
	return b
}

// isKey reports whether a path names a field that identifies a list item.
func isKey(path fieldpath.Path) bool {
	if len(path) < 2 {
		return false
	}
	field, item := path[len(path)-1].FieldName, path[len(path)-2].Key
	return field != nil && item != nil && slices.ContainsFunc(*item, func(f value.Field) bool { return f.Name == *field })
}

// Around returns growing sets of these fields around a field that the API server rejects. The first set is what other
// managers own at that place. The second adds what no manager owns there. The next sets do the same for each parent of
// the field, up to the whole object. A list item that Git does not set is removed whole or not at all.
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

// Parts splits a set of these fields into parts that can be removed independently. A part is a list item, or a field
// with everything below it.
func (b Beside) Parts(set *fieldpath.Set) []*fieldpath.Set {
	var parts []*fieldpath.Set
	var roots []fieldpath.Path
	for path := range set.All() {
		root := beyond(path.Copy(), b.git)
		i := slices.IndexFunc(roots, root.Equals)
		if i < 0 {
			i, roots, parts = len(roots), append(roots, root), append(parts, &fieldpath.Set{})
		}
		parts[i].Insert(path)
	}
	return parts
}

// below returns the members of a set at a path or below it.
func below(set *fieldpath.Set, path fieldpath.Path) *fieldpath.Set {
	found := &fieldpath.Set{}
	for member := range set.All() {
		if len(member) >= len(path) && member[:len(path)].Equals(path) {
			found.Insert(member)
		}
	}
	return found
}

// Locate returns the path of a field that an error of the API server names, such as "spec.ports[1].name". It goes as
// deep as the rejected object does.
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
		fields = fields.WithPrefix(path[len(path)-1])
	}
	return path
}

// dotless returns a field's path with zero bytes between its parts. Text in brackets is one part, with its dots.
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

// itemIn returns the path element of a list item, by its value or by its keys. It ignores keys that the item leaves to
// their defaults.
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
