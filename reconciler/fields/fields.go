// Package fields compares objects field by field, for people.
package fields

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/reconciler/manifest"
)

// Change is a field that differs; nil means that the field does not exist.
type Change struct {
	Path string `json:"path"`
	Old  any    `json:"old,omitempty"`
	New  any    `json:"new,omitempty"`
}

// bookkeeping are the fields that only the API server and Berth set, never users.
var bookkeeping = []string{
	"metadata.managedFields", "metadata.resourceVersion", "metadata.generation", "metadata.uid", "metadata.creationTimestamp", "metadata.selfLink",
	"metadata.labels." + manifest.LabelEnvironment,
	"metadata.annotations." + manifest.AnnotationDigest,
	"metadata.annotations." + manifest.AnnotationRepository,
	"metadata.annotations." + manifest.AnnotationBranch,
	"metadata.annotations." + manifest.AnnotationEnvironment,
	"metadata.annotations.kubectl.kubernetes.io/last-applied-configuration",
	"status",
}

// Compare returns the differences between two states of an object, sorted by path. Either may be nil.
func Compare(before, after *unstructured.Unstructured) []Change {
	c := comparison{}
	c.compare("", contentOf(before), contentOf(after))
	return c.sorted()
}

// Wanted returns the wanted fields that an object lacks. It ignores fields that other clients or the API server
// added.
func Wanted(object, wanted *unstructured.Unstructured) []Change {
	c := comparison{onlyWanted: true}
	c.compare("", contentOf(object), contentOf(wanted))
	return c.sorted()
}

func contentOf(object *unstructured.Unstructured) any {
	if object == nil {
		return nil
	}
	return object.Object
}

type comparison struct {
	onlyWanted bool
	changes    []Change
}

func (c *comparison) sorted() []Change {
	slices.SortStableFunc(c.changes, func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
	return c.changes
}

// Hidden replaces a hidden value.
const Hidden = "***"

// IsValue reports whether the field at a path is hidden in objects of hidden kinds.
func IsValue(path string) bool {
	field, _, _ := strings.Cut(path, ".")
	return !slices.Contains([]string{"apiVersion", "kind", "metadata", "type", "immutable"}, field)
}

// Hide returns the changes without their values, so that only their paths remain.
func Hide(changes []Change) []Change {
	for i := range changes {
		if change := &changes[i]; IsValue(change.Path) {
			change.Old, change.New = hidden(change.Old), hidden(change.New)
		}
	}
	return changes
}

func hidden(value any) any {
	if value == nil {
		return nil
	}
	return Hidden
}

func (c *comparison) compare(path string, before, after any) {
	if slices.Contains(bookkeeping, path) || after == nil && c.onlyWanted {
		return
	}
	oldMap, oldIsMap := before.(map[string]any)
	newMap, newIsMap := after.(map[string]any)
	if (oldIsMap || before == nil) && (newIsMap || after == nil) && (oldIsMap || newIsMap) {
		for key := range merged(oldMap, newMap) {
			c.compare(strings.TrimPrefix(path+"."+key, "."), oldMap[key], newMap[key])
		}
		return
	}
	oldItems, newItems, ok := items(before, after)
	switch {
	case ok:
		for key := range merged(oldItems, newItems) {
			c.compare(path+"["+key+"]", oldItems[key], newItems[key])
		}
	case !reflect.DeepEqual(before, after):
		c.changes = append(c.changes, Change{Path: path, Old: before, New: after})
	}
}

// items pairs the items of two lists, either of which may be missing. It pairs them by name, or else by index if
// both have the same length.
func items(before, after any) (oldItems, newItems map[string]any, ok bool) {
	if oldItems, newItems, ok = pair(before, after, keyed); ok {
		return oldItems, newItems, true
	}
	oldItems, newItems, ok = pair(before, after, placed)
	return oldItems, newItems, ok && (before == nil || after == nil || len(oldItems) == len(newItems))
}

func pair(before, after any, told func(any) (map[string]any, bool)) (oldItems, newItems map[string]any, ok bool) {
	oldItems, oldTold := told(before)
	newItems, newTold := told(after)
	return oldItems, newItems, (oldTold || before == nil) && (newTold || after == nil) && (oldTold || newTold)
}

func merged(a, b map[string]any) map[string]any {
	all := maps.Clone(a)
	if all == nil {
		all = map[string]any{}
	}
	maps.Copy(all, b)
	return all
}

// keyed returns the items of a list by name, if all names are unique. An inserted item then does not make the
// others differ.
func keyed(value any) (map[string]any, bool) {
	list, ok := value.([]any)
	if !ok || len(list) == 0 {
		return nil, false
	}
	items := make(map[string]any, len(list))
	for _, item := range list {
		fields, _ := item.(map[string]any)
		name, _ := fields["name"].(string)
		if _, again := items[name]; name == "" || again {
			return nil, false
		}
		items[name] = item
	}
	return items, true
}

// placed returns the items of a list by index, if all are mappings. For other lists, the whole list is more
// informative.
func placed(value any) (map[string]any, bool) {
	list, ok := value.([]any)
	if !ok || len(list) == 0 {
		return nil, false
	}
	items := make(map[string]any, len(list))
	for i, item := range list {
		if _, ok := item.(map[string]any); !ok {
			return nil, false
		}
		items[strconv.Itoa(i)] = item
	}
	return items, true
}
