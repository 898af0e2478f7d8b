package feedback

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/source/forge"
)

// branch is what was reported about the environments of one branch.
type branch struct {
	name  string
	envs  []*v1alpha1.Environment                 // copies, with the newest status
	told  map[string]v1alpha1.EnvironmentFeedback // by the name of the Environment; of those that are gone, too
	notes map[int64]note                          // by merge request
	due   time.Time                               // when to compare the notes again; zero: not before something changes
	noted string                                  // the digest of the text for which the merge requests were last listed
	since time.Time                               // since when a sync goes on that the notes do not show; zero: none does
}

// note is a note in a merge request.
type note struct {
	id     int64  // 0: there is none
	digest string // of the text, without the plan
	plan   string // identifies what the plan in it depends on; empty: it has none
	edited time.Time
}

// maxNotes is the maximum number of notes of one branch that are remembered, beside those in open merge requests. Merge
// requests of a long-lived branch come and go.
const maxNotes = 10

// branch returns a branch with its current Environments. What was reported is at first what these say.
func (l *line) branch(name string, cached []*v1alpha1.Environment) *branch {
	b, ok := l.branches[name]
	if !ok {
		b = &branch{name: name, told: map[string]v1alpha1.EnvironmentFeedback{}, notes: map[int64]note{}}
		l.branches[name] = b
	}
	b.envs = nil
	for _, env := range cached {
		env = env.DeepCopy()
		l.Recall(env)
		b.envs = append(b.envs, env)
		if _, known := b.told[env.Name]; known {
			continue
		}
		var told v1alpha1.EnvironmentFeedback
		if env.Status.Feedback != nil && env.Status.Feedback.Project == l.project {
			told = *env.Status.Feedback
		}
		b.told[env.Name] = told
		for _, n := range told.Notes {
			if _, known := b.notes[n.MergeRequest]; !known {
				b.notes[n.MergeRequest] = note{id: n.ID, digest: n.Digest, plan: n.Plan}
			}
		}
	}
	return b
}

// setStatuses sends the commit statuses that differ.
func (l *line) setStatuses(ctx context.Context, repo *v1alpha1.Repository, b *branch) error {
	weight := weightOf(repo)
	there := map[string]bool{}
	for _, env := range b.envs {
		there[env.Name] = true
		if err := l.setStatus(ctx, env, weight, b); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.told)) {
		if there[name] {
			continue
		}
		gone := &v1alpha1.Environment{}
		gone.Name, gone.Spec.Entry, gone.Spec.Branch = name, entryIn(name), b.name
		if err := l.supersede(ctx, gone, weight, b, forge.Status{Name: statusName(l.Agent, gone.Spec.Entry)}); err != nil {
			return err
		}
	}
	return nil
}

// entryIn returns the entry in the name of an Environment.
func entryIn(name string) string {
	_, rest, _ := strings.Cut(name, ".")
	entry, _, _ := strings.Cut(rest, ".")
	return entry
}

// setStatus sends the commit status of an Environment if it differs.
func (l *line) setStatus(ctx context.Context, env *v1alpha1.Environment, weight forge.Weight, b *branch) error {
	s, wanted := statusOf(env, l.Page)
	next := s
	if !wanted {
		next.Commit = ""
	}
	if err := l.supersede(ctx, env, weight, b, next); err != nil || !wanted {
		return err
	}
	s.Weight = weight
	told, content := b.told[env.Name], digest([]any{s.Name, s.State, s.Weight, s.Description, s.Link})
	if told.Commit == s.Commit && told.Digest == content {
		return nil
	}
	if told.Commit == s.Commit && told.Name == s.Name {
		s.Pipeline = told.Pipeline
	}
	pipeline, err := l.forge.SetStatus(ctx, s)
	if err != nil {
		return err
	}
	told.Name, told.Commit, told.State, told.Digest, told.Pipeline = s.Name, s.Commit, string(s.State), content, pipeline
	b.told[env.Name] = told
	return nil
}

