package proposals

import (
	"cmp"
	"reflect"
	"slices"

	"berth.dev/berth/reconciler/manifest"
)

// merge returns what the target branch would say after a merge, object by object: what the branch changed since its base, and
// what the target has of the rest. It is for forges that merge nothing beforehand. An object that both changed is the branch's
// here, and among those that are returned: Git would merge their lines.
func merge(base, target, branch manifest.Set) (merged manifest.Set, both []manifest.Key) {
	before, there, here := index(base), index(target), index(branch)
	keep := func(o manifest.Object) { merged.Objects = append(merged.Objects, o) }
	for _, o := range branch.Objects {
		key := o.Key()
		other, inTarget := there[key]
		switch was, inBase := before[key]; {
		case !inBase || !same(was, o): // the branch added or changed it
			keep(o)
			if inTarget && !same(other, o) && (!inBase || !same(was, other)) || !inTarget && inBase {
				both = append(both, key)
			}
		case inTarget:
			keep(other)
		}
	}
	for _, o := range target.Objects {
		was, inBase := before[o.Key()]
		switch _, inBranch := here[o.Key()]; {
		case inBranch:
		case !inBase: // the target added it
			keep(o)
		case !same(was, o): // the branch removed what the target changed
			both = append(both, o.Key())
		}
	}
	places := map[manifest.Key]manifest.Place{}
	for _, o := range merged.Objects {
		places[o.Key()], _ = manifest.PlaceOf(o) // a wrong wave is an error of its render
	}
	slices.SortStableFunc(merged.Objects, func(a, b manifest.Object) int {
		return cmp.Or(places[a.Key()].Compare(places[b.Key()]), cmp.Compare(a.Origin.File, b.Origin.File))
	})
	return merged, both
}

func index(s manifest.Set) map[manifest.Key]manifest.Object {
	all := make(map[manifest.Key]manifest.Object, s.Len())
	for _, o := range s.Objects {
		all[o.Key()] = o
	}
	return all
}

// same reports whether two objects have the same content, wherever in Git they are.
func same(a, b manifest.Object) bool { return reflect.DeepEqual(a.Object, b.Object) }
