package preview

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

// interest decides which branches of a listing are kept: those that have an environment, and those that can get one. It
// is asked while the listing comes in, so that memory grows with environments and not with branches.
type interest struct {
	entries []naming.Patterns
	have    map[string]bool
	left    int // environments that entries with patterns may still get
	leftOut
}

// leftOut are the branches of a listing that match an entry and get no environment.
type leftOut struct {
	unusable int      // because of their names
	names    []string // of some of them, quoted, each with the reason
	beyond   int      // because limits.environments is reached
	most     int
}

func interestOf(repo *v1alpha1.Repository, have []v1alpha1.Environment) *interest {
	i := &interest{have: make(map[string]bool, len(have)), leftOut: leftOut{most: int(repo.Spec.Limits.Environments)}}
	if i.most <= 0 {
		i.most = defaultEnvironments
	}
	literal := map[string]bool{}
	for _, entry := range repo.Spec.Environments {
		patterns, err := naming.CompilePatterns(entry.Branches)
		if err != nil {
			continue // which is reported elsewhere
		}
		i.entries = append(i.entries, patterns)
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

// keep says whether a branch of the listing is kept.
func (i *interest) keep(branch string) bool {
	if i.have[branch] {
		return true
	}
	needs, named := 0, false
	for _, patterns := range i.entries {
		switch {
		case !patterns.Match(branch):
		case patterns.Literal():
			named = true
		default:
			needs++
		}
	}
	switch {
	case needs == 0 && !named:
		return false
	case i.refuse(branch):
		return false
	case named:
		return true
	case needs > i.left:
		i.beyond++
		return false
	}
	i.left -= needs
	return true
}

// refuse says whether the branch cannot be followed because of its name, and notes it.
func (i *interest) refuse(branch string) bool {
	why := naming.Unusable(branch)
	if why == "" {
		return false
	}
	i.unusable++
	if len(i.names) < shownNames {
		i.names = append(i.names, fmt.Sprintf("%+.100q %s", branch, why))
	}
	return true
}

// literals are the branches that entries name.
func literals(repo *v1alpha1.Repository) (branches []string) {
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

// condition says which branches are left out; nil if none is.
func (l leftOut) condition(repo *v1alpha1.Repository) *metav1.Condition {
	var texts []string
	reason := v1alpha1.ReasonUnusable
	if l.unusable > 0 {
		names := strings.Join(l.names, ", ")
		if more := l.unusable - len(l.names); more > 0 {
			names += fmt.Sprintf(", and %d more", more)
		}
		texts = append(texts, fmt.Sprintf("%s left out because of the name: %s; rename or delete it", branchCount(l.unusable), names))
	}
	if l.beyond > 0 {
		reason = v1alpha1.ReasonTooMany
		texts = append(texts, fmt.Sprintf("%s left out: limits.environments is %d; delete branches, narrow the patterns of the entries, or raise it",
			branchCount(l.beyond), l.most))
	}
	if len(texts) == 0 {
		return nil
	}
	return &metav1.Condition{Type: v1alpha1.ConditionBranchesLeftOut, Status: metav1.ConditionTrue, Reason: reason, Message: strings.Join(texts, ". "), ObservedGeneration: repo.Generation}
}

func branchCount(n int) string {
	if n == 1 {
		return "1 branch"
	}
	return fmt.Sprintf("%d branches", n)
}
