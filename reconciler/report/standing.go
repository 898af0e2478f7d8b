package report

import (
	"time"

	"berth.dev/berth/reconciler"
)

// Standing is the state of an Environment, as its controller knows it.
type Standing struct {
	Life Life
	// Outcome is the outcome of the pass, or of the step of a teardown. Without either, it has no finding.
	Outcome reconciler.Outcome
	// Took is the duration of the pass; zero: there was none.
	Took time.Duration
	// Fetched is how long it took to list and fetch the commit that should run; zero: it is not known.
	Fetched time.Duration
	// Link is the environment's address for users.
	Link string
	// Preview says that the environment's entry has patterns.
	Preview bool
	// ShowLogs says that all users who may read the status may also read logs.
	ShowLogs bool
}

// Life is where an environment is between the first push to its branch and its end.
type Life struct {
	Stage Stage
	// Message explains the stage; empty if the outcome explains it.
	Message string
	// Activity identifies the last push or user action. LastActivity is its time.
	Activity     string
	LastActivity time.Time
	// ExpiresAt is when the namespace is deleted if nothing happens until then; zero: never.
	ExpiresAt time.Time
	// ExpiresSoon, Moved and BranchGone are messages for users, and empty where they do not apply.
	ExpiresSoon, Moved, BranchGone string
}

// Stage is a stage of an environment's life.
type Stage string

// The stages of an environment's life.
const (
	Living   Stage = ""         // the environment is what Git says, or is on its way there
	Queued   Stage = "Queued"   // the environment waits for its turn
	Held     Stage = "Held"     // a user has to decide about it
	Expiring Stage = "Expiring" // the environment was unused, and its namespace is being deleted
	Expired  Stage = "Expired"  // its namespace is deleted
	Deleting Stage = "Deleting" // the environment is being deleted
)

// judged returns the finding of a pass of a living environment.
func (s Standing) judged() (reconciler.Judged, bool) {
	j, ok := s.Outcome.Finding.(reconciler.Judged)
	return j, ok && s.Life.Stage == Living
}

// tornDown returns the finding of a step of a teardown.
func (s Standing) tornDown() (reconciler.TornDown, bool) {
	t, ok := s.Outcome.Finding.(reconciler.TornDown)
	return t, ok
}
