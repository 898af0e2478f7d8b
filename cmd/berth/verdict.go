package main

import (
	"fmt"
	"strings"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/inspect"
	"berth.dev/berth/cmd/internal/output"
)

// verdict is what the state of an Environment means for a command that waits.
type verdict struct {
	stage stage
	// why is the reason; empty if the Environment's own message has it.
	why string
}

// stage is the progress of what a command waits for.
type stage int

const (
	stale stage = iota // the status is out of date: the agent has not reconciled it yet
	going              // it is under way
	good
	bad
)

func (v verdict) over() bool { return v.stage == good || v.stage == bad }

// judgement returns the verdict on the state of an Environment.
type judgement func(*v1alpha1.Environment) verdict

// settled returns the verdict on the current status, whatever commit it is for.
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

// isQueued reports whether an Environment is Queued. Until its turn, the agent handles no request.
func isQueued(env *v1alpha1.Environment) bool {
	return readyOf(env.Status.Conditions).Reason == v1alpha1.ReasonQueued
}

// handled returns a judgement that waits until the status shows that the agent has handled a request.
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

// generationSeen returns a judgement that waits until the agent has seen a generation of the spec.
func generationSeen(generation int64) judgement {
	return func(env *v1alpha1.Environment) verdict {
		if env.DeletionTimestamp == nil && env.Status.ObservedGeneration < generation {
			return verdict{}
		}
		return settled(env)
	}
}

// target returns the commit that should run.
func target(env *v1alpha1.Environment) string { return inspect.Target(env) }

// current returns the verdict once the status is for the commit that should run.
func current(env *v1alpha1.Environment) verdict {
	about := env.Status.ShortCommit != "" && strings.HasPrefix(target(env), env.Status.ShortCommit)
	if env.DeletionTimestamp == nil && (env.Status.ObservedGeneration < env.Generation || !about && !isQueued(env)) {
		return verdict{}
	}
	return settled(env)
}

// awaited decides whether one commit has become healthy. Its verdict depends on earlier states, so that it must see all
// states of one environment in order.
type awaited struct {
	commit string // its id, or the beginning of it
	// orNewer accepts a newer commit instead.
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
		return verdict{bad, fmt.Sprintf("it is pinned to %s; to follow the branch again: berth pin %s --unpin", output.ShortCommit(now), env.Name)}
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

// past returns the verdict on a superseded commit, by what the status still shows of it.
func (a *awaited) past(env *v1alpha1.Environment) verdict {
	status := env.Status
	healthy := verdict{good, fmt.Sprintf("commit %s was healthy before it was superseded by %s", output.ShortCommit(a.commit), output.ShortCommit(target(env)))}
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
			return verdict{bad, fmt.Sprintf("commit %s did not become healthy, and was superseded by %s: %s", output.ShortCommit(a.commit), output.ShortCommit(target(env)), sync.Reason)}
		default:
			a.seen = true
		}
	}
	return verdict{}
}
