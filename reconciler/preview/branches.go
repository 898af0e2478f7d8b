package preview

import (
	"cmp"
	"fmt"
	"slices"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/source"
)

// wanted is one environment that an entry and a branch call for.
type wanted struct {
	name  string
	entry *v1alpha1.Entry
	// literal says that the entry names its branches, one by one.
	literal bool
	spec    v1alpha1.EnvironmentSpec
}

// want pairs the entries of a repository with the branches that they match. The problems are for
// people: branches that an entry names and that do not exist, and entries that cannot be followed.
func want(repo *v1alpha1.Repository, heads map[string]string) (list []wanted, problems []string) {
	branches := make([]string, 0, len(heads))
	for branch := range heads {
		branches = append(branches, branch)
	}
	slices.Sort(branches)
	for i := range repo.Spec.Environments {
		entry := &repo.Spec.Environments[i]
		patterns, err := CompilePatterns(entry.Branches)
		if err != nil {
			problems = append(problems, fmt.Sprintf("entry %s: %v", entry.Name, err))
			continue
		}
		matched := 0
		for _, branch := range branches {
			if patterns.Match(branch) {
				matched++
				list = append(list, wantedFor(repo, entry, patterns.Literal(), source.Revision{Branch: branch, Commit: heads[branch]}))
			}
		}
		if matched == 0 && patterns.Literal() {
			problems = append(problems, fmt.Sprintf("entry %s: the repository has no branch %s", entry.Name, entry.Branches[0]))
		}
	}
	return list, problems
}

func wantedFor(repo *v1alpha1.Repository, entry *v1alpha1.Entry, literal bool, head source.Revision) wanted {
	removal := v1alpha1.RemovalDelete
	if literal {
		removal = v1alpha1.RemovalOrphan
	}
	return wanted{
		name:    EnvironmentName(repo.Name, entry.Name, head.Branch),
		entry:   entry,
		literal: literal,
		spec: v1alpha1.EnvironmentSpec{
			Repository:         repo.Name,
			Entry:              entry.Name,
			Branch:             head.Branch,
			Namespace:          NamespaceName(entry.Namespace, head.Branch),
			ServiceAccountName: entry.ServiceAccountName,
			OnRemoval:          cmp.Or(entry.OnRemoval, removal),
			Commit:             head.Commit,
		},
	}
}