// supersede ends the status of an earlier commit that is not final. A commit may be gone after a forced push.
func (l *line) supersede(ctx context.Context, env *v1alpha1.Environment, weight forge.Weight, b *branch, next forge.Status) error {
	told := b.told[env.Name]
	end, ok := superseded(env, told, next)
	if !ok {
		return nil
	}
	end.Weight = weight
	if _, err := l.forge.SetStatus(ctx, end); err != nil && forge.ReasonOf(err) != forge.NotFound && forge.ReasonOf(err) != forge.Refused {
		return err
	}
	told.State, told.Digest = string(end.State), ""
	b.told[env.Name] = told
	return nil
}

// hesitates reports whether the notes of a branch wait for the end of a sync that has just begun: most end soon, and a note
// that was edited for the beginning would show the end later.
func (l *line) hesitates(b *branch) bool {
	going := slices.ContainsFunc(b.envs, func(env *v1alpha1.Environment) bool { return readyOf(env).Reason == v1alpha1.ReasonSyncing })
	now := l.Now()
	switch {
	case !going:
		b.since = time.Time{}
		return false
	case b.since.IsZero():
		b.since = now
	}
	if at := b.since.Add(hesitation); now.Before(at) {
		b.due = at
		return true
	}
	return false
}

// hesitation is how long a sync goes on before notes show it.
const hesitation = 2 * time.Second

// marker returns the first line of a note, which Markdown does not show. Nobody can know it before the note is there. It stays
// when spec.url follows a project that was renamed.
func (l *line) marker(repo *v1alpha1.Repository, number int64) string {
	mac := hmac.New(sha256.New, l.Key)
	fmt.Fprintf(mac, "note\x00%s\x00%s\x00%d", repo.Namespace, repo.Name, number)
	if l.Agent != "" {
		fmt.Fprintf(mac, "\x00%s", l.Agent)
	}
	return "<!-- berth " + hex.EncodeToString(mac.Sum(nil)[:16]) + " -->"
}

// writeDown writes what was reported into the statuses of a branch's Environments, where it differs. A write that fails is
// repeated after the next report: until then the status is out of date, and at worst something is sent twice after a restart.
// An agent that stops still writes.
func (l *line) writeDown(ctx context.Context, name string) {
	b := l.branches[name]
	trouble := cmp.Or(l.statuses.failed[name], l.notes.failed[name], l.deployments.failed[name])
	if ctx.Err() != nil {
		trouble = nil // what was interrupted is no trouble of the forge
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWrites)
	defer cancel()
	for _, env := range b.envs {
		told := b.told[env.Name]
		told.Notes, told.Error = nil, ""
		for _, number := range slices.Sorted(maps.Keys(b.notes)) {
			n := b.notes[number]
			told.Notes = append(told.Notes, v1alpha1.MergeRequestNote{MergeRequest: number, ID: n.id, Digest: n.digest, Plan: n.plan})
		}
		told.Plans = l.heldBy(env.Name)
		if trouble != nil {
			told.Error = clip(trouble.Error(), maxError)
		}
		told.Project = ""
		if !equality.Semantic.DeepEqual(told, v1alpha1.EnvironmentFeedback{}) {
			told.Project = l.project
		}
		b.told[env.Name] = told
		var before v1alpha1.EnvironmentFeedback
		if env.Status.Feedback != nil {
			before = *env.Status.Feedback
		}
		if equality.Semantic.DeepEqual(before, told) {
			continue
		}
		if err := l.Write(ctx, env, &told); err != nil {
			l.Log.Warn("cannot write down what was reported to the forge", "environment", env.Name, "error", err)
		}
	}
	if waits := l.statuses.dirty[name] || l.notes.dirty[name] || l.deployments.dirty[name] || !b.due.IsZero() || l.isOpen(b); len(b.envs) == 0 && trouble == nil && !waits {
		delete(l.branches, name)
	}
	b.envs = nil // they are read again when they are compared
}

// isOpen reports whether a branch without environments has an open merge request with a plan.
func (l *line) isOpen(b *branch) bool { return !b.hadEnvironments() && len(l.open[b.name]) > 0 }

// lastWrites is how long an agent that stops may take to write down what was reported.
const lastWrites = 5 * time.Second

// maxError bounds the error in a status, in bytes.
const maxError = 512
