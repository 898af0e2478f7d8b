package branches

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/apitest"
)

func TestExpire(t *testing.T) {
	keep := func(value string) func(*v1alpha1.Environment) {
		return func(env *v1alpha1.Environment) {
			env.Annotations = map[string]string{v1alpha1.AnnotationKeep: value}
		}
	}
	const days = 24 * time.Hour
	for _, test := range []struct {
		name   string
		after  time.Duration
		idle   time.Duration
		told   time.Duration // since when the warning is shown; 0: it is not
		change func(*v1alpha1.Environment)
		at     time.Duration // from now
		next   time.Duration
		soon   bool
		due    bool
	}{
		{name: "never, without expireAfter", idle: 900 * days},
		{name: "much later", after: 3 * days, idle: time.Hour, at: 71 * time.Hour, next: 53 * time.Hour},
		{name: "a warning after three quarters", after: 3 * days, idle: 54 * time.Hour, at: 18 * time.Hour, next: 18 * time.Hour, soon: true},
		{name: "a warning at most a day before", after: 30 * days, idle: 28 * days, at: 2 * days, next: days},
		{name: "a warning that has been told already", after: 3 * days, idle: 60 * time.Hour, told: 6 * time.Hour, at: 12 * time.Hour, next: 12 * time.Hour, soon: true},
		{name: "not earlier because the warning began earlier", after: 3 * days, idle: 60 * time.Hour, told: 10 * time.Hour, at: 12 * time.Hour, next: 12 * time.Hour, soon: true},
		{name: "now", after: 3 * days, idle: 3 * days, told: 18 * time.Hour, due: true},
		{name: "long since", after: 3 * days, idle: 9 * days, told: 5 * days, at: -102 * time.Hour, due: true},
		{name: "not without a warning, however long since", after: 3 * days, idle: 900 * days, at: 18 * time.Hour, next: 18 * time.Hour, soon: true},
		{name: "not before the warning has stood for its time", after: 3 * days, idle: 900 * days, told: time.Hour, at: 17 * time.Hour, next: 17 * time.Hour, soon: true},
		{name: "while it goes, whatever was told", after: 3 * days, idle: 3 * days, change: apitest.Reason(v1alpha1.ReasonExpiring), due: true},
		{name: "and when it is gone", after: 3 * days, idle: 3 * days, change: apitest.Reason(v1alpha1.ReasonExpired), due: true},
		{name: "never, when it is kept", after: 3 * days, idle: 9 * days, change: keep("true")},
		{name: "like any other, when it is kept no more", after: 3 * days, idle: 3 * days, told: days, change: keep("false"), due: true},
		{name: "never, while it is suspended", after: 3 * days, idle: 9 * days, change: func(env *v1alpha1.Environment) { env.Spec.Suspend = true }},
	} {
		t.Run(test.name, func(t *testing.T) {
			env := apitest.Environment(apitest.Repository(), "review", "f0")
			if test.change != nil {
				test.change(&env)
			}
			env.Status.Activity, env.Status.LastActivityTime = Activity(&env), &metav1.Time{Time: apitest.Noon.Add(-test.idle)}
			if test.told != 0 {
				env.Status.Conditions = append(env.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionExpiresSoon, LastTransitionTime: metav1.NewTime(apitest.Noon.Add(-test.told))})
			}
			got := Expire(&env, test.after, apitest.Noon)
			if (got.Soon != "") != test.soon || got.Due != test.due {
				t.Errorf("soon %q, due %t", got.Soon, got.Due)
			}
			if test.at != 0 && got.At.Sub(apitest.Noon) != test.at {
				t.Errorf("expires in %s, want %s", got.At.Sub(apitest.Noon), test.at)
			}
			if (test.next != 0) != !got.Next.IsZero() || test.next != 0 && got.Next.Sub(apitest.Noon) != test.next {
				t.Errorf("changes at %s, want in %s", got.Next, test.next)
			}
		})
	}
}

