package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/inspect"
	"berth.dev/berth/cmd/internal/output"
)

// page writes the description of an environment for people. It stops at the first write error.
type page struct {
	w   io.Writer
	now time.Time
	err error
}

func (p *page) description(d inspect.Description) {
	env := d.Environment
	p.table("", p.head(env)...)
	if env.Status.ShortCommit != "" {
		p.section("Steps", p.stages(d.Stages))
	}
	p.section("Objects", p.objects(d))
	p.section("Blocked deletions", blockedDeletions(env.Status.BlockedDeletions))
	p.section("Jobs", p.jobs(env.Status.Jobs))
	p.section("History", p.history(env.Status.History))
	p.section("Events", p.events(d.Events))
	for _, log := range d.Logs {
		p.log(log)
	}
	if warnings := d.Environment.Status.Warnings; len(warnings) > 0 {
		p.write("\nWarnings:\n")
		for _, warning := range warnings {
			p.write("  " + output.Plain(warning) + "\n")
		}
	}
	if len(d.Notes) > 0 {
		p.write("\nNot shown:\n")
		for _, note := range d.Notes {
			p.write("  " + output.Plain(note) + "\n")
		}
	}
}

// blockedDeletions names the objects that wait for a confirmation.
func blockedDeletions(b *v1alpha1.BlockedDeletions) (rows [][]string) {
	for _, line := range inspect.Blocked(b) {
		rows = append(rows, []string{line})
	}
	return rows
}

// head returns the properties and the status of the environment.
func (p *page) head(env *v1alpha1.Environment) [][]string {
	ready := readyOf(env.Status.Conditions)
	status := cmp.Or(ready.Reason, "not reconciled by the agent yet")
	if since := ready.LastTransitionTime; !since.IsZero() {
		verb := ", not ready for "
		if ready.Status == metav1.ConditionTrue {
			verb = " for "
		}
		status += verb + output.Age(since.Time, p.now)
	}
	rows := [][]string{
		{"Environment:", env.Name},
		{"Repository:", env.Spec.Repository + ", entry " + env.Spec.Entry},
		{"Agent:", env.Spec.Agent},
		{"Cluster:", env.Spec.Cluster},
		{"Branch:", env.Spec.Branch},
		{"Namespace:", env.Spec.Namespace},
		{"Link:", env.Status.Link},
		{"Status:", status},
		{"Message:", ready.Message},
		{"Age:", output.Age(env.CreationTimestamp.Time, p.now)},
		{"Commit:", p.commit(env)},
		{"Author:", env.Status.CommitAuthor},
		{"Subject:", env.Status.CommitSubject},
		{"Applied:", output.ShortCommit(env.Status.AppliedCommit)},
		{"Last healthy:", output.ShortCommit(env.Status.HealthyCommit)},
		{"Pinned to:", output.ShortCommit(env.Spec.Pin)},
		{"Suspended:", yes(env.Spec.Suspend)},
		{"Going since:", p.ago(env.DeletionTimestamp)},
		{"Expires:", timeText(env.Status.ExpiresAt)},
		{"Reported:", inspect.Reported(env.Status.Feedback)},
		{"Not reported:", inspect.NotReported(env.Status.Feedback)},
	}
	return slices.DeleteFunc(rows, func(row []string) bool { return row[1] == "" })
}

// commit returns the branch's head, and the commit that runs or is being tried if it differs.
func (p *page) commit(env *v1alpha1.Environment) string {
	head := output.ShortCommit(env.Spec.Commit)
	text := head
	if tried := env.Status.ShortCommit; tried != "" && tried != head {
		text += ", the agent is still at " + tried
	}
	if made := ageOf(env.Status.CommitTime, p.now); made != "" {
		text += " (" + made + " old)"
	}
	return text
}

