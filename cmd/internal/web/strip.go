package web

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/inspect"
	"berth.dev/berth/health"
)

// step is one part of the way of a commit from Git to the link.
type step struct {
	Name   string
	Tone   tone // idle: it has not been reached
	Detail string
	Link   string
	// Since is when the sync began that the step is part of, while it goes on.
	Since time.Time
}

// stripOf returns the way of the current commit, with where it stands now.
func stripOf(env *v1alpha1.Environment, groups []group) []step {
	w := way{env: env, groups: groups, reason: inspect.Ready(env.Status.Conditions).Reason}
	steps := []step{w.git(), w.render(), w.waves(), w.rollout(), w.link()}
	for n := range steps {
		if steps[n].Tone == toneBusy {
			steps[n].Since = w.began()
			break
		}
	}
	return steps
}

// began returns when the sync began that goes on; zero if none does.
func (w way) began() time.Time {
	if c := meta.FindStatusCondition(w.env.Status.Conditions, v1alpha1.ConditionReconciling); c != nil {
		return c.LastTransitionTime.Time
	}
	return time.Time{}
}

// way derives the steps from the status, and from the objects as they are now.
type way struct {
	env    *v1alpha1.Environment
	groups []group
	reason string
}

func (w way) git() step {
	s := step{Name: "Git", Tone: toneGood, Detail: w.env.Status.ShortCommit}
	target := inspect.Target(w.env)
	switch {
	case w.env.Status.ShortCommit == "":
		s.Tone, s.Detail = toneBusy, "no commit yet"
	case !strings.HasPrefix(target, w.env.Status.ShortCommit) && w.reason != v1alpha1.ReasonRolledBack:
		s.Tone, s.Detail = toneBusy, "new commit "+target[:min(8, len(target))]
	case w.env.Spec.Pin != "":
		s.Detail += ", pinned"
	}
	return s
}

// applied reports whether everything of the commit was written.
func (w way) applied() bool {
	return w.env.Status.ShortCommit != "" && strings.HasPrefix(w.env.Status.AppliedCommit, w.env.Status.ShortCommit)
}

// hasFailed reports whether an object of the environment has failed.
func (w way) hasFailed() bool {
	for _, u := range w.env.Status.Unhealthy {
		if u.Health == string(health.Failed) {
			return true
		}
	}
	return false
}

// render fails if the commit failed before anything of it was written, and no object is to blame.
func (w way) render() step {
	s := step{Name: "Render", Tone: toneGood, Detail: "manifests are valid"}
	switch {
	case w.reason == v1alpha1.ReasonFailed && !w.applied() && !w.hasFailed():
		s.Tone, s.Detail = toneBad, "refused, see the message"
	case w.env.Status.Objects == nil && w.env.Status.AppliedCommit == "":
		s.Tone, s.Detail = toneIdle, ""
		if w.reason == v1alpha1.ReasonSyncing {
			s.Tone, s.Detail = toneBusy, "reading manifests"
		}
	}
	return s
}

func (w way) waves() step {
	s := step{Name: "Waves", Tone: toneGood}
	if w.render().Tone != toneGood {
		s.Tone = toneIdle
		return s
	}
	total, settled, now := 0, 0, ""
	for _, g := range w.groups {
		if !strings.HasPrefix(g.Title, "Wave") {
			continue
		}
		total++
		switch {
		case g.Healthy == g.Total:
			settled++
		case now == "":
			now = g.Title
			if g.Tone == toneBad {
				s.Tone = toneBad
			}
		}
	}
	switch {
	case w.applied():
		s.Tone, s.Detail = toneGood, fmt.Sprintf("%d of %d applied", total, total)+w.jobs()
	case w.reason == v1alpha1.ReasonSyncing:
		s.Tone, s.Detail = toneBusy, now
	case now != "":
		s.Detail = now + " has not settled"
	}
	if total == 0 {
		s.Detail = "nothing to order"
		if n := w.env.Status.Objects; len(w.groups) == 0 && n != nil && n.Total > 0 {
			s.Detail = "no objects shown" // such as those that the viewer may not read
		}
	}
	return s
}

// jobs returns how long the Jobs of the waves ran, one after the other.
func (w way) jobs() string {
	var took time.Duration
	for _, g := range w.groups {
		longest := time.Duration(0) // those of a wave run at the same time
		for _, o := range g.Objects {
			longest = max(longest, o.Took.Duration)
		}
		took += longest
	}
	if took == 0 {
		return ""
	}
	return ", Jobs took " + took.String()
}

func (w way) rollout() step {
	s := step{Name: "Rollout", Tone: toneIdle}
	healthy, total := 0, 0
	for _, g := range w.groups {
		healthy, total = healthy+g.Healthy, total+g.Total
	}
	if total == 0 || w.waves().Tone == toneIdle {
		return s
	}
	s.Detail = fmt.Sprintf("%d of %d healthy", healthy, total)
	switch w.reason {
	case v1alpha1.ReasonHealthy:
		s.Tone = toneGood
		if len(w.env.Status.History) > 0 {
			if last := w.env.Status.History[0]; last.Took.Duration > 0 && strings.HasPrefix(last.Commit, w.env.Status.ShortCommit) {
				s.Detail += " after " + last.Took.Duration.String()
			}
		}
	case v1alpha1.ReasonSyncing:
		s.Tone = toneBusy
	case v1alpha1.ReasonFailed, v1alpha1.ReasonDegraded:
		s.Tone = toneBad
	case v1alpha1.ReasonRolledBack:
		s.Tone = toneWarn
	}
	return s
}

func (w way) link() step {
	s := step{Name: "Link", Tone: toneIdle, Link: webAddress(w.env.Status.Link), Detail: hostOf(w.env.Status.Link)}
	switch {
	case w.env.Status.Link == "":
		s.Detail = "none set"
	case w.reason == v1alpha1.ReasonHealthy, w.reason == v1alpha1.ReasonRolledBack:
		s.Tone = toneGood
	}
	return s
}
