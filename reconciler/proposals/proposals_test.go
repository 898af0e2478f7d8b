package proposals

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler"
	"berth.dev/berth/reconciler/apply"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/plan"
	"berth.dev/berth/reconciler/render"
)

// tree is a commit.
type tree struct{ fstest.MapFS }

func (t tree) Hash(name string) (string, error) { return fmt.Sprint(t.MapFS[name]), nil }

// set renders files as a plan does.
func set(t *testing.T, files ...string) manifest.Set {
	t.Helper()
	commit := tree{fstest.MapFS{}}
	for i, text := range files {
		commit.MapFS[fmt.Sprintf("k8s/%d.yaml", i)] = &fstest.MapFile{Data: []byte(text)}
	}
	result, err := render.Render(t.Context(), commit, render.Options{Path: "k8s", Namespace: "posts", Decrypter: Concealer{}, Decrypted: manifest.Kinds{"Job"}})
	if err != nil {
		t.Fatal(err)
	}
	return result.Set
}

func configMap(name, text string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + "}\ndata: {text: \"" + text + "\"}\n"
}

func job(name, image, more string) string {
	return "apiVersion: batch/v1\nkind: Job\nmetadata: {name: " + name + more + "}\nspec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: " + image + "}]}}}\n"
}

// lines writes a plan, one line for each fact.
func lines(p Plan) (list []string) {
	for _, c := range p.Changes {
		line := string(c.Verb) + " " + c.Object
		for _, f := range c.Fields {
			line += fmt.Sprintf(" [%s %v->%v]", f.Path, f.Old, f.New)
		}
		if c.Keys > 0 {
			line += fmt.Sprintf(" %d hidden", c.Keys)
		}
		for _, fact := range [][2]string{{"because", c.Reason}, {"held", c.Held}, {"refused", c.Refused}, {"unproved", c.Unproved}} {
			if fact[1] != "" {
				line += " " + fact[0] + ": " + fact[1]
			}
		}
		list = append(list, line)
	}
	return list
}

