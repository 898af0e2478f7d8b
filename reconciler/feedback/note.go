package feedback

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"berth.dev/berth/api/v1alpha1"
)

// The limits of a note and its parts, in bytes. GitHub allows 65,536 characters.
const (
	maxCell    = 120
	maxDetail  = 600
	maxLogs    = 16 << 10 // of all logs of a note
	maxObjects = 3        // of one environment, whose problems are quoted
	maxTable   = 24 << 10
	maxText    = 60 << 10 // of the whole note
)

// signs has a sign for each reason of Ready.
var signs = map[string]string{
	v1alpha1.ReasonHealthy: "✅", v1alpha1.ReasonSyncing: "🔄", v1alpha1.ReasonQueued: "⏳", v1alpha1.ReasonWaiting: "⏳",
	v1alpha1.ReasonDegraded: "⚠️", v1alpha1.ReasonFailed: "❌", v1alpha1.ReasonRolledBack: "⏪", v1alpha1.ReasonSuspended: "⏸️",
	v1alpha1.ReasonExpiring: "🗑️", v1alpha1.ReasonExpired: "🗑️", v1alpha1.ReasonDeleting: "🗑️",
}

// subject is what a note is about: the environments of a branch that an agent runs, and which a page shows.
type subject struct {
	branch, agent string
	page          Page
}

func (s subject) heading() string {
	text := "**Environments of** " + code(s.branch, maxCell)
	if s.agent != "" {
		text += " **by the agent** " + code(s.agent, maxCell)
	}
	return text + "\n\n"
}

// noteOf returns the text of the note about the environments of one branch, without the marker and without a time, so that
// it changes only with what it says.
func noteOf(about subject, envs []*v1alpha1.Environment) string {
	if len(envs) == 0 {
		return about.heading() + "Removed: no environment of this branch exists any more.\n"
	}
	envs = slices.Clone(envs)
	slices.SortFunc(envs, func(a, b *v1alpha1.Environment) int { return cmp.Compare(a.Name, b.Name) })
	var b strings.Builder
	b.WriteString(about.heading() + "| Environment | Status | Commit | Link |\n|---|---|---|---|\n")
	parts := make([]string, 0, 2*len(envs))
	for _, env := range envs {
		parts = append(parts, fmt.Sprintf("| %s | %s | %s | %s |\n", code(env.Spec.Entry, maxCell), statusCell(env), commitCell(env), link("open", env.Status.Link)))
	}
	add(&b, parts, maxTable)
	left := maxLogs
	parts = parts[:0]
	for _, env := range envs {
		parts = append(parts, details(env, about.page, &left))
	}
	if !add(&b, parts, maxText) {
		b.WriteString("\n… and more: `berth get`\n")
	}
	return b.String()
}

// add adds parts while they fit, and reports whether all did.
func add(b *strings.Builder, parts []string, most int) bool {
	for _, part := range parts {
		if b.Len()+len(part) > most {
			return false
		}
		b.WriteString(part)
	}
	return true
}

func statusCell(env *v1alpha1.Environment) string {
	ready := readyOf(env)
	if ready.Reason == "" {
		return "⏳ not reconciled yet"
	}
	return strings.TrimSpace(signs[ready.Reason] + " " + ready.Reason)
}

func commitCell(env *v1alpha1.Environment) string {
	commit := commitOf(env, readyOf(env).Reason)
	cell := code(short(commit), maxCell)
	if subject := env.Status.CommitSubject; subject != "" && strings.HasPrefix(commit, env.Status.ShortCommit) {
		cell += " " + code(subject, maxCell)
	}
	return cell
}

// details explains what a user should know of an environment beyond its row; empty: nothing.
func details(env *v1alpha1.Environment, page Page, logs *int) string {
	ready := readyOf(env)
	var b strings.Builder
	item := func(format string, args ...any) { fmt.Fprintf(&b, "- "+format+"\n", args...) }
	if ready.Reason != v1alpha1.ReasonHealthy && ready.Message != "" {
		item("%s: %s", ready.Reason, code(ready.Message, maxDetail))
	}
	if applied := env.Status.AppliedCommit; waits(ready.Reason) && applied != "" && applied != commitOf(env, ready.Reason) {
		item("Applied before: commit %s", code(short(applied), maxCell))
	}
	for _, condition := range []string{v1alpha1.ConditionMoved, v1alpha1.ConditionBranchGone, v1alpha1.ConditionExpiresSoon} {
		if c := meta.FindStatusCondition(env.Status.Conditions, condition); c != nil {
			item("%s", code(c.Message, maxDetail))
		}
	}
	if at := env.Status.ExpiresAt; at != nil && ready.Reason != v1alpha1.ReasonExpired && ready.Reason != v1alpha1.ReasonExpiring {
		item("Expires on %s unless a user pushes to the branch before.", at.UTC().Format(minutes))
	}
	more := fmt.Sprintf("More: `berth describe %s`", env.Name)
	if page != "" {
		more += ", " + link("the page", page.of(env))
	}
	switch ready.Reason {
	case v1alpha1.ReasonFailed, v1alpha1.ReasonRolledBack, v1alpha1.ReasonDegraded:
		item("%s · try again: `berth retry %s`", more, env.Name)
	case v1alpha1.ReasonHealthy:
	default:
		item("%s", more)
	}
	text := b.String() + problems(env, logs)
	if text == "" {
		return ""
	}
	return "\n" + strings.TrimSpace(signs[ready.Reason]+" "+code(env.Spec.Entry, maxCell)) + "\n\n" + text
}

// minutes is the format of times in notes.
const minutes = "2006-01-02 15:04 UTC"

// waits reports whether an environment waits before it applies the commit of its row.
func waits(reason string) bool {
	return reason == v1alpha1.ReasonQueued || reason == v1alpha1.ReasonWaiting
}

// problems quotes the worst objects of an environment, with the last lines of their logs if the status has them. It does not
// repeat what the environment's message says. No foreign text may stand in HTML: it would not be code there. While a commit
// waits, the problems are mostly those of an earlier one, and would read as if this one failed.
func problems(env *v1alpha1.Environment, logs *int) string {
	ready := readyOf(env)
	if ready.Reason == v1alpha1.ReasonHealthy || ready.Reason == v1alpha1.ReasonSyncing || waits(ready.Reason) {
		return ""
	}
	var b strings.Builder
	for _, o := range env.Status.Unhealthy[:min(maxObjects, len(env.Status.Unhealthy))] {
		name := o.Kind + "/" + o.Name
		said, hasLog := strings.Contains(clip(ready.Message, maxDetail), name+": "+o.Message), o.Log != "" && len(o.Log) <= *logs
		switch {
		case !said:
			fmt.Fprintf(&b, "- %s %s: %s\n", o.Health, code(name, maxCell), code(o.Message, maxDetail))
		case hasLog:
			fmt.Fprintf(&b, "- Log of %s\n", code(name, maxCell))
		}
		if hasLog {
			*logs -= len(o.Log)
			b.WriteString("\n<details><summary>the last lines of its log</summary>\n\n" + block(o.Log) + "\n</details>\n\n")
		}
	}
	return b.String()
}

// body returns what is sent: the marker, by which the note is found again, the text, and the time.
func body(marker, text string, now time.Time) string {
	return marker + "\n" + text + "\n<sub>Updated " + now.UTC().Format(minutes) + " by Berth, which edits this note.</sub>\n"
}
