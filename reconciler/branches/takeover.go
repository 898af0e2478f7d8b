package branches

import (
	"fmt"

	"berth.dev/berth/api/v1alpha1"
)

// claim pairs every wanted environment with its current or future Environment, by name. An entry takes over the Environment
// of a removed entry with the same branch and place, so that renaming an entry tears nothing down.
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
			notes = append(notes, fmt.Sprintf("entry %s: the branch %s gets no environment, because its name %s is taken by the branch %s; rename one of the two",
				w.entry.Name, w.Spec.Branch, w.Name, other))
			continue
		}
		taken[w.Name] = w.Spec.Branch
		claims = append(claims, w)
	}
	return claims, notes
}

// ByName maps Environments by name.
func ByName(have []v1alpha1.Environment) map[string]*v1alpha1.Environment {
	all := make(map[string]*v1alpha1.Environment, len(have))
	for i := range have {
		all[have[i].Name] = &have[i]
	}
	return all
}

// location is what a renamed entry shares with its predecessor.
type location struct{ branch, cluster, namespace string }

func locationOf(spec v1alpha1.EnvironmentSpec) location {
	return location{branch: spec.Branch, cluster: spec.Cluster, namespace: spec.Namespace}
}

// orphaned returns the Environments of removed entries by location. Of two at the same location, it returns the one with the
// first name.
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
