package branches

import (
	"fmt"
	"maps"
	"slices"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/naming"
	"berth.dev/berth/source"
)

// Wanted is an environment that an entry and a branch call for.
type Wanted struct {
	Name  string
	entry *v1alpha1.Entry
	// literal is set if the entry names its branches one by one.
	literal bool
	Spec    v1alpha1.EnvironmentSpec
}

// demand lists the environments that a repository's entries and branches call for.
type demand struct {
	List []Wanted
	// entries maps the name of each entry to whether it is valid.
	entries map[string]bool
	// missing are the literal entries none of whose branches exists.
	missing []string
	// notes report branches that an entry names and that do not exist, and entries and branches that are left out.
	notes []string
}

// unclear reports whether an entry is invalid.
func (d demand) unclear() bool {
	return slices.Contains(slices.Collect(maps.Values(d.entries)), false)
}

// Commits returns the head commits of all wanted environments.
func (d demand) Commits() []string {
	commits := make([]string, 0, len(d.List))
	for _, w := range d.List {
		commits = append(commits, w.Spec.Commit)
	}
	return commits
}

// Want pairs the entries of a repository with the branches that they match.
func Want(repo *v1alpha1.Repository, heads map[string]string) demand {
	d := demand{entries: map[string]bool{}}
	branches := slices.Sorted(maps.Keys(heads))
	for i := range repo.Spec.Environments {
		entry := &repo.Spec.Environments[i]
		patterns, err := naming.CompilePatterns(entry.Branches)
		if err == nil && entry.Namespace == repo.Namespace {
			err = fmt.Errorf("namespace %s is Berth's own, with its keys and records; give the entry another", entry.Namespace)
		}
		d.entries[entry.Name] = err == nil
		if err != nil {
			d.notes = append(d.notes, fmt.Sprintf("entry %s: %v", entry.Name, err))
			continue
		}
		matched := 0
		for _, branch := range branches {
			if patterns.Match(branch) {
				matched++
				d.List = append(d.List, wantedFor(repo, entry, patterns, source.Revision{Branch: branch, Commit: heads[branch]}))
			}
		}
		if matched == 0 && patterns.Literal() {
			d.missing = append(d.missing, entry.Name)
			d.notes = append(d.notes, fmt.Sprintf("entry %s: the repository has no branch %s", entry.Name, entry.Branches[0]))
		}
	}
	return d
}

// withUsable removes new environments on branches with unusable names. A listing keeps the default branch whatever its name
// is. Existing Environments stay.
func (d demand) withUsable(have map[string]*v1alpha1.Environment) demand {
	d.List = slices.DeleteFunc(slices.Clone(d.List), func(w Wanted) bool {
		return have[w.Name] == nil && naming.Unusable(w.Spec.Branch) != ""
	})
	return d
}

// withoutRenamed removes new environments that patterns call for on the default branch while a literal entry's branch is
// missing. The default branch has probably been renamed, and would become a preview of production. Existing Environments
// stay: whoever renames a branch at GitLab pushes the new one first, and it has a preview before it is the default branch.
func (d demand) withoutRenamed(branch string, have map[string]*v1alpha1.Environment) demand {
	if len(d.missing) == 0 {
		return d
	}
	named := slices.ContainsFunc(d.List, func(w Wanted) bool { return w.literal && w.Spec.Branch == branch })
	var kept []Wanted
	for _, w := range d.List {
		if named || w.Spec.Branch != branch {
			kept = append(kept, w)
			continue
		}
		gets := "gets no environment"
		if have[w.Name] != nil {
			kept = append(kept, w)
			gets = "keeps its environment " + w.Name
		}
		d.notes = append(slices.Clip(d.notes), fmt.Sprintf("entry %s: the default branch %s %s while the branch of entry %s does not exist: it may have been renamed; write %s in place of the old name in all entries",
			w.entry.Name, branch, gets, d.missing[0], branch))
	}
	d.List = kept
	return d
}

func wantedFor(repo *v1alpha1.Repository, entry *v1alpha1.Entry, patterns naming.Patterns, head source.Revision) Wanted {
	return Wanted{
		Name:    naming.Environment(repo.Name, entry.Name, head.Branch),
		entry:   entry,
		literal: patterns.Literal(),
		Spec: v1alpha1.EnvironmentSpec{
			Repository:         repo.Name,
			Entry:              entry.Name,
			Agent:              entry.Agent,
			Branch:             head.Branch,
			Cluster:            naming.Cluster(entry),
			Namespace:          naming.Namespace(entry.Namespace, head.Branch),
			ServiceAccountName: entry.ServiceAccountName,
			OnRemoval:          naming.RemovalOf(entry, patterns),
			Commit:             head.Commit,
		},
	}
}
