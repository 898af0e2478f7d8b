package branches

import (
	"fmt"

	"berth.dev/berth/api/v1alpha1"
)

// claim gives every wanted environment the Environment that it has, or will have, by name. One whose
// entry is gone is taken over by the entry that now has its branch and namespace: a renamed entry tears
// nothing down.
func claim(named map[string]*v1alpha1.Environment, d demand) (claims []Wanted, notes []string) {
	orphans := orphaned(named, d)
	taken := map[string]string{}
	for _, w := range d.List {
		env := named[w.Name]
		if env == nil {
			if env = orphans[locationOf(w.Spec)]; env != nil {
				w.Name, w.Spec.Entry = env.Name, env.Spec.Entry
			}
		}
		other, isTaken := taken[w.Name]
		if env != nil && env.Spec.Branch != w.Spec.Branch {
			other, isTaken = env.Spec.Branch, true
		}
		if isTaken {
			notes = append(notes, fmt.Sprintf("entry %s: the branch %s gets no environment, for its name %s is taken by the branch %s; rename one of the two",
				w.entry.Name, w.Spec.Branch, w.Name, other))
			continue
		}
		taken[w.Name] = w.Spec.Branch
		claims = append(claims, w)
	}
	return claims, notes
}

// ByName returns Environments by name.
func ByName(have []v1alpha1.Environment) map[string]*v1alpha1.Environment {
	all := make(map[string]*v1alpha1.Environment, len(have))
	for i := range have {
		all[have[i].Name] = &have[i]
	}
	return all
}

// location is what an entry has in common with the entry that it takes over from.
type location struct{ branch, namespace string }

func locationOf(spec v1alpha1.EnvironmentSpec) location {
	return location{branch: spec.Branch, namespace: spec.Namespace}
}

// orphaned returns the Environments of entries that are gone, by what can be taken over. Of two that could be, it
// is that of the first name.
func orphaned(named map[string]*v1alpha1.Environment, d demand) map[location]*v1alpha1.Environment {
	orphans := map[location]*v1alpha1.Environment{}
	for _, env := range named {
		if _, stays := d.entries[env.Spec.Entry]; stays || !env.DeletionTimestamp.IsZero() {
			continue
		}
		at := locationOf(env.Spec)
		if other := orphans[at]; other == nil || env.Name < other.Name {
			orphans[at] = env
		}
	}
	return orphans
}
