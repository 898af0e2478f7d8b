package feedback

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/naming"
	"berth.dev/berth/reconciler/proposals"
	"berth.dev/berth/source/forge"
)

// Plans makes the plans of merge requests. A [proposals.Planner] does. Its methods do not block.
type Plans interface {
	Want(w proposals.Want)
	// Planned returns the newest plan, and the key of what it depends on.
	Planned(s proposals.Subject) (proposals.Plan, string)
	Retain(repository types.NamespacedName, keep map[proposals.Subject]bool)
}

const (
	// maxPlanned is how many open merge requests of a Repository are planned: those that were opened or pushed to last.
	maxPlanned = 50
	// maxHeld is how many notes of branches without an environment one Environment keeps.
	maxHeld = maxPlanned
	// computing is the pause before a forge is asked again that has not merged yet, and maxComputing how often it is.
	computing, maxComputing = 5 * time.Second, 24
)

// mergeRequest is an open merge request.
type mergeRequest struct {
	forge.MergeRequest
	// planned says that it is among the merge requests that are planned. turn is the order in which they were opened or pushed
	// to.
	planned bool
	turn    int64
	// asked is the key of what merge was asked for; empty: it was not. again is when to ask again, after tries.
	asked string
	merge forge.Merge
	again time.Time
	tries int
	// beside is the commit that the environments of the source branch had when the merge request was listed.
	beside string
	// text is the plan in the note, and shown the key of what it depends on.
	text, shown string
}

// branchOf returns the branch that a merge request belongs to. A branch of a fork is not the repository's, whatever its name:
// it has a name that no branch can have.
func branchOf(m forge.MergeRequest) string {
	if m.Fork {
		return fmt.Sprintf("merge request %d", m.Number)
	}
	return m.Branch
}

// takeOver takes over a new list of the open merge requests. Those of forks are left out unless they are planned.
func (l *line) takeOver(repo *v1alpha1.Repository, all []forge.MergeRequest, envs map[string][]*v1alpha1.Environment) {
	before, policy := l.merges, repo.Spec.Feedback.Plan
	l.open, l.merges = map[string][]int64{}, map[int64]*mergeRequest{}
	for _, listed := range slices.Backward(all) { // the one that changed last is the first of the list
		forks := policy != nil && policy.Forks
		if listed.Fork && !forks {
			continue
		}
		m := &mergeRequest{}
		if was, known := before[listed.Number]; known {
			m = was
		}
		if m.Head != listed.Head || m.turn == 0 {
			l.turn++
			m.turn = l.turn
		}
		m.MergeRequest, m.beside, m.planned = listed, "", false
		for _, env := range envs[branchOf(listed)] {
			m.beside = env.Spec.Commit
		}
		l.merges[listed.Number] = m
		l.open[branchOf(listed)] = append(l.open[branchOf(listed)], listed.Number)
	}
	if l.Plans != nil && policy != nil {
		l.choose(envs)
	}
	l.adopt()
}

// choose chooses the merge requests that are planned, of those into a branch with an environment. Their order in the list does
// not count: an edit of a note moves its merge request to the front, and would end the plan of another one.
func (l *line) choose(envs map[string][]*v1alpha1.Environment) {
	var candidates []*mergeRequest
	for _, m := range l.merges {
		if m.Head != "" && len(envs[m.Target]) > 0 {
			candidates = append(candidates, m)
		}
	}
	slices.SortFunc(candidates, func(a, b *mergeRequest) int { return cmp.Compare(b.turn, a.turn) })
	for _, m := range candidates[:min(maxPlanned, len(candidates))] {
		m.planned = true
	}
}

// target is an environment that a merge request would change.
type target struct {
	subject proposals.Subject
	commit  string
	// key identifies what a plan depends on beside the result of the merge.
	key string
}

// targetsOf returns the environments that a merge request would change, sorted by name: those of entries that name its target
// branch.
func (l *line) targetsOf(repo *v1alpha1.Repository, m *mergeRequest, envs map[string][]*v1alpha1.Environment) (list []target) {
	if m == nil || !m.planned || repo.Spec.Feedback.Plan == nil {
		return nil
	}
	for _, env := range envs[m.Target] {
		entry := naming.EntryOf(repo, env)
		if entry == nil || env.Spec.Commit == "" || !env.DeletionTimestamp.IsZero() {
			continue
		}
		if patterns, err := naming.CompilePatterns(entry.Branches); err != nil || !patterns.Literal() {
			continue
		}
		list = append(list, target{
			subject: proposals.Subject{Repository: l.repo, Number: m.Number, Environment: env.Name}, commit: env.Spec.Commit,
			key: digest([]any{m.Head, env.Spec.Commit, env.Spec.Pin, env.Spec.Suspend, entry}),
		})
	}
	slices.SortFunc(list, func(a, b target) int { return cmp.Compare(a.subject.Environment, b.subject.Environment) })
	return list
}