// stages returns the way of the commit from Git to the link.
func (p *page) stages(stages []inspect.Stage) [][]string {
	rows := [][]string{{"STEP", "STATE", "TOOK", "DETAIL"}}
	for _, s := range stages {
		took := ""
		switch {
		case s.Took.Duration > 0:
			took = s.Took.Duration.String()
		case !s.Since.IsZero():
			took = output.Age(s.Since.Time, p.now) + " so far"
		}
		rows = append(rows, []string{s.Name, string(s.State), took, s.Detail})
	}
	return rows
}

func (p *page) objects(d inspect.Description) [][]string {
	waves := slices.ContainsFunc(d.Objects, func(o inspect.Object) bool { return o.Wave != "" })
	row := func(health, object, wave, age, message string) []string {
		if !waves {
			return []string{health, object, age, message}
		}
		return []string{health, object, wave, age, message}
	}
	rows := [][]string{row("HEALTH", "OBJECT", "WAVE", "AGE", "MESSAGE")}
	for _, o := range d.Objects {
		name := o.Kind + "/" + o.Name
		if o.Namespace != "" && o.Namespace != d.Environment.Spec.Namespace {
			name = o.Kind + "/" + o.Namespace + "/" + o.Name
		}
		rows = append(rows, row(string(o.Health), name, cmp.Or(o.Wave, "0"), output.Age(o.CreatedAt.Time, p.now), o.Message))
	}
	return rows
}

func (p *page) jobs(jobs []v1alpha1.JobStatus) [][]string {
	rows := [][]string{{"JOB", "OUTCOME", "FINISHED"}}
	for _, j := range jobs {
		rows = append(rows, []string{j.Name, j.Outcome, p.ago(j.FinishedAt)})
	}
	return rows
}

func (p *page) history(syncs []v1alpha1.SyncStatus) [][]string {
	rows := [][]string{{"COMMIT", "OUTCOME", "WHEN", "TOOK", "BY", "REASON"}}
	for _, s := range syncs {
		rows = append(rows, []string{output.ShortCommit(s.Commit), s.Outcome, p.ago(&s.Time), took(s), s.RequestedBy.String(), s.Reason})
	}
	return rows
}

func (p *page) events(events []inspect.Event) [][]string {
	rows := [][]string{{"LAST SEEN", "TYPE", "REASON", "MESSAGE"}}
	for _, e := range events {
		rows = append(rows, []string{p.ago(&e.Time), e.Type, e.Reason, e.Message})
	}
	return rows
}

func (p *page) log(l inspect.Log) {
	which := "its last lines"
	if l.Previous {
		which = "the last lines before it crashed"
	}
	p.write(fmt.Sprintf("\nLog of %s: pod %s, container %s, %s:\n", l.Object, l.Pod, l.Container, which))
	switch {
	case l.Error != "":
		p.write("  (" + output.Plain(l.Error) + ")\n")
	case len(l.Lines) == 0:
		p.write("  (it wrote nothing)\n")
	}
	for _, line := range l.Lines {
		p.write("  " + output.Plain(line) + "\n")
	}
}

// section writes a table with a title, unless the table has only a header.
func (p *page) section(title string, rows [][]string) {
	if len(rows) > 1 {
		p.write("\n" + title + ":\n")
		p.table("  ", rows...)
	}
}

func (p *page) table(indent string, rows ...[]string) {
	var text strings.Builder
	if err := output.NewTable(&text).Write(rows...); err != nil {
		p.err = err
	}
	for line := range strings.Lines(text.String()) {
		p.write(indent + line)
	}
}

func (p *page) write(text string) {
	if p.err == nil {
		_, p.err = io.WriteString(p.w, text)
	}
}

func (p *page) ago(t *metav1.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return output.Age(t.Time, p.now) + " ago"
}

func timeText(t *metav1.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func took(s v1alpha1.SyncStatus) string {
	if s.Took.Duration == 0 {
		return ""
	}
	return s.Took.Duration.String()
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}
