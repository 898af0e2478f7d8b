package reconciler

import (
	"testing"
	"time"

	"berth.dev/berth/reconciler/apply"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
)

func TestFights(t *testing.T) {
	key := manifest.Key{Kind: "ConfigMap", Namespace: "posts", Name: "env"}
	noon := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	corrected := []apply.Result{{Done: apply.Corrected, Step: plan.Step{Key: key, Live: &observed.Object{Key: key, Rival: "operator"}}}}
	tests := []struct {
		name string
		at   []time.Duration // of the corrections
		now  time.Duration
		want plan.Fight // in durations since noon
	}{
		{"nothing yet", nil, 0, plan.Fight{}},
		{"four corrections", []time.Duration{0, 1, 2, 3}, 4, plan.Fight{}},
		{"five in a minute", []time.Duration{0, 1, 2, 3, 4}, 5, plan.Fight{Rival: "operator", Until: noon.Add(4 + time.Minute), Calm: noon.Add(4 + 2*time.Minute)}},
		{"five, but slowly", []time.Duration{0, 20 * time.Second, 40 * time.Second, time.Minute, 80 * time.Second}, 80 * time.Second, plan.Fight{}},
		{"a sixth", []time.Duration{0, 0, 0, 0, 0, time.Minute}, time.Minute, plan.Fight{Rival: "operator", Until: noon.Add(3 * time.Minute), Calm: noon.Add(5 * time.Minute)}},
		{"calm", []time.Duration{0, 0, 0, 0, 0}, 2 * time.Minute, plan.Fight{}},
		{"a correction after a calm", []time.Duration{0, 0, 0, 0, 0, 2 * time.Minute}, 2 * time.Minute, plan.Fight{}},
		{"without end", []time.Duration{0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8}, 9, plan.Fight{Rival: "operator", Until: noon.Add(8 + time.Hour), Calm: noon.Add(8 + 2*time.Hour)}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f, begun := fights{}, 0
			for _, at := range test.at {
				begun += f.note(corrected, noon.Add(at))
			}
			if want := min(1, len(test.at)/fightCount); test.name != "five, but slowly" && begun != want {
				t.Errorf("%d fights have begun, want %d", begun, want)
			}
			got := f.going(noon.Add(test.now))
			if got[key] != test.want {
				t.Errorf("got %+v, want %+v", got[key], test.want)
			}
			if f.going(noon.Add(3 * time.Hour)); len(f) != 0 {
				t.Error("it is never forgotten")
			}
		})
	}
}

// A client that deletes an object again and again also fights over it.
func TestFightsOverDeletions(t *testing.T) {
	f, now := fights{}, time.Now()
	for range fightCount {
		f.note([]apply.Result{{Done: apply.Corrected}}, now)
	}
	if len(f.going(now)) != 1 {
		t.Errorf("got %v", f)
	}
}

func TestNoFights(t *testing.T) {
	f := fights{}
	for range 10 {
		f.note([]apply.Result{{Done: apply.Changed}, {Done: apply.Unchanged}}, time.Now())
	}
	if len(f) != 0 {
		t.Errorf("got %v", f)
	}
}