func TestWhatDiffersBetweenTwoCommits(t *testing.T) {
	secret, err := os.ReadFile("../../examples/posts/infra/production/secret.yaml")
	if err != nil {
		t.Fatal(err)
	}
	sealed := string(secret)
	plain := func(password string) string {
		return "apiVersion: v1\nkind: Secret\nmetadata: {name: plain}\nstringData: {password: " + password + "}\n"
	}
	for _, test := range []struct {
		rule        string
		before, now []string
		want        []string
	}{
		{"the same objects in other files", []string{configMap("a", "one")}, []string{"# moved", configMap("a", "one")}, nil},
		{"added, changed and removed", []string{configMap("a", "one"), configMap("gone", "x")}, []string{configMap("a", "two"), configMap("new", "x")},
			[]string{"changed ConfigMap/a [data.text one->two]", "added ConfigMap/new", "removed ConfigMap/gone"}},
		{"an encrypted value", []string{sealed}, []string{strings.Replace(sealed, "data:ZK3p", "data:AAAA", 1)},
			[]string{"changed Secret/posts 1 hidden unproved: it is encrypted, and the plan does not decrypt it"}},
		{"an encrypted object is new", []string{configMap("a", "one")}, []string{configMap("a", "one"), sealed},
			[]string{"added Secret/posts unproved: it is encrypted, and the plan does not decrypt it"}},
		{"a Secret in the clear", []string{plain("hunter2")}, []string{plain("hunter3")}, []string{"changed Secret/plain 1 hidden unproved: it may hold secrets, which the answer could tell"}},
		{"a text that looks encrypted hides nothing", []string{configMap("a", "one")}, []string{strings.Replace(configMap("a", "two"), "{name: a}", "{name: a, labels: {b: berthsealed}}", 1)},
			[]string{"changed ConfigMap/a [data.text one->two] [metadata.labels.b <nil>->berthsealed]"}},
		{"a Job that runs with every commit runs beside other changes", []string{configMap("a", "one"), job("seed", "s:1", ", annotations: {berth.dev/job: every-commit}")},
			[]string{configMap("a", "two"), job("seed", "s:1", ", annotations: {berth.dev/job: every-commit}")},
			[]string{"changed ConfigMap/a [data.text one->two]", "runs Job/seed because: it runs with every commit"}},
		{"and is no change by itself", []string{job("seed", "s:1", ", annotations: {berth.dev/job: every-commit}")}, []string{job("seed", "s:1", ", annotations: {berth.dev/job: every-commit}")}, nil},
	} {
		t.Run(test.rule, func(t *testing.T) {
			current, next := set(t, test.before...), set(t, test.now...)
			p := conclude(reconciler.Environment{Namespace: "posts"}, compare(current, next, nil), next, reconciler.Prospect{})
			if diff := cmp.Diff(test.want, lines(p)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if text := fmt.Sprint(p); strings.Contains(text, "hunter") || strings.Contains(text, "berthsealed") && !strings.Contains(test.rule, "looks encrypted") || strings.Contains(text, "ENC[") {
				t.Errorf("it has a value: %s", text)
			}
		})
	}
}

// Only objects whose content is known are validated, and none that may hold secrets.
func TestWhatIsProved(t *testing.T) {
	secret, err := os.ReadFile("../../examples/posts/infra/production/secret.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const plain = "apiVersion: v1\nkind: Secret\nmetadata: {name: plain}\n"
	d := compare(set(t, configMap("gone", "x")), set(t, configMap("a", "x"), string(secret), plain, job("migrate", "m:1", "")), manifest.Kinds{"Job"})
	want := map[manifest.Key]bool{{Kind: "ConfigMap", Namespace: "posts", Name: "a"}: true}
	if diff := cmp.Diff(want, d.proved); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A merge request may replace an encrypted value by a guess. The cluster has the value, so what a sync would do depends on
// whether the guess is right, and the plan must not.
func TestAPlanConfirmsNoGuess(t *testing.T) {
	secret, err := os.ReadFile("../../examples/posts/infra/production/secret.yaml")
	if err != nil {
		t.Fatal(err)
	}
	encrypted := job("migrate", "m:1", ", annotations: {token: \"ENC[AES256_GCM,data:AAAA,iv:AAAA,tag:AAAA,type:str]\"}")
	_, metadata, _ := strings.Cut(string(secret), "\nsops:")
	for _, test := range []struct{ rule, before, guess string }{
		{"a Secret", string(secret), "apiVersion: v1\nkind: Secret\nmetadata: {name: posts}\nstringData: {password: guess}\n"},
		{"a Job of a kind that may be encrypted", encrypted + "sops:" + metadata, job("migrate", "m:1", ", annotations: {token: guess}")},
	} {
		t.Run(test.rule, func(t *testing.T) {
			current, next := set(t, test.before), set(t, test.guess)
			e := reconciler.Environment{Namespace: "posts", DecryptedKinds: manifest.Kinds{"Job"}}
			d := compare(current, next, e.DecryptedKinds)
			if len(d.list) != 1 || !d.list[0].encrypted {
				t.Fatalf("it compares %+v", d.list)
			}
			key := d.list[0].key
			wrong := reconciler.Prospect{
				Steps:   map[manifest.Key]plan.Step{key: {Key: key, Action: plan.Replace, Failure: "field is immutable"}},
				Results: map[manifest.Key]apply.Result{},
			}
			if d.proved[key] {
				wrong.Results[key] = apply.Result{Err: &apply.Error{Message: "field is immutable"}}
			}
			right := lines(conclude(e, d, next, reconciler.Prospect{}))
			if diff := cmp.Diff(right, lines(conclude(e, d, next, wrong))); diff != "" {
				t.Errorf("a right guess differs from a wrong one (-right +wrong):\n%s", diff)
			}
		})
	}
}

func TestWhatThePlanSays(t *testing.T) {
	key := func(kind, name string) manifest.Key {
		group := map[string]string{"Job": "batch"}[kind]
		return manifest.Key{Group: group, Kind: kind, Namespace: "posts", Name: name}
	}
	current := set(t, configMap("gone", "x"), configMap("data", "x"), job("migrate", "m:1", ""), configMap("a", "one"))
	next := set(t, job("migrate", "m:2", ""), configMap("a", "two"), job("done", "d:1", ""))
	found := reconciler.Prospect{
		Steps: map[manifest.Key]plan.Step{
			key("ConfigMap", "data"): {Action: plan.Keep, Reason: "is no longer in Git, and kept: berth.dev/prune: never", Health: health.Health{Status: health.Healthy}},
			key("Job", "migrate"):    {Action: plan.Replace, Key: key("Job", "migrate")},
			key("Job", "done"):       {Action: plan.Keep, Key: key("Job", "done")},
			key("ConfigMap", "a"):    {Action: plan.Change, Key: key("ConfigMap", "a"), Failure: "belongs to another environment"},
		},
		Results: map[manifest.Key]apply.Result{
			key("Job", "migrate"): {Err: &apply.Error{Message: "k8s/0.yaml:1: Job/posts/migrate: spec: is wrong; correct it in Git"}},
			key("Job", "done"):    {Unproved: "an admission webhook has side effects"},
		},
	}
	want := []string{
		"changed ConfigMap/a [data.text one->two] refused: k8s/1.yaml:1: ConfigMap/posts/a: belongs to another environment",
		"runs Job/migrate [spec.template.spec.containers[a].image m:1->m:2] refused: k8s/0.yaml:1: Job/posts/migrate: spec: is wrong; correct it in Git",
		"added Job/done unproved: an admission webhook has side effects",
		"removed ConfigMap/gone",
		"kept ConfigMap/data because: berth.dev/prune: never",
	}
	if diff := cmp.Diff(want, lines(conclude(reconciler.Environment{Namespace: "posts"}, compare(current, next, nil), next, found))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Forges without a merge ref: the branch may lack what its target got since.
func TestObjectsAreMerged(t *testing.T) {
	contents := func(s manifest.Set) (list []string) {
		for _, o := range s.Objects {
			text, _, _ := unstructured.NestedString(o.Object, "data", "text")
			list = append(list, o.GetName()+"="+text)
		}
		return list
	}
	base := set(t, configMap("same", "1"), configMap("ours", "1"), configMap("theirs", "1"), configMap("both", "1"), configMap("removed", "1"), configMap("dropped", "1"), configMap("fought", "1"), configMap("equal", "1"))
	target := set(t, configMap("same", "1"), configMap("ours", "1"), configMap("theirs", "2"), configMap("both", "2"), configMap("removed", "1"), configMap("fought", "2"), configMap("equal", "2"), configMap("their-new", "1"))
	branch := set(t, configMap("same", "1"), configMap("ours", "3"), configMap("theirs", "1"), configMap("both", "3"), configMap("dropped", "1"), configMap("equal", "2"), configMap("our-new", "1"))
	merged, both := merge(base, target, branch)
	if diff := cmp.Diff([]string{"same=1", "ours=3", "theirs=2", "both=3", "equal=2", "our-new=1", "their-new=1"}, contents(merged)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var names []string
	for _, key := range both {
		names = append(names, key.Name)
	}
	if diff := cmp.Diff([]string{"both", "fought"}, names); diff != "" {
		t.Errorf("both changed (-want +got):\n%s", diff)
	}
}