func TestActivity(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*v1alpha1.Environment)
		active bool
	}{
		{"nothing", func(*v1alpha1.Environment) {}, false},
		{"a push", func(env *v1alpha1.Environment) { env.Spec.Commit = apitest.Commit("b") }, true},
		{"a pin", func(env *v1alpha1.Environment) { env.Spec.Pin = apitest.Commit("b") }, true},
		{"a suspension, or its end", func(env *v1alpha1.Environment) { env.Spec.Suspend = true }, true},
		{"a retry", func(env *v1alpha1.Environment) { env.Annotations[v1alpha1.AnnotationRetry] = "1" }, true},
		{"a request", func(env *v1alpha1.Environment) { env.Annotations[v1alpha1.AnnotationRequested] = "1" }, true},
		{"the end of being kept", func(env *v1alpha1.Environment) { delete(env.Annotations, v1alpha1.AnnotationKeep) }, true},
		{"a change of the entry", func(env *v1alpha1.Environment) { env.Spec.ServiceAccountName = "other" }, false},
		{"any other annotation", func(env *v1alpha1.Environment) { env.Annotations["example.com/note"] = "hello" }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			env := apitest.Environment(apitest.Repository(), "review", "f0")
			env.Annotations = map[string]string{v1alpha1.AnnotationKeep: "true"}
			then := apitest.Noon.Add(-time.Hour)
			env.Status.Activity, env.Status.LastActivityTime = Activity(&env), &metav1.Time{Time: then}
			test.change(&env)
			want := then
			if test.active {
				want = apitest.Noon
			}
			if got := LastActivity(&env, apitest.Noon); !got.Equal(want) {
				t.Errorf("the last activity was at %s, want %s", got, want)
			}
		})
	}
	env := apitest.Environment(apitest.Repository(), "review", "f0")
	if got := LastActivity(&env, apitest.Noon); !got.Equal(apitest.Noon) {
		t.Errorf("the last activity of a new environment was at %s, want now", got)
	}
	env.Status.Activity = Activity(&env)
	if got := LastActivity(&env, apitest.Noon); !got.Equal(apitest.Noon) {
		t.Errorf("the last activity, without a recorded time, was at %s, want now", got)
	}
}

func TestOverdue(t *testing.T) {
	repo := apitest.Repository(func(r *v1alpha1.Repository) {
		r.Spec.Environments[1].ExpireAfter = &metav1.Duration{Duration: time.Hour}
	})
	for _, test := range []struct {
		name   string
		branch string
		idle   time.Duration
		change func(*v1alpha1.Environment)
		want   bool
	}{
		{"its time is over", "f0", 3 * time.Hour, nil, true},
		{"its time is not over", "f0", time.Minute, nil, false},
		{"its entry says nothing of expiry", "main", 3 * time.Hour, nil, false},
		{"it is being deleted already", "f0", 3 * time.Hour, apitest.Deleted, false},
		{"it has expired already", "f0", 3 * time.Hour, apitest.Reason(v1alpha1.ReasonExpired), false},
		{"its teardown has begun", "f0", 3 * time.Hour, apitest.Reason(v1alpha1.ReasonExpiring), true},
		{"its entry was removed", "f0", 3 * time.Hour, func(env *v1alpha1.Environment) { env.Spec.Entry, env.Spec.Namespace = "gone", "elsewhere" }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			entry := "review"
			if test.branch == "main" {
				entry = "production"
			}
			env := apitest.Environment(repo, entry, test.branch)
			env.Status.Conditions = append(env.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionExpiresSoon, LastTransitionTime: metav1.NewTime(apitest.Noon.Add(-time.Hour))})
			env.Status.Activity, env.Status.LastActivityTime = Activity(&env), &metav1.Time{Time: apitest.Noon.Add(-test.idle)}
			if test.change != nil {
				test.change(&env)
			}
			if got := len(Overdue([]v1alpha1.Environment{env}, repo, apitest.Noon)) == 1; got != test.want {
				t.Errorf("overdue: %t, want %t", got, test.want)
			}
		})
	}
}
