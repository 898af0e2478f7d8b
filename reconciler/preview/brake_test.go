package preview

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
)

func TestHowLongAgoWasDeletedIsSeenByTheAgentsOwnClock(t *testing.T) {
	b := NewBrake()
	env := environment(repository(), "review", "f0", func(env *v1alpha1.Environment) {
		env.DeletionTimestamp = &metav1.Time{Time: noon.Add(time.Hour)} // the API server's clock is an hour ahead
	})
	for _, after := range []time.Duration{0, time.Second, breath} {
		if got := b.deletedFor(&env, noon.Add(after)); got != after {
			t.Errorf("after %s, it is seen to be deleted for %s", after, got)
		}
	}
	env.UID = "another one of the same name"
	if got := b.deletedFor(&env, noon.Add(time.Minute)); got != 0 {
		t.Errorf("another one of the same name is seen to be deleted for %s", got)
	}
}

func TestWhatWasLetThroughIsHeldAgainOnceItIsAnother(t *testing.T) {
	b := NewBrake()
	env := environment(repository(), "review", "f0")
	b.release(&env)
	if !b.released(&env) {
		t.Fatal("it is not let through")
	}
	for name, change := range map[string]func(*v1alpha1.Environment){
		"a push":                   func(env *v1alpha1.Environment) { env.Spec.Commit = commit("b") },
		"another one of its name":  func(env *v1alpha1.Environment) { env.UID = "another" },
		"one that is being pinned": func(env *v1alpha1.Environment) { env.Spec.Pin = commit("b") },
	} {
		other := *env.DeepCopy()
		change(&other)
		if b.released(&other) {
			t.Errorf("after %s it is let through", name)
		}
	}
	b.forget(env.Name)
	if b.released(&env) || len(b.of) > 0 {
		t.Error("what is gone is remembered")
	}
}
