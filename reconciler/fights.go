package reconciler

import (
	"maps"
	"slices"
	"time"

	"berth.dev/berth/reconciler/apply"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/plan"
)

// A fight begins when an object has been corrected fightCount times within fightSpan. The first pause is firstTruce,
// and every further correction doubles it. The fight ends when the object has stayed unchanged for another such pause.
const (
	fightCount = 5
	fightSpan  = time.Minute
	firstTruce = time.Minute
	longTruce  = time.Hour
)

// fights has the objects that were corrected lately.
type fights map[manifest.Key]fight

type fight struct {
	// corrected are the times of the corrections within fightSpan. rival is the client that caused the newest one.
	corrected []time.Time
	rival     string
	// truce is how long the object is left alone after the newest correction; zero: there is no fight.
	truce time.Duration
}

// note records what was corrected, and returns how many fights began with it.
func (f fights) note(results []apply.Result, now time.Time) (begun int) {
	for _, r := range results {
		if r.Done != apply.Corrected {
			continue
		}
		one := f[r.Step.Key].during(now)
		one.corrected = append(slices.Clone(one.corrected), now)
		if r.Step.Live != nil && r.Step.Live.Rival != "" { // a client that deletes an object leaves no name
			one.rival = r.Step.Live.Rival
		}
		switch {
		case one.truce > 0:
			one.truce = min(2*one.truce, longTruce)
		case len(one.corrected) >= fightCount:
			one.truce = firstTruce
			begun++
		}
		f[r.Step.Key] = one
	}
	return begun
}

// during drops corrections that are too old to matter.
func (f fight) during(now time.Time) fight {
	if f.truce > 0 && !now.Before(f.plan().Calm) {
		return fight{}
	}
	if f.truce == 0 {
		f.corrected = slices.DeleteFunc(slices.Clone(f.corrected), func(t time.Time) bool { return now.Sub(t) >= fightSpan })
	}
	return f
}

func (f fight) plan() plan.Fight {
	last := f.corrected[len(f.corrected)-1]
	return plan.Fight{Rival: f.rival, Until: last.Add(f.truce), Calm: last.Add(2 * f.truce)}
}

// going returns the fights that are not over, and forgets the others.
func (f fights) going(now time.Time) map[manifest.Key]plan.Fight {
	var going map[manifest.Key]plan.Fight
	for key, one := range f {
		if one = one.during(now); one.truce == 0 {
			continue
		}
		if going == nil {
			going = map[manifest.Key]plan.Fight{}
		}
		going[key] = one.plan()
	}
	maps.DeleteFunc(f, func(_ manifest.Key, one fight) bool { return len(one.during(now).corrected) == 0 })
	return going
}
