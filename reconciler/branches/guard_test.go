package branches

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/apitest"
)

func TestHowLongAgoWasDeletedIsSeenByTheAgentsOwnClock(t *testing.T) {
	b := NewGuard()
	env := apitest.Environment(apitest.Repository(), "review", "f0", func(env *v1alpha1.Environment) {
		env.DeletionTimestamp = &metav1.Time{Time: apitest.Noon.Add(time.Hour)} // the API server's clock is an hour ahead
	})
	for _, after := range []time.Duration{0, time.Second, 3 * time.Second} {
		if got := b.DeletedFor(&env, apitest.Noon.Add(after)); got != after {
			t.Errorf("after %s, it is seen to be deleted for %s", after, got)
		}
	}
	env.UID = "another one of the same name"
	if got := b.DeletedFor(&env, apitest.Noon.Add(time.Minute)); got != 0 {
		t.Errorf("another one of the same name is seen to be deleted for %s", got)
	}
}

func TestWhatWasLetThroughIsHeldAgainOnceItIsAnother(t *testing.T) {
	b := NewGuard()
	env := apitest.Environment(apitest.Repository(), "review", "f0")
	b.Allow(&env)
	if !b.Allowed(&env) {
		t.Fatal("it is not allowed")
	}
	for name, change := range map[string]func(*v1alpha1.Environment){
		"a push":                   func(env *v1alpha1.Environment) { env.Spec.Commit = apitest.Commit("b") },
		"another one of its name":  func(env *v1alpha1.Environment) { env.UID = "another" },
		"one that is being pinned": func(env *v1alpha1.Environment) { env.Spec.Pin = apitest.Commit("b") },
	} {
		other := *env.DeepCopy()
		change(&other)
		if b.Allowed(&other) {
			t.Errorf("after %s it is still allowed", name)
		}
	}
	leaving := *env.DeepCopy()
	apitest.Deleted(&leaving)
	leaving.Spec.Commit = apitest.Commit("b")
	if !b.Allowed(&leaving) {
		t.Error("after a push it is not allowed, although it is being deleted")
	}
	b.Forget(env.Name)
	if b.Allowed(&leaving) {
		t.Error("a deletion is allowed without the guard")
	}
	if b.Allowed(&env) || len(b.of) > 0 {
		t.Error("what is gone is remembered")
	}
}
