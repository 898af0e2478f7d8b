package feedback

import (
	"context"
	"maps"
	"slices"
	"time"

	"berth.dev/berth/api/v1alpha1"
)

const (
	// pause is the minimum time between two edits of a note, and between two lists of merge requests without a webhook.
	pause = 5 * time.Second
	// outdated is the age of a list that is not relied on for known merge requests any more.
	outdated = 5 * time.Minute
)

// toNote returns the branches whose notes are compared now, after it listed the open merge requests if it has to. The error is
// that of the list.
func (l *line) toNote(ctx context.Context, repo *v1alpha1.Repository, envs map[string][]*v1alpha1.Environment, now time.Time) ([]string, error) {
	l.mu.Lock()
	heard := l.heard
	l.mu.Unlock()
	if l.notes.blocked && now.Before(l.notes.retry) {
		return nil, nil
	}
	names := l.notes.take(now)
	if len(envs) == 0 && len(names) == 0 {
		return nil, nil // there is nothing to note, and Gitea answers 404 for a repository without branches
	}
	if !heard && !l.needList(names, envs, now) {
		l.listLater(names, envs, now)
		return names, nil
	}
	l.mu.Lock()
	l.heard = false
	l.mu.Unlock()
	all, err := l.forge.MergeRequests(ctx)
	if err != nil {
		l.mu.Lock()
		l.heard = l.heard || heard
		l.mu.Unlock()
		return names, err
	}
	before := l.open
	l.listed = now
	l.takeOver(repo, all, envs)
	names = l.withOpened(slices.AppendSeq(names, maps.Keys(l.later)), before, envs)
	clear(l.later)
	if len(names) == 0 {
		l.notes.conclude(nil, someBranches, now, 0)
	}
	return names, nil
}

// needList reports whether the open merge requests are listed without a webhook: because of a branch with a new text that has no
// known merge request, or whose merge requests may have been closed since. Known ones get their note without a list.
func (l *line) needList(names []string, envs map[string][]*v1alpha1.Environment, now time.Time) bool {
	age := now.Sub(l.listed)
	if age < pause {
		return false
	}
	return slices.ContainsFunc(names, func(name string) bool { return l.unlisted(name, envs[name], age) })
}

// unlisted reports whether a branch has something to note, and its merge requests are not known well enough.
func (l *line) unlisted(name string, envs []*v1alpha1.Environment, age time.Duration) bool {
	known := len(l.open[name]) > 0 && age < outdated && !l.moved(name, envs)
	if known || len(envs) == 0 {
		return false
	}
	b := l.branch(name, envs)
	return b.noted != digest(l.noteOf(b)) || l.moved(name, envs)
}

// withOpened adds the branches that have another open merge request than before, because it was opened or reopened.
func (l *line) withOpened(names []string, before map[string][]int64, envs map[string][]*v1alpha1.Environment) []string {
	for name, numbers := range l.open {
		opened := func(n int64) bool { return !slices.Contains(before[name], n) }
		if len(envs[name]) > 0 && !slices.Contains(names, name) && slices.ContainsFunc(numbers, opened) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// listLater remembers which branches wait for the next list of merge requests: those that changed soon after the last one.
func (l *line) listLater(names []string, envs map[string][]*v1alpha1.Environment, now time.Time) {
	for _, name := range names {
		delete(l.later, name)
		if l.unlisted(name, envs[name], now.Sub(l.listed)) {
			l.later[name] = true
		}
	}
}

// moved reports whether a branch moved since its planned merge requests were listed, so that their heads are out of date.
func (l *line) moved(name string, envs []*v1alpha1.Environment) bool {
	return slices.ContainsFunc(l.open[name], func(number int64) bool {
		m := l.merges[number]
		return m.planned && slices.ContainsFunc(envs, func(env *v1alpha1.Environment) bool { return env.Spec.Commit != m.beside && env.Spec.Commit != m.Head })
	})
}
