package manifest

// Warning is something about what stands in Git that stops nothing.
type Warning struct {
	// Origin is where it is.
	Origin Origin
	// Object is kind/name; empty if it is about no single one.
	Object string
	// Text says what it is, and what to do.
	Text string
	// Level says who sees it.
	Level Level
}

// Level says who sees a warning.
type Level int

const (
	// Warn is for everybody: something probably does not do what its author meant.
	Warn Level = iota
	// Note is for who looks at a render: it explains what is done with a text, which is probably right.
	Note
)

// String says what the level is.
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
