package main

import (
	"fmt"
	"strings"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/output"
)

// verdict is what a state of an Environment means to somebody who waits for something.
type verdict struct {
	stage stage
	// why says more than the Environment does; empty where its own message says all.
	why string
}

// stage is how far it is.
type stage int

const (
	stale stage = iota // the agent has not got to it yet: what the status says is of something else
	going              // it is on its way
	good
	bad
)

func (v verdict) over() bool { return v.stage == good || v.stage == bad }

// judgement says what a state of an Environment means.
type judgement func(*v1alpha1.Environment) verdict

// settled judges by what the agent says now, of whatever it is.
func settled(env *v1alpha1.Environment) verdict {
	if env.DeletionTimestamp != nil {
		return verdict{bad, "it is being deleted"}
	}
	switch readyOf(env.Status.Conditions).Reason {
	case v1alpha1.ReasonHealthy:
		return verdict{stage: good}
	case v1alpha1.ReasonFailed, v1alpha1.ReasonDegraded, v1alpha1.ReasonRolledBack, v1alpha1.ReasonSuspended:
		return verdict{stage: bad}
	}
	return verdict{stage: going}
}

// isQueued says whether others go first: until they have, the agent handles no request.
func isQueued(env *v1alpha1.Environment) bool {
	return readyOf(env.Status.Conditions).Reason == v1alpha1.ReasonQueued
}

// handled judges once the agent has seen to a request, which the status shows.
func handled(id string, in func(v1alpha1.EnvironmentStatus) string) judgement {
	return func(env *v1alpha1.Environment) verdict {
		switch {
		case env.DeletionTimestamp != nil:
			return settled(env)
		case in(env.Status) != id && isQueued(env):
			return verdict{stage: going}
		case in(env.Status) != id || env.Status.ObservedGeneration < env.Generation:
			return verdict{}
		}
		return settled(env)
	}
}

// generationSeen judges once the agent has seen a generation of the spec.
func generationSeen(generation int64) judgement {
	return func(env *v1alpha1.Environment) verdict {
		if env.DeletionTimestamp == nil && env.Status.ObservedGeneration < generation {
			return verdict{}
		}
		return settled(env)
	}
}

// target is the commit that should run.
func target(env *v1alpha1.Environment) string {
	if env.Spec.Pin != "" {
		return env.Spec.Pin
	}
	return env.Spec.Commit
}

// current judges once the status is about the commit that should run.
func current(env *v1alpha1.Environment) verdict {
	about := env.Status.ShortCommit != "" && strings.HasPrefix(target(env), env.Status.ShortCommit)
	if env.DeletionTimestamp == nil && (env.Status.ObservedGeneration < env.Generation || !about && !isQueued(env)) {
		return verdict{}
	}
	return settled(env)
}

// awaited judges whether one commit has become healthy. What it saw earlier counts: so it must see every state in
// turn, those of one environment.
type awaited struct {
	commit string // its id, or the beginning of it
	// orNewer takes a commit that came after it for it.
	orNewer bool
	seen    bool
}

func (a *awaited) is(commit string) bool { return commit != "" && strings.HasPrefix(commit, a.commit) }

func (a *awaited) judge(env *v1alpha1.Environment) verdict {
	now := target(env)
	switch {
	case env.DeletionTimestamp != nil:
		return settled(env)
	case a.is(now):
		a.seen = true
		return current(env)
	case env.Spec.Pin != "":
		return verdict{bad, fmt.Sprintf("it is pinned to %s; berth pin %s --unpin lets it follow its branch", output.ShortCommit(now), env.Name)}
	}
	if past := a.past(env); past.over() {
		return past
	}
	switch {
	case !a.seen:
		return verdict{}
	case a.orNewer:
		return current(env)
	}
	return verdict{bad, fmt.Sprintf("commit %s was superseded by %s before it was healthy", output.ShortCommit(a.commit), output.ShortCommit(now))}
}

// past judges by what is left of a commit that was followed by another.
func (a *awaited) past(env *v1alpha1.Environment) verdict {
	status := env.Status
	healthy := verdict{good, fmt.Sprintf("commit %s was healthy, and has been followed by %s", output.ShortCommit(a.commit), output.ShortCommit(target(env)))}
	if a.is(status.HealthyCommit) {
		return healthy
	}
	a.seen = a.seen || a.is(status.AppliedCommit)
	for _, sync := range status.History {
		switch {
		case !a.is(sync.Commit):
		case sync.Outcome == "Healthy":
			return healthy
		case !a.orNewer:
			return verdict{bad, fmt.Sprintf("commit %s did not become healthy, and has been followed by %s: %s", output.ShortCommit(a.commit), output.ShortCommit(target(env)), sync.Reason)}
		default:
			a.seen = true
		}
	}
	return verdict{}
}