// keyOf identifies what the plans of a merge request depend on; empty if it has none.
func keyOf(targets []target) string {
	if len(targets) == 0 {
		return ""
	}
	keys := make([]string, 0, len(targets))
	for _, t := range targets {
		keys = append(keys, t.key)
	}
	return digest(keys)
}

// want asks the forge what a merge would be, once for each state of both branches, and lets the plans be made.
func (l *line) want(ctx context.Context, m *mergeRequest, targets []target) error {
	key, now := keyOf(targets), l.Now()
	switch {
	case m.asked != key:
		m.tries = 0
	case m.merge.State != forge.Computing || m.tries >= maxComputing || now.Before(m.again):
		l.request(m, targets)
		return nil
	}
	merge, err := l.forge.Merge(ctx, m.MergeRequest)
	if err != nil {
		return err
	}
	m.asked, m.merge, m.again = key, merge, now.Add(computing)
	m.tries++
	l.request(m, targets)
	return nil
}

// request lets the plans of a merge be made, unless they are there.
func (l *line) request(m *mergeRequest, targets []target) {
	if m.merge.State != forge.Mergeable {
		return
	}
	for _, t := range targets {
		l.Plans.Want(proposals.Want{Subject: t.subject, Target: t.commit, Commit: m.merge.Commit, Base: m.merge.Base, Head: m.Head, Parent: m.merge.Parent, Key: wantKey(m, t)})
	}
}

func wantKey(m *mergeRequest, t target) string { return digest([]any{t.key, m.merge}) }

// plannedText returns the plans of a merge request as a part of a note, and false while they are being made. If the forge merged
// an earlier push, it is asked again.
func (l *line) plannedText(m *mergeRequest, targets []target, most int) (string, bool) {
	switch {
	case len(targets) == 0:
		return "", true
	case m.asked != keyOf(targets):
		return "", false
	case m.merge.State == forge.Computing && m.tries < maxComputing:
		return "", false
	case m.merge.State != forge.Mergeable:
		return conflicts(m.Target), true
	}
	plans := make([]proposals.Plan, 0, len(targets))
	for _, t := range targets {
		plan, key := l.Plans.Planned(t.subject)
		if key != wantKey(m, t) {
			return "", false
		}
		if plan.Outdated && m.tries < maxComputing {
			m.merge.State, m.again = forge.Computing, l.Now().Add(computing)
			return "", false
		}
		plans = append(plans, plan)
	}
	return plansOf(m.Target, plans, most), true
}

// markPlans marks the branches whose notes have an outdated plan that can be replaced now. It returns when the forge is asked
// again what a merge would be; zero: never.
func (l *line) markPlans(repo *v1alpha1.Repository, envs map[string][]*v1alpha1.Environment) (next time.Time) {
	if l.listed.IsZero() || l.Plans == nil || repo.Spec.Feedback.Note == v1alpha1.NoteNever {
		return time.Time{}
	}
	keep := map[proposals.Subject]bool{}
	for number, m := range l.merges {
		targets, name := l.targetsOf(repo, m, envs), branchOf(m.MergeRequest)
		for _, t := range targets {
			keep[t.subject] = true
		}
		key := keyOf(targets)
		if l.known(name, number).plan == key {
			continue
		}
		switch _, ready := l.plannedText(m, targets, maxPlan); {
		case ready, m.asked != key:
			l.markPlan(name)
		case m.merge.State == forge.Computing && l.Now().Before(m.again):
			next = earlier(next, m.again)
		case m.merge.State == forge.Computing:
			l.markPlan(name)
		}
	}
	for name, b := range l.branches {
		for number, n := range b.notes {
			if n.plan != "" && l.merges[number] == nil {
				l.markPlan(name)
			}
		}
	}
	l.Plans.Retain(l.repo, keep)
	return next
}

// markPlan marks a branch, unless its notes wait already: for a retry, or because they were just edited.
func (l *line) markPlan(name string) {
	b := l.branches[name]
	if l.notes.failed[name] == nil && (b == nil || b.due.IsZero() || !l.Now().Before(b.due)) {
		l.notes.dirty[name] = true
	}
}
