package report

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/plan"
)

// A user who confirms deletions has to know of what.
func TestTheStatusNamesBlockedDeletions(t *testing.T) {
	env := &v1alpha1.Environment{ObjectMeta: metav1.ObjectMeta{Name: "posts.production.main"}, Spec: v1alpha1.EnvironmentSpec{Namespace: "posts"}}
	o := &reconciler.Objects{Guarded: []manifest.Key{{Kind: "ConfigMap", Namespace: "other", Name: "a"}}}
	for i := range 24 {
		o.Guarded = append(o.Guarded, manifest.Key{Kind: "ConfigMap", Namespace: "posts", Name: fmt.Sprint("part-", i)})
	}
	status := func(s Standing) *v1alpha1.BlockedDeletions {
		env.Status = environmentStatus(env, s, time.Unix(0, 0))
		return env.Status.BlockedDeletions
	}
	before := status(found(reconciler.Judged{State: plan.Waiting, Objects: o}))
	if b := before; b == nil || b.Total != 25 || len(b.Objects) != 20 || b.Objects[0] != "ConfigMap/other/a" || b.Objects[1] != "ConfigMap/part-0" || b.Digest == "" {
		t.Fatalf("it names %+v", b)
	}
	o.Guarded[24].Name = "one-that-is-not-named"
	if after := status(found(reconciler.Judged{State: plan.Waiting, Objects: o})); after.Digest == before.Digest {
		t.Error("other objects have the same digest")
	}
	o.Guarded = nil
	if b := status(found(reconciler.Judged{State: plan.Settled, Objects: o})); b != nil {
		t.Errorf("then it names %+v", b)
	}
}

// The message of a healthy environment stays short, however many warnings there are. The status has the rest.
func TestWarningsOfAHealthyEnvironment(t *testing.T) {
	for _, test := range []struct {
		warnings, listed int
		message          string
	}{
		{0, 0, "everything is as Git says"},
		{2, 2, "everything is as Git says; warning 0; warning 1"},
		{5, 5, "everything is as Git says; warning 0; warning 1; warning 2; warnings more: 2, see berth describe posts.production.main"},
		{30, 20, "everything is as Git says; warning 0; warning 1; warning 2; warnings more: 27, see berth describe posts.production.main"},
	} {
		o := &reconciler.Objects{Total: 1, Healthy: 1}
		env := &v1alpha1.Environment{ObjectMeta: metav1.ObjectMeta{Name: "posts.production.main"}}
		for i := range test.warnings {
			o.Warnings = append(o.Warnings, fmt.Sprintf("warning %d", i))
		}
		status := environmentStatus(env, found(reconciler.Judged{State: plan.Settled, Objects: o}), time.Unix(0, 0))
		if got := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady).Message; got != test.message {
			t.Errorf("got  %s\nwant %s", got, test.message)
		}
		if len(status.Warnings) != test.listed {
			t.Errorf("%d warnings are listed, want %d", len(status.Warnings), test.listed)
		}
	}
}
