package web

import (
	"time"

	"berth.dev/berth/cmd/internal/inspect"
)

// step is a stage of the way from Git to the link, as it is shown.
type step struct {
	inspect.Stage
	Tone tone
	Link string
}

// stageTones are those of the states of stages.
var stageTones = map[inspect.StageState]tone{
	inspect.StagePending:    toneIdle,
	inspect.StageGoing:      toneBusy,
	inspect.StageDone:       toneGood,
	inspect.StageFailed:     toneBad,
	inspect.StageRolledBack: toneWarn,
}

// stripOf returns the way of the current commit, with where it stands now.
func stripOf(d inspect.Description) []step {
	var steps []step
	for _, stage := range inspect.Stages(d.Environment, d.Objects) {
		s := step{Stage: stage, Tone: stageTones[stage.State]}
		if s.Name == "Link" && d.Environment.Status.Link != "" {
			s.Link, s.Detail = webAddress(stage.Detail), hostOf(stage.Detail)
		}
		steps = append(steps, s)
	}
	return steps
}

// counted is how long something has been going on, in seconds.
func counted(since, now time.Time) string {
	return max(0, now.Sub(since)).Truncate(time.Second).String()
}
