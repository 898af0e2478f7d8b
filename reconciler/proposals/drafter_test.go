package proposals

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"berth.dev/berth/reconciler"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/render"
)

// forbidden is the Decrypter with an environment's keys.
type forbidden struct{ t *testing.T }

func (f forbidden) Encrypted(string, []byte) bool {
	f.t.Error("the environment's decrypter was asked")
	return true
}

func (f forbidden) Open(context.Context, string, []byte) (render.Opened, error) {
	f.t.Error("the environment's keys were used")
	return render.Opened{}, errors.New("forbidden")
}

// studio is a Drafter over commits in memory.
type studio struct {
	*Drafter
	commits  map[string]tree
	parents  map[string][]string
	env      reconciler.Environment
	foreseen []reconciler.Candidate
	fails    error // of fetches
	apart    error // of the cluster
	adds     func(*render.Options)
	t        *testing.T
}

func drafts(t *testing.T, commits map[string]map[string]string) *studio {
	s := &studio{t: t, adds: func(*render.Options) {}, commits: map[string]tree{}, env: reconciler.Environment{
		Name: "posts.production.main", Namespace: "posts", Path: "k8s", Urgent: true, Decrypter: forbidden{t},
		Variables: func(commit string) map[string]any { return map[string]any{"COMMIT": commit} },
	}}
	for id, files := range commits {
		s.commits[id] = tree{fstest.MapFS{}}
		for name, text := range files {
			s.commits[id].MapFS[name] = &fstest.MapFile{Data: []byte(text)}
		}
	}
	s.Drafter = NewDrafter(DrafterConfig{
		Environment: func(context.Context, Subject) (reconciler.Environment, error) { return s.env, nil },
		Trees: func(_ context.Context, _ Subject, ids ...string) (trees []render.Tree, err error) {
			for _, id := range ids {
				trees = append(trees, hashed{s.commits[id], s.parents[id]})
			}
			return trees, s.fails
		},
		Passes: func(context.Context, reconciler.Environment) (Passes, error) { return s, s.apart },
	})
	return s
}

func (s *studio) RenderOptions(e reconciler.Environment, commit string) render.Options {
	if e.Urgent {
		s.t.Error("its builds would use production's place")
	}
	o := render.Options{Path: e.Path, Namespace: e.Namespace, Decrypter: e.Decrypter, Decrypted: e.DecryptedKinds, Variables: e.Variables(commit)}
	s.adds(&o)
	return o
}

func (s *studio) Foresee(_ context.Context, _ reconciler.Environment, c reconciler.Candidate) (reconciler.Prospect, error) {
	s.foreseen = append(s.foreseen, c)
	return reconciler.Prospect{}, nil
}

// hashed is a tree with hashes that follow from the content.
type hashed struct {
	tree
	parents []string
}

func (h hashed) Parents() []string { return h.parents }

func (c hashed) Hash(name string) (string, error) {
	var all []string
	for _, file := range slices.Sorted(maps.Keys(c.MapFS)) {
		if file == name || strings.HasPrefix(file, name+"/") {
			all = append(all, file+string(c.MapFS[file].Data))
		}
	}
	return strings.Join(all, "\x00"), nil
}

