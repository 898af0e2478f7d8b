package report

import (
	"time"

	"berth.dev/berth/reconciler"
)

// Standing is how an Environment stands, as its controller knows.
type Standing struct {
	Life Life
	// Outcome is that of the pass, or of the step of its teardown. It has no finding where none was made.
	Outcome reconciler.Outcome
	// Link is the environment's address for people.
	Link string
	// ShowLogs says that everybody who may read the status may read logs, too.
	ShowLogs bool
}

// Life is where an environment stands between the first push to its branch and its end.
type Life struct {
	Stage Stage
	// Message says why the stage is what it is; empty where the outcome says so.
	Message string
	// Activity stands for what pushes and people last did, at LastActivity.
	Activity     string
	LastActivity time.Time
	// ExpiresAt is when the namespace is deleted if nothing happens until then; zero: never.
	ExpiresAt time.Time
	// ExpiresSoon, Moved and BranchGone are for people, and empty where they do not apply.
	ExpiresSoon, Moved, BranchGone string
}

// Stage is a part of an environment's life.
type Stage string

// The stages of an environment's life.
const (
	Living   Stage = ""         // it is what Git says, or is on its way there
	Queued   Stage = "Queued"   // others go first
	Held     Stage = "Held"     // a person has to decide about it
	Expiring Stage = "Expiring" // it was unused, and its namespace is being deleted
	Expired  Stage = "Expired"  // its namespace is deleted
	Deleting Stage = "Deleting" // it is being deleted
)

// judged returns what a pass of a living environment found.
func (s Standing) judged() (reconciler.Judged, bool) {
	j, ok := s.Outcome.Finding.(reconciler.Judged)
	return j, ok && s.Life.Stage == Living
}

// tornDown returns what a step of a teardown found.
func (s Standing) tornDown() (reconciler.TornDown, bool) {
	t, ok := s.Outcome.Finding.(reconciler.TornDown)
	return t, ok
}
