package agent

import (
	"maps"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"berth.dev/berth/api/v1alpha1"
)

// idle advances the clock so that some branches are due to expire, and then past the time of the warning.
func (w *world) idle(branches ...string) {
	w.t.Helper()
	w.pass(365 * 24 * time.Hour)
	for _, branch := range branches {
		w.eventually("there is a warning for "+branch, func() bool { return w.condition(branch, v1alpha1.ConditionExpiresSoon) != "" })
	}
	w.pass(24 * time.Hour)
}

// After a clock jump, all branches look unused for years.
func TestTheDeletionGuardBlocksExpiriesAtOnce(t *testing.T) {
	w := newWorld(t)
	names := numbered(6)
	w.branches("one", names...)
	w.follow(expiring)
	w.healthy(append(names, "main")...)
	before := w.uids()
	w.idle(names...)
	for _, name := range names {
		w.eventually(name+" says why it stays", func() bool {
			return strings.Contains(w.condition(name, v1alpha1.ConditionExpiresSoon), "too many environments would expire at once")
		})
	}
	w.poll()
	ready := meta.FindStatusCondition(w.repository().Status.Conditions, v1alpha1.ConditionReady)
	if ready.Reason != v1alpha1.ReasonWaiting || !strings.Contains(ready.Message, "6 of 7 environments") {
		t.Errorf("the Repository is %s: %s", ready.Reason, ready.Message)
	}
	if after := w.uids(); !maps.Equal(before, after) {
		t.Errorf("before there was %v, now %v", before, after)
	}
	w.branches("two", "f0")
	w.poll()
	w.healthy(names...) // held branches are followed like any other
	w.changeEnvironment("f1", func(env *v1alpha1.Environment) { annotate(env, v1alpha1.AnnotationConfirmed, "this one") })
	w.becomes("f1", v1alpha1.ReasonExpired)
	w.confirm()
	for _, name := range names[2:] {
		w.becomes(name, v1alpha1.ReasonExpired)
	}
	w.healthy("f0", "main")
}
