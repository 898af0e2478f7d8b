package preview

import (
	"fmt"

	"berth.dev/berth/api/v1alpha1"
)

// claim gives every wanted environment the Environment that it has, or will have, by name. One whose
// entry is gone is taken over by the entry that now has its branch and namespace: a renamed entry tears
// nothing down.
func claim(named map[string]*v1alpha1.Environment, d demand) (claims []wanted, notes []string) {
	orphans := orphaned(named, d)
	taken := map[string]string{}
	for _, w := range d.list {
		env := named[w.name]
		if env == nil {
			if env = orphans[berthOf(w.spec)]; env != nil {
				w.name, w.spec.Entry = env.Name, env.Spec.Entry
			}
		}
		other, isTaken := taken[w.name]
		if env != nil && env.Spec.Branch != w.spec.Branch {
			other, isTaken = env.Spec.Branch, true
		}
		if isTaken {
			notes = append(notes, fmt.Sprintf("entry %s: the branch %s gets no environment, for its name %s is taken by the branch %s; rename one of the two",
				w.entry.Name, w.spec.Branch, w.name, other))
			continue
		}
		taken[w.name] = w.spec.Branch
		claims = append(claims, w)
	}
	return claims, notes
}

// named returns Environments by name.
func named(have []v1alpha1.Environment) map[string]*v1alpha1.Environment {
	all := make(map[string]*v1alpha1.Environment, len(have))
	for i := range have {
		all[have[i].Name] = &have[i]
	}
	return all
}

// berth is what an entry that takes over from another one has in common with it.
type berth struct{ branch, namespace string }

func berthOf(spec v1alpha1.EnvironmentSpec) berth {
	return berth{branch: spec.Branch, namespace: spec.Namespace}
}

// orphaned returns the Environments of entries that are gone, by what can be taken over. Of two that could be, it
// is that of the first name.
func orphaned(named map[string]*v1alpha1.Environment, d demand) map[berth]*v1alpha1.Environment {
	orphans := map[berth]*v1alpha1.Environment{}
	for _, env := range named {
		if _, stays := d.entries[env.Spec.Entry]; stays || !env.DeletionTimestamp.IsZero() {
			continue
		}
		at := berthOf(env.Spec)
		if other := orphans[at]; other == nil || env.Name < other.Name {
			orphans[at] = env
		}
	}
	return orphans
}
