package branches

import (
	"slices"
	"testing"
	"time"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/apitest"
)

func TestDeparturesReturnWhatChanged(t *testing.T) {
	repo := apitest.Repository()
	at := func(minutes int) Departure {
		return Departure{At: apitest.Noon.Add(time.Duration(minutes) * time.Minute)}
	}
	d := NewDepartures()
	for _, step := range []struct {
		name string
		all  map[string]Departure
		want []string
	}{
		{"none", nil, nil},
		{"two more", map[string]Departure{"posts.review.f0": at(1), "posts.review.f1": at(1)}, []string{"posts.review.f0", "posts.review.f1"}},
		{"the same again", map[string]Departure{"posts.review.f0": at(1), "posts.review.f1": at(1)}, nil},
		{"one at another time", map[string]Departure{"posts.review.f0": at(2), "posts.review.f1": at(1)}, []string{"posts.review.f0"}},
		{"one less", map[string]Departure{"posts.review.f0": at(2)}, []string{"posts.review.f1"}},
	} {
		changed := d.Set("posts", step.all)
		if slices.Sort(changed); !slices.Equal(changed, step.want) {
			t.Errorf("%s: %q changed, want %q", step.name, changed, step.want)
		}
	}
	env, other := apitest.Environment(repo, "review", "f0"), apitest.Environment(repo, "review", "f1")
	if got, ok := d.Get(&env); !ok || got != at(2) {
		t.Errorf("got %+v, %t", got, ok)
	}
	if _, ok := d.Get(&other); ok {
		t.Error("a departure that is off is still there")
	}
	if d.Set("posts", nil); len(d.of) > 0 {
		t.Errorf("%v is remembered of repositories without a departure", d.of)
	}
}

func TestTextOfDepartures(t *testing.T) {
	since, at := apitest.Noon, apitest.Noon.Add(5*time.Minute)
	orphan := func(env *v1alpha1.Environment) { env.Spec.OnRemoval = v1alpha1.RemovalOrphan }
	for _, test := range []struct {
		name   string
		d      Departure
		change func(*v1alpha1.Environment)
		want   string
	}{
		{name: "its branch is gone", d: Departure{Since: since, At: at},
			want: "its branch f0 is gone since 2026-03-04T12:00:00Z; the environment will be deleted at 2026-03-04T12:05:00Z; to keep it, push the branch again; to delete it now: berth delete posts.review.f0"},
		{name: "its Repository is gone", d: Departure{Since: since, At: at, Orphaned: true},
			want: "its Repository posts does not exist since 2026-03-04T12:00:00Z; the environment will be deleted at 2026-03-04T12:05:00Z; to keep it, re-create the Repository; to delete it now: berth delete posts.review.f0"},
		{name: "its objects stay", d: Departure{Since: since, At: at}, change: orphan,
			want: "its branch f0 is gone since 2026-03-04T12:00:00Z; the Environment will be deleted, and its objects stay at 2026-03-04T12:05:00Z; to keep it, push the branch again"},
		{name: "a user has to confirm it", d: Departure{Since: since, At: at, held: true},
			want: "its branch f0 is gone since 2026-03-04T12:00:00Z; the environment will be deleted after a confirmation: berth confirm --repository posts"},
	} {
		t.Run(test.name, func(t *testing.T) {
			env := apitest.Environment(apitest.Repository(), "review", "f0")
			if test.change != nil {
				test.change(&env)
			}
			if got := test.d.Text(&env); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// A request counts until the status shows that it was handled.
func TestConfirmedBy(t *testing.T) {
	for _, test := range []struct {
		name, request, handled string
		want                   bool
	}{
		{name: "no deletion was requested"},
		{name: "a request", request: "1", want: true},
		{name: "a request after another", request: "2", handled: "1", want: true},
		{name: "a request that was handled", request: "1", handled: "1"},
		{name: "a request that was withdrawn", handled: "1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			env := apitest.Environment(apitest.Repository(), "review", "f0")
			env.Annotations = map[string]string{v1alpha1.AnnotationConfirmed: test.request}
			env.Status.HandledConfirmation = test.handled
			if got := ConfirmedBy(&env); got != test.want {
				t.Errorf("confirmed: %t", got)
			}
		})
	}
}
