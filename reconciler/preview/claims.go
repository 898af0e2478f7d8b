package preview

import (
	"fmt"

	"berth.dev/berth/api/v1alpha1"
)

// claim gives every wanted environment the Environment that it has, or will have, by name. One whose
// entry is gone is taken over by the entry that now has its branch and namespace: a renamed entry tears
// nothing down.
func claim(have []v1alpha1.Environment, d demand) (claims []wanted, notes []string) {
	named := make(map[string]*v1alpha1.Environment, len(have))
	for i := range have {
		named[have[i].Name] = &have[i]
	}
	taken := map[string]string{}
	for _, w := range d.list {
		env := named[w.name]
		if env == nil {
			if env = orphaned(have, d, w); env != nil {
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

// orphaned returns the Environment of an entry that is gone in the place of a wanted one.
func orphaned(have []v1alpha1.Environment, d demand, w wanted) *v1alpha1.Environment {
	for i := range have {
		env := &have[i]
		_, stays := d.entries[env.Spec.Entry]
		if !stays && env.DeletionTimestamp.IsZero() && env.Spec.Branch == w.spec.Branch && env.Spec.Namespace == w.spec.Namespace {
			return env
		}
	}
	return nil
}

// entryOf returns the entry that an Environment follows: that of its name or, when that is gone, the one
// that has taken over its branch and namespace.
func entryOf(repo *v1alpha1.Repository, env *v1alpha1.Environment) *v1alpha1.Entry {
	for i := range repo.Spec.Environments {
		if entry := &repo.Spec.Environments[i]; entry.Name == env.Spec.Entry {
			return entry
		}
	}
	for i := range repo.Spec.Environments {
		entry := &repo.Spec.Environments[i]
		patterns, err := CompilePatterns(entry.Branches)
		if err == nil && patterns.Match(env.Spec.Branch) && NamespaceName(entry.Namespace, env.Spec.Branch) == env.Spec.Namespace {
			return entry
		}
	}
	return nil
}
