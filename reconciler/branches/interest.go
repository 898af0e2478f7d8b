package branches

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/naming"
)

// defaultEnvironments is limits.environments where it is not set.
const defaultEnvironments = 2000

// shownNames bounds how many names a message quotes.
const shownNames = 3

// Interest decides which branches of a listing are kept: those that have an environment, and those that can get one. It
// is asked while the listing comes in, so that memory grows with environments and not with branches.
type Interest struct {
	entries []followedEntry
	taken   map[string]string // namespaces of entries that name their branches
	have    map[string]bool
	left    int // environments that entries with patterns may still get
	LeftOut
}

// followedEntry is an entry whose patterns are valid.
type followedEntry struct {
	naming.Patterns
	namespace string
}

// LeftOut are the branches of a listing that match an entry and get no environment.
type LeftOut struct {
	unusable int      // because of their names
	names    []string // of some of them, quoted, each with the reason
	beyond   int      // because limits.environments is reached
	most     int
}

// NewInterest returns what the entries of a Repository and its Environments are interested in.
func NewInterest(repo *v1alpha1.Repository, have []v1alpha1.Environment) *Interest {
	i := &Interest{have: make(map[string]bool, len(have)), taken: literalNamespaces(repo), LeftOut: LeftOut{most: int(repo.Spec.Limits.Environments)}}
	if i.most <= 0 {
		i.most = defaultEnvironments
	}
	literal := map[string]bool{}
	for _, entry := range repo.Spec.Environments {
		patterns, err := naming.CompilePatterns(entry.Branches)
		if err != nil {
			continue // which is reported elsewhere
		}
		i.entries = append(i.entries, followedEntry{patterns, entry.Namespace})
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

// Keep says whether a branch of the listing is kept.
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
	case i.refuse(branch, i.squats(patterns, branch)): // which costs most
		return false
	}
	i.left -= len(patterns)
	return true
}

// squats says that a branch would get the namespace of an entry that names its branches, perhaps before that has any.
func (i *Interest) squats(entries []followedEntry, branch string) string {
	for _, entry := range entries {
		namespace := naming.Namespace(entry.namespace, branch)
		if owner := i.taken[namespace]; owner != "" {
			return fmt.Sprintf("leads to the namespace %s, which is that of the entry %s", namespace, owner)
		}
	}
	return ""
}

// refuse says whether the branch cannot be followed because of its name, and notes it.
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

// literalNamespaces returns which entries that name their branches have which namespaces. A new branch of another entry
// gets none of these, even if it is pushed first.
func literalNamespaces(repo *v1alpha1.Repository) map[string]string {
	taken := map[string]string{}
	for _, entry := range repo.Spec.Environments {
		patterns, err := naming.CompilePatterns(entry.Branches)
		if err != nil || !patterns.Literal() {
			continue
		}
		for _, branch := range entry.Branches {
			taken[naming.Namespace(entry.Namespace, string(branch))] = entry.Name
		}
	}
	return taken
}

// Literals are the branches that entries name.
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

// Condition says which branches are left out; nil if none is.
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