func (s *studio) draft(t *testing.T, w Want) Plan {
	t.Helper()
	plan, err := s.Draft(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func TestDrafts(t *testing.T) {
	secret, err := os.ReadFile("../../examples/posts/infra/production/secret.yaml")
	if err != nil {
		t.Fatal(err)
	}
	k8s := func(texts ...string) map[string]string {
		files := map[string]string{}
		for i, text := range texts {
			files["k8s/"+string(rune('a'+i))+".yaml"] = text
		}
		return files
	}
	for _, test := range []struct {
		rule               string
		target, next, base map[string]string
		want, problems     []string
		remarks            string
	}{
		{rule: "files elsewhere change nothing", target: k8s(configMap("a", "one")), next: map[string]string{"k8s/a.yaml": configMap("a", "one"), "README.md": "x"}},
		{rule: "a comment changes nothing", target: k8s(configMap("a", "one")), next: k8s("# x\n" + configMap("a", "one"))},
		{rule: "a value", target: k8s(configMap("a", "one")), next: k8s(configMap("a", "two")), want: []string{"changed ConfigMap/a [data.text one->two]"}},
		{rule: "an encrypted file without keys", target: k8s(string(secret)), next: k8s(strings.Replace(string(secret), "data:ZK3p", "data:AAAA", 1)),
			want: []string{"changed Secret/posts 1 hidden unproved: it is encrypted, and the plan does not decrypt it"}},
		{rule: "an encrypted value in a ConfigMap is refused as ever", target: k8s(configMap("a", "one")), next: k8s(strings.Replace(string(secret), "kind: Secret", "kind: ConfigMap", 1)),
			problems: []string{"k8s/a.yaml:1: ConfigMap/posts: it is encrypted, but everyone in the cluster who may read a ConfigMap could read it; make it a Secret, store it unencrypted, or have ConfigMap added to the entry's decryption.kinds"}},
		{rule: "the commit alone", target: k8s(configMap("a", "${COMMIT}")), next: k8s(configMap("a", "${COMMIT}"), configMap("b", "x")), want: []string{"added ConfigMap/b"},
			remarks: "manifests use variables of the commit"},
		{rule: "no manifests are left", target: k8s(configMap("a", "one")), next: map[string]string{"README.md": "x"}, problems: []string{"k8s: no such folder in this commit; check the entry's path; nothing is deleted"}},
		{rule: "a broken file", target: k8s(configMap("a", "one")), next: k8s("kind: Pod\n"), problems: []string{"k8s/a.yaml:1: Pod: it has no apiVersion"}},
		{rule: "the target is broken, and mended", target: k8s("kind: Pod\n"), next: k8s(configMap("a", "one")), problems: []string{"the target branch does not render, so there is nothing to compare with; with this merge it does: k8s/a.yaml:1: Pod: it has no apiVersion"}},
		{rule: "the target is broken, and stays so", target: k8s("kind: Pod\n"), next: map[string]string{"k8s/a.yaml": "kind: Pod\n", "README.md": "x"}},
		{rule: "the branch is behind", base: k8s(configMap("a", "one")), target: k8s(configMap("a", "two")), next: k8s(configMap("a", "one"), configMap("b", "x")), want: []string{"added ConfigMap/b"}},
		{rule: "both changed it", base: k8s(configMap("a", "one")), target: k8s(configMap("a", "two")), next: k8s(configMap("a", "three")), want: []string{"changed ConfigMap/a [data.text two->three]"},
			remarks: "both branches changed 1 object (ConfigMap/a)"},
	} {
		t.Run(test.rule, func(t *testing.T) {
			w := Want{Target: "target", Commit: "next"}
			if test.base != nil {
				w.Base = "base"
			}
			s := drafts(t, map[string]map[string]string{"target": test.target, "next": test.next, "base": test.base})
			p := s.draft(t, w)
			if diff := cmp.Diff(test.want, lines(p)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if len(p.Problems) != len(test.problems) || len(p.Problems) > 0 && !strings.HasPrefix(p.Problems[0], test.problems[0]) {
				t.Errorf("problems %q, want %q", p.Problems, test.problems)
			}
			if !strings.Contains(strings.Join(p.Remarks, "\n"), test.remarks) {
				t.Errorf("remarks %q, want %q", p.Remarks, test.remarks)
			}
			if asked := len(s.foreseen) > 0; asked != (len(test.want) > 0) {
				t.Errorf("the cluster was asked: %t", asked)
			}
		})
	}
}

// Several merge requests share the render of their target.
func TestTheTargetIsRenderedOnce(t *testing.T) {
	s := drafts(t, map[string]map[string]string{
		"target": {"k8s/a.yaml": configMap("a", "one")}, "first": {"k8s/a.yaml": configMap("a", "two")}, "second": {"k8s/a.yaml": configMap("a", "three")},
		"later": {"k8s/a.yaml": configMap("a", "four")},
	})
	s.draft(t, Want{Target: "target", Commit: "first"})
	before := s.last.result.Set.Objects[0].Unstructured
	s.draft(t, Want{Target: "target", Commit: "second"})
	if s.last.result.Set.Objects[0].Unstructured != before {
		t.Error("the target was rendered again")
	}
	p := s.draft(t, Want{Target: "later", Commit: "second"})
	if diff := cmp.Diff([]string{"changed ConfigMap/a [data.text four->three]"}, lines(p)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A merge that the forge made may be older than the newest push to the target.
func TestAMergeOntoAnOlderTarget(t *testing.T) {
	s := drafts(t, map[string]map[string]string{
		"older": {"k8s/a.yaml": configMap("a", "one")}, "target": {"k8s/a.yaml": configMap("a", "two")},
		"merge": {"k8s/a.yaml": configMap("a", "one"), "k8s/b.yaml": configMap("b", "x")},
	})
	for reason, test := range map[string]struct {
		parents []string
		want    []string
	}{
		"a merge onto an older target": {[]string{"older", "head"}, []string{"added ConfigMap/b"}},
		"a merge of something else":    {[]string{"older", "other"}, []string{"changed ConfigMap/a [data.text two->one]", "added ConfigMap/b"}},
		"no merge":                     {[]string{"older"}, []string{"changed ConfigMap/a [data.text two->one]", "added ConfigMap/b"}},
	} {
		s.parents = map[string][]string{"merge": test.parents}
		if diff := cmp.Diff(test.want, lines(s.draft(t, Want{Target: "target", Commit: "merge", Head: "head"}))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", reason, diff)
		}
	}
}

// For a while after a push, GitHub returns the merge of the earlier head.
func TestAMergeOfAnEarlierPushIsOutdated(t *testing.T) {
	s := drafts(t, map[string]map[string]string{"target": {"k8s/a.yaml": configMap("a", "one")}, "merge": {"k8s/a.yaml": configMap("a", "two")}})
	for reason, test := range map[string]struct {
		parents []string
		parent  string
		want    bool
	}{
		"of the head":        {[]string{"target", "head"}, "head", false},
		"of an earlier head": {[]string{"target", "earlier"}, "head", true},
		"of a squash commit": {[]string{"target", "squashed"}, "", false},
		"a fast forward":     {[]string{"target"}, "head", false},
	} {
		s.parents = map[string][]string{"merge": test.parents}
		p := s.draft(t, Want{Target: "target", Commit: "merge", Head: "head", Parent: test.parent})
		if p.Outdated != test.want || len(p.Changes) != 1 {
			t.Errorf("%s: %+v", reason, p)
		}
	}
}

// A Secret that the entry copies is not compared: its value could be guessed.
func TestCopiedSecretsAreNotCompared(t *testing.T) {
	const guess = "apiVersion: v1\nkind: Secret\nmetadata: {name: registry-pull}\nstringData: {password: guess}\n"
	s := drafts(t, map[string]map[string]string{"target": {"k8s/a.yaml": configMap("a", "one")}, "next": {"k8s/a.yaml": configMap("a", "one"), "k8s/b.yaml": guess}})
	s.env.Copies = []reconciler.Copy{{Object: set(t, guess).Objects[0].Unstructured, Origin: "Secret berth/registry-pull (copied)"}}
	if diff := cmp.Diff([]string{"added Secret/registry-pull unproved: it may hold secrets, which the answer could tell"}, lines(s.draft(t, Want{Target: "target", Commit: "next"}))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if key := (manifest.Key{Kind: "Secret", Namespace: "posts", Name: "registry-pull"}); s.foreseen[0].Proved[key] {
		t.Error("it is validated")
	}
}

// What may pass is an error, which is retried, and no plan.
func TestAServerThatDoesNotAnswer(t *testing.T) {
	s := drafts(t, nil)
	s.fails = errors.New("the server does not answer")
	if _, err := s.Draft(t.Context(), Want{Target: "target", Commit: "next"}); err == nil {
		t.Error("no error")
	}
}
