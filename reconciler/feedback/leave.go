package feedback

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/source/forge"
)

// leaving is how long the last requests to a forge may take, together.
const leaving = 30 * time.Second

// leave ends what would seem to go on at the forge after spec.feedback or the Repository was removed: unfinished statuses and
// deployments, and the notes. It tries once, with the last settings, because nothing is left that could say how.
func (l *line) leave(ctx context.Context) {
	if l.last == nil || l.forge == nil {
		return
	}
	envs, err := l.environments(ctx)
	if err != nil {
		envs = nil // what is in memory has to do
	}
	l.statuses, l.notes, l.deployments = newDuty(), newDuty(), newDuty()
	l.merges = nil
	l.adopt()
	clear(l.held)
	if l.Plans != nil {
		l.Plans.Retain(l.repo, nil)
	}
	limited, cancel := context.WithTimeout(ctx, leaving)
	defer cancel()
	last := newDuty()
	names := slices.Sorted(maps.Keys(l.branches))
	l.each(last, names, func(name string) error { return l.leaveBranch(limited, l.branch(name, envs[name])) })
	for _, name := range names {
		l.writeDown(ctx, name)
	}
	if err := last.trouble(); err != nil && ctx.Err() == nil {
		l.Log.Warn("what was reported to the forge may stay as it is: "+err.Error(), "repository", l.repo.Name)
	}
}

// leaveBranch ends what was reported about the environments of a branch. It returns an error that other branches would get, too.
func (l *line) leaveBranch(ctx context.Context, b *branch) error {
	for _, end := range []func(context.Context, *branch) error{l.endStatuses, l.cancelDeployments} {
		if err := end(ctx, b); forge.IsGeneral(err) {
			return err
		}
	}
	if err := l.endNotes(ctx, b, "spec.feedback or the Repository was removed"); forge.IsGeneral(err) {
		return err
	}
	return nil
}

// muteNotes ends all notes, because spec.feedback.note became Never, and returns the branches that it tried.
func (l *line) muteNotes(ctx context.Context, envs map[string][]*v1alpha1.Environment) []string {
	clear(l.later)
	l.open, l.merges = nil, nil
	l.adopt()
	clear(l.held)
	names := l.notes.take(l.Now())
	for name, b := range l.branches {
		if !b.hadEnvironments() && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return l.each(l.notes, names, func(name string) error {
		return l.endNotes(ctx, l.branch(name, envs[name]), "spec.feedback.note is Never")
	})
}

// isAnswer reports whether the forge did what it was asked for, or will not: asking again would change nothing.
func isAnswer(err error) bool {
	return err == nil || slices.Contains([]forge.Reason{forge.Forbidden, forge.NotFound, forge.Refused}, forge.ReasonOf(err))
}

// endNotes writes into the notes of a branch that they are not kept up to date any more, and why. One that the forge does not
// let the agent edit stays as it is.
func (l *line) endNotes(ctx context.Context, b *branch, why string) error {
	text := leftText(subject{branch: b.name, agent: l.Agent, page: l.Page}, why)
	switch {
	case !b.hadEnvironments():
		text = planEnded
	case len(b.envs) == 0:
		text = l.noteOf(b)
	}
	for _, number := range slices.Sorted(maps.Keys(b.notes)) {
		known, marker := b.notes[number], l.marker(l.last, number)
		if known.id == 0 || known.digest == digest(text) {
			continue
		}
		id, err := l.forge.PutNote(ctx, number, known.id, marker, body(marker, text, l.Now()))
		if !isAnswer(err) {
			return err
		}
		b.notes[number] = note{id: cmp.Or(id, known.id), digest: digest(text)}
	}
	return nil
}

// notAnyMore is the text of the last report.
const notAnyMore = "not reported any more"

// endStatuses ends the unfinished statuses of a branch, unless the forge refuses.
func (l *line) endStatuses(ctx context.Context, b *branch) error {
	for _, name := range slices.Sorted(maps.Keys(b.told)) {
		told := b.told[name]
		if told.Commit == "" || forge.State(told.State).Final() {
			continue
		}
		end := forge.Status{Branch: b.name, Name: cmp.Or(told.Name, statusName(l.Agent, entryIn(name))), Commit: told.Commit, State: forge.Canceled, Pipeline: told.Pipeline,
			Weight: weightOf(l.last), Description: notAnyMore}
		if _, err := l.forge.SetStatus(ctx, end); !isAnswer(err) {
			return err
		}
		told.State, told.Digest = string(end.State), ""
		b.told[name] = told
	}
	return nil
}

// cancelDeployments ends the unfinished deployments of a branch, unless the forge refuses.
func (l *line) cancelDeployments(ctx context.Context, b *branch) error {
	for _, name := range slices.Sorted(maps.Keys(b.told)) {
		told := b.told[name]
		d := told.Deployment
		if d == nil || d.ID == 0 || forge.State(d.State).Final() {
			continue
		}
		end := forge.Deployment{ID: d.ID, Commit: d.Commit, Branch: b.name, Environment: d.Environment, State: forge.Canceled, Description: notAnyMore}
		if _, err := l.forge.SetDeployment(ctx, end); !isAnswer(err) {
			return err
		}
		told.Deployment = &v1alpha1.DeploymentRecord{ID: d.ID, Commit: d.Commit, State: string(end.State), Environment: d.Environment}
		b.told[name] = told
	}
	return nil
}

// weightOf returns the weight of a Repository's statuses.
func weightOf(repo *v1alpha1.Repository) forge.Weight {
	if repo.Spec.Feedback.Statuses == v1alpha1.StatusesBlocking {
		return forge.Blocking
	}
	return forge.Informative
}

// leftText returns the text of a note that is not kept up to date any more.
func leftText(about subject, why string) string {
	return about.heading() + "Not reported here any more: " + why + ". `berth get` shows the environments.\n"
}
