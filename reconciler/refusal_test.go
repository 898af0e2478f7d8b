package reconciler

import (
	"testing"
	"time"

	"berth.dev/berth/reconciler/apply"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
)

// refusing has a memory record a refusal of a step several times.
func refusing(t *testing.T, action plan.Action, class apply.Class, times int) (last apply.Result, pause time.Duration) {
	t.Helper()
	now := time.Now()
	m := &memory{refusals: map[manifest.Key]plan.Refusal{}, tries: map[manifest.Key]int{}, barred: map[manifest.Key]barrier{}, fights: fights{}}
	c := Config{Now: func() time.Time { return now }, Jitter: func() float64 { return 0.999 }}
	key := manifest.Key{Kind: "ConfigMap", Namespace: "posts", Name: "old"}
	live := &observed.Object{Key: key, UID: "1"}
	for range times {
		results := []apply.Result{{Step: plan.Step{Action: action, Key: key, Live: live}, Err: &apply.Error{Class: class, Message: "no"}}}
		m.remember(c, results)
		last = results[0]
	}
	return last, m.refusals[key].Until.Sub(now)
}

// Whatever blocks a deletion, the deletion is retried within a minute of the obstacle's end.
func TestDeletionsAreTriedAgainWithinAMinute(t *testing.T) {
	for _, class := range []apply.Class{apply.Invalid, apply.Forbidden, apply.Transient, apply.Unanswered, apply.Conflict, apply.Quota} {
		for _, times := range []int{1, 5, 50} {
			if _, pause := refusing(t, plan.Delete, class, times); pause > time.Minute {
				t.Errorf("%s: after %d refusals the pause is %s", class, times, pause)
			}
		}
	}
	if _, pause := refusing(t, plan.Change, apply.Invalid, 1); pause < fatalPause {
		t.Errorf("a change that needs help is tried again after %s", pause)
	}
}

// A refusal with the same message as before is not logged again.
func TestRefusalsThatSayNothingNew(t *testing.T) {
	if first, _ := refusing(t, plan.Delete, apply.Forbidden, 1); first.Repeated {
		t.Error("the first refusal counts as repeated")
	}
	if second, _ := refusing(t, plan.Delete, apply.Forbidden, 2); !second.Repeated {
		t.Error("the second refusal counts as news")
	}
}
