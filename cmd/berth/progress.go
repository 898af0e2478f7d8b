package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/meta"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/output"
	"berth.dev/berth/health"
)

// progress shows how an environment reaches the state that a user waits for. It uses only the Environment's status, so
// that the right to read the Environment is enough.
type progress struct {
	view view
	// rows are the objects that were not healthy at any time since the command started, in the order of their appearance.
	rows []progressRow
	err  error
}

// progressRow is the health of one object.
type progressRow struct {
	object, health, message string
}

// view shows frames, one after the other.
type view interface {
	show(frame) error
}

// frame is the progress at one moment.
type frame struct {
	// head is the progress in one line; count may be added to it.
	head, count string
	rows        []progressRow
	// last marks the last frame.
	last bool
}

// say shows one line without objects.
func (p *progress) say(what string) { p.show(frame{head: what}) }

// environment shows an Environment, unless its status is out of date.
func (p *progress) environment(env *v1alpha1.Environment, v verdict) {
	switch {
	case v.stage == stale && readyOf(env.Status.Conditions).Reason == "":
		p.say(env.Name + ": waiting for the agent, which has not reconciled it yet")
	case v.stage == stale:
		p.say(env.Name + ": waiting for the agent")
	default:
		p.note(env)
		f := headline(env, v)
		f.rows, f.last = p.rows, v.over()
		p.show(f)
	}
}

func (p *progress) show(f frame) {
	f.head = output.Plain(f.head)
	if err := p.view.show(f); p.err == nil {
		p.err = err
	}
}

// headline describes an Environment in one line.
func headline(env *v1alpha1.Environment, v verdict) frame {
	ready := readyOf(env.Status.Conditions)
	is := strings.TrimSpace(output.ShortCommit(target(env)) + " " + ready.Reason)
	head := env.Name + ": " + is
	switch o := env.Status.Objects; {
	case v.why != "":
		return frame{head: env.Name + ": " + strings.TrimPrefix(is+"; "+v.why, "; ")}
	case v.stage == bad: // the command's error has the reason
		return frame{head: head}
	case ready.Reason == v1alpha1.ReasonHealthy && meta.IsStatusConditionTrue(env.Status.Conditions, v1alpha1.ConditionBranchGone):
		return frame{head: head + ": " + ready.Message}
	case ready.Reason == v1alpha1.ReasonHealthy:
		return frame{head: strings.TrimSpace(head + " " + env.Status.Link)}
	case ready.Reason == v1alpha1.ReasonSyncing && o != nil && len(env.Status.Unhealthy) > 0:
		return frame{head: head, count: fmt.Sprintf("%d of %s healthy", o.Healthy, output.Count(int(o.Total), "object"))}
	}
	return frame{head: strings.TrimSuffix(head+": "+ready.Message, ": ")}
}

// note records which objects are not healthy. An object that is no longer among them is healthy, unless there are so
// many that the status names only the worst.
func (p *progress) note(env *v1alpha1.Environment) {
	all := env.Status.Objects == nil || int(env.Status.Objects.Total-env.Status.Objects.Healthy) <= len(env.Status.Unhealthy)
	listed := map[string]bool{}
	for _, u := range env.Status.Unhealthy {
		row := progressRow{u.Kind + "/" + u.Name, u.Health, u.Message}
		if u.Namespace != "" {
			row.object = u.Kind + "/" + u.Namespace + "/" + u.Name
		}
		listed[row.object] = true
		if i := slices.IndexFunc(p.rows, row.isOf); i >= 0 {
			p.rows[i] = row
		} else {
			p.rows = append(p.rows, row)
		}
	}
	for i := range p.rows {
		if all && !listed[p.rows[i].object] {
			p.rows[i] = progressRow{p.rows[i].object, string(health.Healthy), ""}
		}
	}
}

func (r progressRow) isOf(other progressRow) bool { return r.object == other.object }

func (r progressRow) text() string {
	return "  " + output.Plain(strings.TrimSuffix(fmt.Sprintf("%s: %s: %s", r.object, r.health, r.message), ": "))
}

// lines is a view without a terminal, which prints a line for every change.
type lines struct {
	w     io.Writer
	head  string
	shown map[string]string
}

func (l *lines) show(f frame) error {
	var text []string
	for _, row := range f.rows {
		if line := row.text(); l.shown[row.object] != line {
			l.shown[row.object] = line
			text = append(text, line)
		}
	}
	switch {
	case f.head == l.head: // only the count changed, and the lines of the objects show that
	case f.last:
		text = append(text, f.head)
	default:
		text = slices.Insert(text, 0, f.head)
	}
	l.head = f.head
	if len(text) == 0 {
		return nil
	}
	_, err := io.WriteString(l.w, strings.Join(text, "\n")+"\n")
	return err
}

// screen is a view that redraws a table at the same place of a terminal.
type screen struct {
	w io.Writer
	// size returns the size of the terminal, which may change.
	size  func() (width, height int)
	drawn int // how many lines
}

func (s *screen) show(f frame) error {
	width, height := s.size()
	text := []string{strings.TrimSuffix(f.head+", "+f.count, ", ")}
	shown, more := worst(f.rows, max(1, height-3-rowsOf(text[0], width)))
	if len(shown) > 0 {
		var table strings.Builder
		cells := [][]string{{"OBJECT", "HEALTH", "MESSAGE"}}
		for _, row := range shown {
			cells = append(cells, []string{row.object, row.health, row.message})
		}
		if err := output.NewTable(&table).Write(cells...); err != nil {
			return err
		}
		text = append(text, strings.Split(strings.TrimSuffix(table.String(), "\n"), "\n")...)
	}
	if more > 0 {
		text = append(text, fmt.Sprintf("and %d more", more))
	}
	var drawing strings.Builder
	if s.drawn > 0 {
		fmt.Fprintf(&drawing, "\x1b[%dA\x1b[J", s.drawn)
	}
	s.drawn = 0
	for i, line := range text {
		// The head and the whole last frame stay on the screen. The terminal wraps their lines, so that users can copy
		// complete links and commands.
		if i > 0 && !f.last {
			line = clipped(line, width)
		}
		s.drawn += rowsOf(line, width)
		drawing.WriteString(line + "\n")
	}
	_, err := io.WriteString(s.w, drawing.String())
	return err
}

// worst returns the rows that fit, and how many do not. It drops healthy objects first.
func worst(rows []progressRow, room int) (shown []progressRow, more int) {
	if len(rows) <= room {
		return rows, 0
	}
	shown = slices.Clone(rows)
	slices.SortStableFunc(shown, func(a, b progressRow) int {
		return cmp.Compare(severityOf(a), severityOf(b))
	})
	return shown[:room], len(rows) - room
}

func severityOf(r progressRow) int {
	switch health.Status(r.health) {
	case health.Failed:
		return 0
	case health.Healthy:
		return 2
	}
	return 1
}

// rowsOf returns the number of terminal rows that a line takes.
func rowsOf(line string, width int) int {
	return max(1, (utf8.RuneCountInString(line)+max(1, width)-1)/max(1, width))
}

// clipped cuts a line to one terminal row.
func clipped(line string, width int) string {
	if runes := []rune(line); width > 1 && len(runes) > width {
		return string(runes[:width-1]) + "…"
	}
	return line
}
