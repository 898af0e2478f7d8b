package control

import (
	"context"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

func TestAControllerIsStuckWhenNothingEnds(t *testing.T) {
	const limit = 15 * time.Minute
	now := time.Date(2026, time.March, 4, 12, 0, 0, 0, time.UTC)
	p := NewPulse("environment", func() time.Time { return now })
	expect := func(when string, stuck bool) {
		t.Helper()
		if err := p.Check(limit); (err != nil) != stuck {
			t.Errorf("%s: %v, want stuck: %t", when, err, stuck)
		}
	}
	expect("before anything has begun", false)
	now = now.Add(2 * limit)
	expect("when there is nothing to do", false)
	hangs := p.begin()
	expect("when it begins", false)
	now = now.Add(limit + 1)
	expect("when one does not end", true)
	quick := reconcile.Func(func(context.Context, reconcile.Request) (reconcile.Result, error) { return reconcile.Result{}, nil })
	if _, err := p.Of(quick).Reconcile(t.Context(), reconcile.Request{}); err != nil {
		t.Fatal(err)
	}
	expect("when another one ends", false)
	now = now.Add(limit + 1)
	expect("when none has ended since", true)
	p.Beat()
	expect("when it makes progress", false)
	hangs()
	now = now.Add(2 * limit)
	expect("when all have ended", false)
}
