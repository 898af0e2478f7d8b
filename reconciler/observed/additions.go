package observed

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// Additions are the fields that users have added to an object of Berth's.
type Additions struct {
	// Manager is the field manager that added them, or the first of several.
	Manager string
	// Fields are the first few fields. More counts the rest.
	Fields []string
	More   int
}

// namedFields is how many fields a message names.
const namedFields = 3

// String says what was added, and by which field manager.
func (a Additions) String() string {
	text := a.Manager + " added " + strings.Join(a.Fields, ", ")
	if a.More > 0 {
		text += fmt.Sprintf(" and %d more", a.More)
	}
	return text
}

// additions returns the fields that users own and Berth does not; nil for none. It costs nothing if users have no
// entry, as is the case for most objects.
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

// mergeable returns the indexes of users' entries whose fields can be compared with Berth's. They have the same version
// of the API, because the path of a field may differ between versions.
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

// beyond cuts a path off after the first part that is not in the set. A message thus names an environment variable
// once, and not each of its fields.
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

// staying are the fields that users may add to an object: metadata such as labels and annotations, the number of
// replicas, the size of a claim, and the time of a restart. The rest are fields that the cluster itself fills in, which
// "before-first-apply" may own.
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
