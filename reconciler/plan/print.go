package plan

import (
	"strings"

	"berth.dev/berth/health"
)

// String returns the plan as text for users: a line for each step, and one for the state.
func (p Plan) String() string {
	var b strings.Builder
	for _, s := range p.Steps {
		b.WriteString(s.String() + "\n")
	}
	b.WriteString(string(p.State))
	if p.Message != "" {
		b.WriteString(": " + p.Message)
	}
	return b.String()
}

// String returns the step in one line: the action, the object, the reason, and what it waits for.
func (s Step) String() string {
	text := string(s.Action) + " " + s.Key.String()
	if s.Reason != "" {
		text += ": " + s.Reason
	}
	if len(s.Leave) > 0 && s.Acts() {
		text += " [leaves " + strings.Join(s.Leave, ", ") + "]"
	}
	if len(s.Hold) > 0 && s.Acts() {
		text += " [keeps " + strings.Join(s.Hold, ", ") + "]"
	}
	switch {
	case s.Failure != "":
		text += " [failed: " + s.Failure + "]"
	case s.Blocked != "":
		text += " [blocked: " + s.Blocked + "]"
	case s.Action == Keep && s.Health.Status != health.Healthy:
		text += " (" + string(s.Health.Status) + ": " + s.Health.Message + ")"
	}
	return text
}
