package web

import (
	"regexp"

	"k8s.io/apimachinery/pkg/api/meta"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/inspect"
	"berth.dev/berth/health"
)

// tone is the colour of a state. The word of the state says the same without colour.
type tone string

// The tones.
const (
	toneGood tone = "good"
	toneBusy tone = "busy"
	toneBad  tone = "bad"
	toneWarn tone = "warn"
	toneIdle tone = "idle"
)

// tones are those of the reasons of Ready. Other reasons are idle.
var tones = map[string]tone{
	v1alpha1.ReasonHealthy:    toneGood,
	v1alpha1.ReasonSyncing:    toneBusy,
	v1alpha1.ReasonFailed:     toneBad,
	v1alpha1.ReasonDegraded:   toneBad,
	v1alpha1.ReasonRolledBack: toneWarn,
}

var healthTones = map[health.Status]tone{
	health.Healthy:     toneGood,
	health.Progressing: toneBusy,
	health.Failed:      toneBad,
	health.Terminating: toneWarn,
	health.Unknown:     toneWarn,
}

// eventTones are those of the types of events.
var eventTones = map[string]tone{"Normal": toneIdle, "Warning": toneWarn}

func toneOfHealth(s health.Status) tone {
	if t, ok := healthTones[s]; ok {
		return t
	}
	return toneIdle
}

// outcomes are the tones of ended syncs and of Jobs.
var outcomes = map[string]tone{
	"Healthy": toneGood, "Complete": toneGood, "Failed": toneBad, "RolledBack": toneWarn, "Running": toneBusy,
}

func toneOfOutcome(outcome string) tone {
	if t, ok := outcomes[outcome]; ok {
		return t
	}
	return toneIdle
}

// state is the status of an environment in one word, and the reason in one line.
type state struct {
	Word   string
	Tone   tone
	Reason string
}

// podCause matches a reason that says what is wrong with an object, and then why: with the object, and what its pod says.
var podCause = regexp.MustCompile(`^((?:not ready [^:]*: )?[A-Z]\w*/[^\s:]+: )[^\n]*?\bpod [^\s:]+: ([^\n]+)`)

// Brief returns the reason as a row has room for it: the cause first, without the numbers of pods and the name of one.
func (s state) Brief() string {
	if found := podCause.FindStringSubmatch(s.Reason); found != nil {
		return found[1] + found[2]
	}
	return s.Reason
}

func stateOf(env *v1alpha1.Environment) state {
	ready := inspect.Ready(env.Status.Conditions)
	s := state{Word: ready.Reason, Tone: tones[ready.Reason], Reason: ready.Message}
	if s.Tone == "" {
		s.Tone = toneIdle
	}
	switch {
	case ready.Reason == "":
		s.Word, s.Reason = "New", "the agent has not reconciled it yet"
	case ready.Reason == v1alpha1.ReasonHealthy:
		s.Reason = notice(env)
	}
	return s
}

// notice returns what is to be known of a healthy environment.
func notice(env *v1alpha1.Environment) string {
	for _, kind := range []string{v1alpha1.ConditionBranchGone, v1alpha1.ConditionMoved, v1alpha1.ConditionExpiresSoon} {
		if c := meta.FindStatusCondition(env.Status.Conditions, kind); c != nil {
			return c.Message
		}
	}
	if len(env.Status.Warnings) > 0 {
		return env.Status.Warnings[0]
	}
	return ""
}
