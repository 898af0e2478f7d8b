package reconciler

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"berth.dev/berth/internal/gittest"
	"berth.dev/berth/reconciler/clusters"
	"berth.dev/berth/reconciler/plan"
	"berth.dev/berth/source"
)

// The limits of a Repository bound a render, whether they are above or below the defaults.
func TestLimitsOfTheRepository(t *testing.T) {
	git := gittest.NewServer(t).Repository("posts")
	many := make([]gittest.Change, 0, 10_002)
	for i := range 10_001 {
		many = append(many, gittest.Write(fmt.Sprintf("k8s/more/%d.txt", i), "x"))
	}
	comment := "# " + strings.Repeat("x", 1023) + "\n"
	many = append(many, gittest.Write("k8s/large.yaml", configMap("large", "one")+strings.Repeat(comment, 11<<10)))
	commit := git.Change("main", "a large folder", many...)
	for _, test := range []struct {
		reason string
		limits source.Limits
		want   string // of the error
	}{
		{"raised", source.Limits{Files: 20_000, FileBytes: 12 << 20}, ""},
		{"fewer files", source.Limits{FileBytes: 12 << 20}, "raise limits.files"},
		{"smaller files", source.Limits{Files: 20_000}, "raise limits.fileBytes"},
	} {
		t.Run(test.reason, func(t *testing.T) {
			store := must(source.Open(source.Config{Dir: t.TempDir(), URL: git.URL(), Limits: test.limits}))
			defer store.Close()
			r := New(Config{Cluster: &clusters.Cluster{}, Snapshots: storeOf(store), RenderPatience: patience, Now: time.Now})
			d, err := r.desire(t.Context(), Environment{Path: "k8s", Namespace: "posts", Variables: noVariables}, r.memory("posts"), commit, desired{})
			if test.want == "" && (err != nil || d.set.Len() != 1) || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %d objects and %v, want %q", d.set.Len(), err, test.want)
			}
		})
	}
}

// A server may not deliver a commit, or not within the limits. Such a commit is requested again when the source
// changes, and after a while. Files are not read again before the commit changes.
func TestWhatIsReadAgain(t *testing.T) {
	git := gittest.NewServer(t).Repository("posts")
	commit := git.Change("main", "a large file", gittest.Write("large.yaml", configMap("large", "one")+"# "+strings.Repeat("x", 10<<20)+"\n"))
	wrong := git.Change("main", "a mistake", gittest.Remove("large.yaml"), gittest.Write("a.yaml", "kind: [\n"))
	type step struct {
		reason string
		change func(e *Environment, limits *source.Limits, now *time.Time)
		want   string // of the error
		asked  bool
	}
	later := func(_ *Environment, _ *source.Limits, now *time.Time) { *now = now.Add(2 * fatalPause) }
	for _, test := range []struct {
		name, commit string
		limits       source.Limits
		steps        []step
	}{
		{"more than a fetch may transfer", commit, source.Limits{FileBytes: 11 << 20, FetchBytes: 1 << 10}, []step{
			{"at first", nil, "limits.fetchBytes", true},
			{"at once", nil, "limits.fetchBytes", false},
			{"in a while", later, "limits.fetchBytes", true},
			{"with other limits", func(e *Environment, l *source.Limits, _ *time.Time) { e.Source, l.FetchBytes = "raised", 1<<30 }, "", true},
		}},
		{"more than a file may have", commit, source.Limits{}, []step{
			{"at first", nil, "limits.fileBytes", true},
			{"at once", nil, "limits.fileBytes", false},
			{"with other limits", func(e *Environment, l *source.Limits, _ *time.Time) { e.Source, l.FileBytes = "raised", 11<<20 }, "", true},
		}},
		{"a mistake", wrong, source.Limits{}, []step{
			{"at first", nil, "a.yaml:1", true},
			{"in a while", later, "a.yaml:1", false},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			asked, limits, now, m := false, test.limits, time.Now(), &memory{}
			r := New(Config{Cluster: &clusters.Cluster{}, RenderPatience: patience, Now: func() time.Time { return now }, Jitter: func() float64 { return 0 }})
			r.Snapshots = func(ctx context.Context, _, commit string) (*source.Snapshot, error) {
				asked = true
				store := must(source.Open(source.Config{Dir: t.TempDir(), URL: git.URL(), Limits: limits}))
				t.Cleanup(func() { store.Close() })
				return store.Snapshot(ctx, commit)
			}
			e := Environment{Commit: test.commit, Path: ".", Namespace: "posts", Variables: noVariables}
			for _, s := range test.steps {
				if s.change != nil {
					s.change(&e, &limits, &now)
				}
				asked = false
				_, err := r.wanted(t.Context(), e, m, plan.Record{})
				if asked != s.asked || s.want == "" && err != nil || s.want != "" && (err == nil || !strings.Contains(err.Error(), s.want)) {
					t.Errorf("%s: asked: %t, got %v; want %q", s.reason, asked, err, s.want)
				}
			}
		})
	}
}

