package manifest

// Warning is a problem in Git that blocks nothing.
type Warning struct {
	// Origin is the place of the problem.
	Origin Origin
	// Object is kind/name; empty if the warning concerns no single object.
	Object string
	// Text is the problem and the next step.
	Text string
	// Level says who sees it.
	Level Level
}

// Level says who sees a warning.
type Level int

const (
	// Warn is for all users: something probably does not do what its author intended.
	Warn Level = iota
	// Note is for users who look at a render: it explains what happens to a text, which is probably right.
	Note
)

// String returns the level's name.
func (l Level) String() string {
	if l == Note {
		return "note"
	}
	return "warning"
}

// String returns "file:line: kind/name: text".
func (w Warning) String() string {
	text := w.Text
	if w.Object != "" {
		text = w.Object + ": " + text
	}
	if origin := w.Origin.String(); origin != "" {
		text = origin + ": " + text
	}
	return text
}
