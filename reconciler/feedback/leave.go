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
	for _, name := range slices.Sorted(maps.Keys(l.branches)) {
		b := l.branch(name, envs[name])
		if err == nil {
			err = l.leaveBranch(limited, b)
		}
		l.writeDown(ctx, name)
	}
	if err != nil && ctx.Err() == nil {
		l.Log.Warn("what was reported to the forge may stay as it is: "+err.Error(), "repository", l.repo.Name)
	}
}

// leaveBranch ends what was reported about the environments of a branch. It returns an error that other branches would get, too.
func (l *line) leaveBranch(ctx context.Context, b *branch) error {
	for _, env := range slices.Sorted(maps.Keys(b.told)) {
		if err := l.leaveEnvironment(ctx, b, env); forge.IsGeneral(err) {
			return err
		}
	}
	text := leftText(subject{branch: b.name, agent: l.Agent, page: l.Page})
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
		switch {
		case err == nil:
			b.notes[number] = note{id: id, digest: digest(text)}
		case forge.IsGeneral(err):
			return err
		}
	}
	return nil
}

// leaveEnvironment ends the unfinished status and deployment of an environment.
func (l *line) leaveEnvironment(ctx context.Context, b *branch, name string) error {
	told := b.told[name]
	if told.Commit != "" && !forge.State(told.State).Final() {
		end := forge.Status{Branch: b.name, Name: cmp.Or(told.Name, statusName(l.Agent, entryIn(name))), Commit: told.Commit, State: forge.Canceled, Pipeline: told.Pipeline,
			Weight: weightOf(l.last), Description: "not reported any more"}
		if _, err := l.forge.SetStatus(ctx, end); err != nil {
			return err
		}
		told.State, told.Digest = string(end.State), ""
		b.told[name] = told
	}
	if d := told.Deployment; d != nil && d.ID != 0 && !forge.State(d.State).Final() {
		end := forge.Deployment{ID: d.ID, Commit: d.Commit, Branch: b.name, Environment: d.Environment, State: forge.Canceled, Description: "not reported any more"}
		if _, err := l.forge.SetDeployment(ctx, end); err != nil {
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
func leftText(about subject) string {
	return about.heading() + "Not reported here any more: spec.feedback or the Repository was removed. `berth get` shows the environments.\n"
}
