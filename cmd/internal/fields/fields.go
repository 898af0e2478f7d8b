// Package fields compares objects field by field, for people.
package fields

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/cmd/internal/output"
	"berth.dev/berth/reconciler/manifest"
)

// Change is a field that differs; a value that is nil is not there.
type Change struct {
	Path string `json:"path"`
	Old  any    `json:"old,omitempty"`
	New  any    `json:"new,omitempty"`
}

// bookkeeping is what the API server and Berth write about an object, and nobody decides.
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

// Compare returns what differs between two states of an object, sorted by path. Either may be nil.
func Compare(before, after *unstructured.Unstructured) []Change {
	c := comparison{}
	c.compare("", contentOf(before), contentOf(after))
	return c.sorted()
}

// Wanted returns what an object lacks of what is wanted, and no more: what others or the API server added is not
// among it.
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

// Hide tells which values differ, and no value.
func Hide(changes []Change) []Change {
	for i := range changes {
		if change := &changes[i]; output.IsValue(change.Path) {
			change.Old, change.New = hidden(change.Old), hidden(change.New)
		}
	}
	return changes
}

func hidden(value any) any {
	if value == nil {
		return nil
	}
	return output.Hidden
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
	oldItems, oldKeyed := keyed(before)
	newItems, newKeyed := keyed(after)
	switch {
	case (oldKeyed || before == nil) && (newKeyed || after == nil) && (oldKeyed || newKeyed):
		for key := range merged(oldItems, newItems) {
			c.compare(path+"["+key+"]", oldItems[key], newItems[key])
		}
	case !reflect.DeepEqual(before, after):
		c.changes = append(c.changes, Change{Path: path, Old: before, New: after})
	}
}

func merged(a, b map[string]any) map[string]any {
	all := maps.Clone(a)
	if all == nil {
		all = map[string]any{}
	}
	maps.Copy(all, b)
	return all
}

// keyed returns the items of a list by their names, if all have one of their own: so one that is put in between does
// not make all others differ.
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

// String is a change in one line.
func (c Change) String() string {
	switch {
	case c.Old == nil:
		return fmt.Sprintf("+ %s: %s", c.Path, text(c.New))
	case c.New == nil:
		return fmt.Sprintf("- %s: %s", c.Path, text(c.Old))
	}
	return fmt.Sprintf("~ %s: %s -> %s", c.Path, text(c.Old), text(c.New))
}

// text is a value as it is told from its neighbours: a text that is a number, or has spaces or lines, in quotes.
func text(value any) string {
	s, ok := value.(string)
	if !ok {
		return fmt.Sprint(value)
	}
	if s == "" || strings.ContainsAny(s, " \t\n\r\"") || !strings.ContainsFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '.' }) {
		return fmt.Sprintf("%q", s)
	}
	return s
}