// An object that was rendered before its kind was defined is rendered again afterwards, at the same commit.
func TestAKindIsDefinedLater(t *testing.T) {
	git := gittest.NewServer(t).Repository("posts")
	commit := git.Change("main", "a thing", gittest.Write("a.yaml", "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: a}\n"))
	store := must(source.Open(source.Config{Dir: t.TempDir(), URL: git.URL()}))
	defer store.Close()
	var outside bool
	var away error
	r := New(Config{Now: time.Now, RenderPatience: patience, Snapshots: storeOf(store), Cluster: &clusters.Cluster{ClusterScoped: func(schema.GroupKind) (bool, error) { return outside, away }}})
	e := Environment{Path: ".", Namespace: "posts", Scope: Cluster, Variables: noVariables}
	before := must(r.desire(t.Context(), e, r.memory("posts"), commit, desired{}))
	outside = true
	after := must(r.desire(t.Context(), e, r.memory("posts"), commit, before))
	if from, to := before.set.Objects[0].GetNamespace(), after.set.Objects[0].GetNamespace(); from != "posts" || to != "" || before.digest == after.digest {
		t.Errorf("the namespace was %q, and is %q; the digests are %s and %s", from, to, before.digest, after.digest)
	}
	away = errors.New("its API does not answer")
	if again, err := r.desire(t.Context(), e, r.memory("posts"), commit, after); err != nil || again.digest != after.digest {
		t.Errorf("what was rendered does not hold: %v", err)
	}
	if _, err := r.desire(t.Context(), e, r.memory("posts"), commit, desired{}); !passes(err) || !temporary(err) {
		t.Errorf("nothing can be said: got %v", err)
	}
}

// A commit is rendered only if it changes the input of an earlier one: the files, and the variables that they use.
func TestACommitBesideTheInputIsNotRendered(t *testing.T) {
	git := gittest.NewServer(t).Repository("posts")
	store := must(source.Open(source.Config{Dir: t.TempDir(), URL: git.URL()}))
	defer store.Close()
	r := New(Config{Cluster: &clusters.Cluster{}, Now: time.Now, RenderPatience: patience, Snapshots: storeOf(store)})
	variables := func(commit string) map[string]any { return map[string]any{"COMMIT": commit, "PLACE": "here"} }
	e := Environment{Path: "k8s", Namespace: "posts", Variables: variables}
	var last desired
	for _, test := range []struct {
		reason   string
		change   gittest.Change
		rendered bool
		because  func()
	}{
		{"the first", gittest.Write("k8s/a.yaml", configMap("a", "one")), true, nil},
		{"beside the path", gittest.Write("README.md", "Read this.\n"), false, nil},
		{"the same file", gittest.Write("k8s/a.yaml", configMap("a", "one")), false, nil},
		{"in the path", gittest.Write("k8s/a.yaml", configMap("a", `"${PLACE}"`)), true, nil},
		{"beside it, with another entry", gittest.Write("README.md", "Read that.\n"), true, func() { e.Settings = "other" }},
		{"with the commit in it", gittest.Write("k8s/a.yaml", configMap("a", `"${COMMIT}"`)), true, nil},
		{"beside what names the commit", gittest.Write("README.md", "Read.\n"), true, nil},
	} {
		if test.because != nil {
			test.because()
		}
		commit := git.Change("main", test.reason, test.change)
		d, err := r.desire(t.Context(), e, r.memory("posts"), commit, last)
		if err != nil || d.commit != commit || d.set.Len() != 1 {
			t.Fatalf("%s: got %d objects of %q, %v", test.reason, d.set.Len(), d.commit, err)
		}
		if rendered := last.commit == "" || &d.set.Objects[0] != &last.set.Objects[0]; rendered != test.rendered {
			t.Errorf("%s: rendered: %t, want %t", test.reason, rendered, test.rendered)
		}
		last = d
	}
}
