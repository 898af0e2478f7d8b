package branches

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/naming"
)

// defaultEnvironments is the default of limits.environments.
const defaultEnvironments = 2000

// shownNames is the maximum number of names that a message quotes.
const shownNames = 3

// Interest selects the branches of a listing to keep: those that have an environment or can get one. It filters the listing
// as it arrives, so that memory grows with environments and not with branches.
type Interest struct {
	entries []followedEntry
	taken   map[naming.Place]string // those of entries that name their branches
	have    map[string]bool
	left    int // environments that entries with patterns may still get
	LeftOut
}

// followedEntry is an entry whose patterns are valid.
type followedEntry struct {
	naming.Patterns
	entry *v1alpha1.Entry
}

// LeftOut counts the branches of a listing that match an entry and get no environment.
type LeftOut struct {
	unusable int      // because of their names
	names    []string // some of them, quoted, each with the reason
	beyond   int      // because limits.environments is reached
	most     int
}

// NewInterest returns the Interest of a Repository with these Environments.
func NewInterest(repo *v1alpha1.Repository, have []v1alpha1.Environment) *Interest {
	i := &Interest{have: make(map[string]bool, len(have)), taken: literalPlaces(repo), LeftOut: LeftOut{most: int(repo.Spec.Limits.Environments)}}
	if i.most <= 0 {
		i.most = defaultEnvironments
	}
	literal := map[string]bool{}
	for n := range repo.Spec.Environments {
		entry := &repo.Spec.Environments[n]
		patterns, err := naming.CompilePatterns(entry.Branches)
		if err != nil {
			continue // which is reported elsewhere
		}
		i.entries = append(i.entries, followedEntry{patterns, entry})
		literal[entry.Name] = patterns.Literal()
	}
	i.left = i.most
	for _, env := range have {
		i.have[env.Spec.Branch] = true
		if !literal[env.Spec.Entry] {
			i.left--
		}
	}
	return i
}

// Keep reports whether to keep a branch of the listing.
func (i *Interest) Keep(branch string) bool {
	if i.have[branch] {
		return true
	}
	var patterns []followedEntry
	named := false
	for _, entry := range i.entries {
		switch {
		case !entry.Match(branch):
		case entry.Literal():
			named = true
		default:
			patterns = append(patterns, entry)
		}
	}
	switch {
	case len(patterns) == 0 && !named:
		return false
	case i.refuse(branch, naming.Unusable(branch)):
		return false
	case named:
		return true
	case len(patterns) > i.left:
		i.beyond++
		return false
	case i.refuse(branch, i.squats(patterns, branch)): // the most expensive check
		return false
	}
	i.left -= len(patterns)
	return true
}

// squats returns a reason if a branch would get the namespace of a literal entry, even before that entry has an environment.
func (i *Interest) squats(entries []followedEntry, branch string) string {
	for _, followed := range entries {
		place := naming.PlaceOf(followed.entry, branch)
		if owner := i.taken[place]; owner != "" {
			return fmt.Sprintf("leads to the namespace %s, which belongs to the entry %s", place.Namespace, owner)
		}
	}
	return ""
}

// refuse reports whether a branch is left out because of its name, and counts it.
func (i *Interest) refuse(branch, why string) bool {
	if why == "" {
		return false
	}
	i.unusable++
	if len(i.names) < shownNames {
		i.names = append(i.names, fmt.Sprintf("%+.100q %s", branch, why))
	}
	return true
}

// literalPlaces returns where literal entries run, with the entry's name. A new branch of another entry gets none of these
// places, even if it is pushed first.
func literalPlaces(repo *v1alpha1.Repository) map[naming.Place]string {
	taken := map[naming.Place]string{}
	for i := range repo.Spec.Environments {
		entry := &repo.Spec.Environments[i]
		patterns, err := naming.CompilePatterns(entry.Branches)
		if err != nil || !patterns.Literal() {
			continue
		}
		for _, branch := range entry.Branches {
			taken[naming.PlaceOf(entry, string(branch))] = entry.Name
		}
	}
	return taken
}

// Literals returns the branches that entries name.
func Literals(repo *v1alpha1.Repository) (branches []string) {
	for _, entry := range repo.Spec.Environments {
		if patterns, err := naming.CompilePatterns(entry.Branches); err != nil || !patterns.Literal() {
			continue
		}
		for _, branch := range entry.Branches {
			branches = append(branches, string(branch))
		}
	}
	return branches
}

// Condition returns a condition that lists the branches that are left out; nil if there are none.
func (l LeftOut) Condition(repo *v1alpha1.Repository) *metav1.Condition {
	var texts []string
	reason := v1alpha1.ReasonUnusable
	if l.unusable > 0 {
		names := strings.Join(l.names, ", ")
		if more := l.unusable - len(l.names); more > 0 {
			names += fmt.Sprintf(", and %d more", more)
		}
		texts = append(texts, fmt.Sprintf("%s left out because of the name: %s; rename or delete it", BranchCount(l.unusable), names))
	}
	if l.beyond > 0 {
		reason = v1alpha1.ReasonTooMany
		texts = append(texts, fmt.Sprintf("%s left out: limits.environments is %d; delete branches, narrow the patterns of the entries, or raise it",
			BranchCount(l.beyond), l.most))
	}
	if len(texts) == 0 {
		return nil
	}
	return &metav1.Condition{Type: v1alpha1.ConditionBranchesLeftOut, Status: metav1.ConditionTrue, Reason: reason, Message: strings.Join(texts, ". "), ObservedGeneration: repo.Generation}
}

// BranchCount returns "1 branch", or "n branches".
func BranchCount(n int) string {
	if n == 1 {
		return "1 branch"
	}
	return fmt.Sprintf("%d branches", n)
}
