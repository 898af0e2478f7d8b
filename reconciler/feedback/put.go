package feedback

import (
	"context"
	"maps"
	"slices"
	"time"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/source/forge"
)

// hadEnvironments reports whether the branch has environments, or had some.
func (b *branch) hadEnvironments() bool { return len(b.envs) > 0 || len(b.told) > 0 }

// noteOf returns the text of the notes of a branch, without their plans.
func (l *line) noteOf(b *branch) string {
	if !b.hadEnvironments() {
		return ""
	}
	return noteOf(subject{branch: b.name, agent: l.Agent, page: l.Page}, b.envs)
}

// putNotes writes the note into the open merge requests of a branch. After the last environment is gone, it edits the notes
// in merge requests that were closed since. The plan in the note of a merge request that was closed is removed.
func (l *line) putNotes(ctx context.Context, repo *v1alpha1.Repository, b *branch, envs map[string][]*v1alpha1.Environment) error {
	numbers := slices.Clone(l.open[b.name])
	for number, n := range b.notes {
		if l.isMoved(b, number, envs) {
			delete(b.notes, number)
			continue
		}
		ended := n.plan != "" && l.merges[number] == nil
		if gone := len(b.envs) == 0 && len(b.told) > 0; (ended || gone) && !slices.Contains(numbers, number) {
			numbers = append(numbers, number)
		}
	}
	slices.Sort(numbers)
	if !l.later[b.name] {
		b.noted = digest(l.noteOf(b))
	}
	if l.hesitates(b) {
		return nil
	}
	for _, number := range numbers {
		m := l.merges[number]
		if err := l.putNote(ctx, repo, b, edit{number: number, m: m, targets: l.targetsOf(repo, m, envs)}); err != nil {
			return err
		}
	}
	for _, number := range slices.Sorted(maps.Keys(b.notes)) {
		if len(b.notes) > maxNotes && l.merges[number] == nil {
			delete(b.notes, number)
		}
	}
	return nil
}

// isMoved reports whether a merge request belongs to another branch with environments by now, because its branch was renamed.
// The note is about that one. Gitea gives the merge request of a deleted branch a name that no branch has.
func (l *line) isMoved(b *branch, number int64, envs map[string][]*v1alpha1.Environment) bool {
	m := l.merges[number]
	return m != nil && branchOf(m.MergeRequest) != b.name && len(envs[branchOf(m.MergeRequest)]) > 0
}

// edit is a note that may have to be edited.
type edit struct {
	number  int64
	m       *mergeRequest // nil: it is not open
	targets []target      // of its plan
}

// putNote writes a note if it differs. A plan that is not ready does not delay the rest.
func (l *line) putNote(ctx context.Context, repo *v1alpha1.Repository, b *branch, e edit) error {
	known, key, text, now := l.known(b.name, e.number), keyOf(e.targets), l.noteOf(b), l.Now()
	if known.id == 0 && len(b.envs) == 0 {
		text = "" // there is nothing to say about environments that were gone before
	}
	next := note{id: known.id, digest: textDigest(text), plan: key, edited: now}
	if known.digest == next.digest && known.plan == key {
		return nil
	}
	plan, ready := "", true
	if key != "" {
		if err := l.want(ctx, e.m, e.targets); err != nil {
			return err
		}
		if plan, ready = l.plannedText(e.m, e.targets, maxNote-len(text)); !ready {
			plan, next.plan = e.m.text, e.m.shown
		}
	}
	full := joined(text, plan)
	switch {
	case !ready && known.digest == next.digest:
		return nil // the note is edited when the plan is ready
	case full == "" && known.id == 0:
		next.edited = time.Time{}
		l.remember(b, e, next)
		return nil
	case full == "" && key != "":
		full = planNothing
	case full == "":
		full = planEnded
	}
	if at := known.edited.Add(pause); now.Before(at) {
		b.due = at
		return nil
	}
	marker := l.marker(repo, e.number)
	id, err := l.forge.PutNote(ctx, e.number, known.id, marker, body(marker, full, now))
	if err != nil && (e.m != nil || forge.ReasonOf(err) != forge.NotFound) {
		return err
	}
	next.id = id
	if e.m != nil && ready {
		e.m.text, e.m.shown = plan, key
	}
	l.remember(b, e, next)
	return nil
}

// textDigest identifies a text; an empty one has none.
func textDigest(text string) string {
	if text == "" {
		return ""
	}
	return digest(text)
}

// joined returns the two parts of a note.
func joined(text, plan string) string {
	if text != "" && plan != "" {
		return text + "\n" + plan
	}
	return text + plan
}

// remember keeps what is known of a note. Nothing of one without environments is kept once its plan has ended.
func (l *line) remember(b *branch, e edit, n note) {
	b.notes[e.number] = n
	switch {
	case b.hadEnvironments():
		delete(l.held, e.number)
	case e.m == nil:
		delete(l.held, e.number)
		delete(b.notes, e.number)
	default:
		l.hold(e.number, n, e.targets)
	}
}
