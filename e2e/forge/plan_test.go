package forge_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/api/v1alpha1"
)

// example is the application whose Secrets are encrypted.
const example = "../../examples/posts/"

func readExample(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(example + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// with adds files to others.
func with(files map[string]string, more ...string) map[string]string {
	files = maps.Clone(files)
	for i := 0; i < len(more); i += 2 {
		files[more[i]] = more[i+1]
	}
	return files
}

// plansMerges lets the team's Repository decrypt production, and plan merge requests. Only branches below preview/ have
// environments of their own.
func (team *team) plansMerges(t *testing.T) {
	t.Helper()
	team.reports(t, "write:repository", "write:issue")
	shared.SetSecret(reporter{t}, team.Name+"-keys", map[string]string{"production.agekey": readExample(t, "berth/demo-keys/production.agekey")})
	entries := team.Get().Spec.Environments
	for i := range entries {
		entries[i].Decryption = &v1alpha1.Decryption{SecretRef: &v1alpha1.SecretReference{Name: team.Name + "-keys"}}
	}
	entries[1].Branches = []v1alpha1.BranchPattern{"preview/**"}
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"environments": entries, "feedback": map[string]any{"plan": map[string]any{}}}})
	if err != nil {
		t.Fatal(err)
	}
	team.Patch(string(patch))
}

// silent fails if a merge request has a note.
func (team *team) silent(t *testing.T, number int64) {
	t.Helper()
	if notes := team.forge.Notes(number); len(notes) != 0 {
		t.Errorf("merge request %d has the notes %v", number, notes)
	}
}

// Whoever opens a merge request sees there what merging would do to production, and no secret.
func TestThePlanOfAMergeRequest(t *testing.T) {
	posts := begins(t, "plans")
	posts.plansMerges(t)
	secret := readExample(t, "infra/production/secret.yaml")
	production := posts.Environment("main")
	production.Becomes("Healthy", posts.forge.Push("main", with(application("one"), "k8s/secret.yaml", secret)))

	// Its ciphertext is nonsense: nobody decrypts it.
	tampered := strings.Replace(secret, "data:ZK3p", "data:AAAA", 1)
	posts.forge.Push("fix", with(application("two"), "k8s/secret.yaml", tampered, "k8s/extra.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: extra}\n"))
	posts.forge.Push("docs", map[string]string{"README.md": "nothing of production"})
	silent := posts.forge.Open("docs")
	number := posts.forge.Open("fix")
	note := posts.says(t, number, "**Merging this into** `main`", "`production`: 1 added, 2 changed", "➕ added `ConfigMap/extra` (`k8s/extra.yaml:1`)",
		"`data.text`: `one` → `two`", "changed `Secret/posts` (`k8s/secret.yaml:1`): 1 hidden value", "not validated: `it is encrypted")
	t.Log(note.Body)
	if strings.Contains(note.Body, "Environments of") {
		t.Error("the branch has no environment")
	}
	posts.silent(t, silent)

	t.Run("a push replaces the plan, and names what the cluster refuses", func(t *testing.T) {
		broken := application("three")
		broken["k8s/app.yaml"] = strings.ReplaceAll(broken["k8s/app.yaml"], "app: api", "app: other")
		posts.forge.Push("fix", with(broken, "k8s/secret.yaml", secret, "k8s/extra.yaml", ""))
		again := posts.says(t, number, "→ `three`", "**1 would be refused**", "⛔ refused: `k8s/app.yaml:", "Deployment/plans/api: spec.selector:", "field is immutable")
		if again.ID != note.ID || strings.Contains(again.Body, "Secret/posts") || strings.Contains(again.Body, "extra") {
			t.Errorf("note %d became\n%s", note.ID, again.Body)
		}
	})
	t.Run("manifests that do not render are named with file and line", func(t *testing.T) {
		posts.forge.Push("fix", map[string]string{"k8s/app.yaml": "kind: [\n"})
		posts.says(t, number, "**nothing would be synced**", "⛔ `k8s/app.yaml:")
	})
	t.Run("a branch with an environment has both in one note", func(t *testing.T) {
		head := posts.forge.Push("preview/x", with(application("four"), "k8s/secret.yaml", secret))
		posts.Environment("preview/x").Becomes("Healthy", head)
		posts.says(t, posts.forge.Open("preview/x"), "Environments of", "✅ Healthy", "**Merging this into** `main`", "→ `four`")
	})
	t.Run("a fork is planned only if the Repository says so", func(t *testing.T) {
		fork := posts.forge.OpenFromFork("eve", "theirs", application("eve"))
		posts.forge.Push("fix", with(application("five"), "k8s/secret.yaml", secret))
		posts.says(t, number, "→ `five`")
		posts.silent(t, fork)
		posts.Patch(`{"spec": {"feedback": {"plan": {"forks": true}}}}`)
		posts.says(t, fork, "**Merging this into** `main`", "→ `eve`")
	})
	t.Run("after the merge, the plan is gone and the status is there", func(t *testing.T) {
		commit := posts.forge.Merge(number)
		production.Becomes("Healthy", commit)
		posts.shows(t, commit, "berth/production", "success", "Healthy")
		posts.says(t, number, "There is no plan of this merge request any more")
	})
	posts.silent(t, silent)
	for _, number := range []int64{number, silent} {
		for _, note := range posts.forge.Notes(number) {
			if strings.Contains(note.Body, "password") || strings.Contains(note.Body, "ENC[") || strings.Contains(note.Body, "berthsealed") {
				t.Errorf("a secret is shown:\n%s", note.Body)
			}
		}
	}
}

// Gitea has no merge ref. What the target got since the branch began is not removed by a merge.
func TestABranchThatIsBehind(t *testing.T) {
	posts := begins(t, "behind")
	posts.plansMerges(t)
	posts.forge.Push("main", application("one"))
	posts.forge.Push("fix", map[string]string{"k8s/extra.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: extra}\n"})
	commit := posts.forge.Push("main", with(application("two"), "k8s/since.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: since}\n"))
	posts.Environment("main").Becomes("Healthy", commit)
	number := posts.forge.Open("fix")
	if note := posts.says(t, number, "➕ added `ConfigMap/extra`"); strings.Contains(note.Body, "since") || strings.Contains(note.Body, "settings") {
		t.Errorf("it has what main got since:\n%s", note.Body)
	}
	next := posts.forge.Push("main", map[string]string{"k8s/extra.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: extra}\n"})
	posts.Environment("main").Becomes("Healthy", next)
	posts.says(t, number, "Merging this would change no environment.")
}

// The author of a merge request learns nothing that is only in the cluster, and changes nothing there. Production is deployed as
// ever while hostile content is planned.
func TestWhatAHostileMergeRequestLearns(t *testing.T) {
	posts := begins(t, "curious")
	posts.plansMerges(t)
	const inTheCluster = "only-in-the-cluster"
	shared.SetSecret(reporter{t}, "curious-copied", map[string]string{"password": inTheCluster})
	entries := posts.Get().Spec.Environments
	entries[0].CopySecrets = []v1alpha1.SecretReference{{Name: "curious-copied"}}
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"environments": entries}})
	if err != nil {
		t.Fatal(err)
	}
	posts.Patch(string(patch))
	production := posts.Environment("main")
	production.Becomes("Healthy", posts.forge.Push("main", application("one")))
	production.Patch("Deployment/api", `{"metadata": {"annotations": {"cluster.example.com/token": "`+inTheCluster+`"}}}`)
	production.Patch("ConfigMap/settings", `{"data": {"token": "`+inTheCluster+`"}}`)
	before := production.Object("ConfigMap/kube-root-ca.crt").GetResourceVersion()

	posts.forge.Push("curious", map[string]string{
		"k8s/app.yaml": strings.ReplaceAll(application("two")["k8s/app.yaml"], "image: registry", "env: [{name: A, value: b}], image: registry"),
		"k8s/guess.yaml": `apiVersion: v1
kind: Secret
metadata: {name: curious-copied}
stringData: {password: ` + inTheCluster + `}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: kube-root-ca.crt}
data: {ca.crt: x}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: variables, annotations: {a: "@ada /close <b>"}}
data: {entry: "${ENTRY}", keys: "${DB_PASSWORD}"}
---
apiVersion: v1
kind: Pod
metadata: {name: privileged}
spec: {containers: [{name: a, image: b, securityContext: {privileged: true}}], hostNetwork: true}
`,
	})
	number := posts.forge.Open("curious")
	note := posts.says(t, number, "changed `Deployment/api`", "`data.text`: `one` → `two`", "added `Secret/curious-copied`", "added `ConfigMap/kube-root-ca.crt`")
	t.Log(note.Body)
	if strings.Contains(note.Body, inTheCluster) || strings.Contains(note.Body, "hidden value") || strings.Contains(note.Body, "BEGIN CERTIFICATE") {
		t.Error("the note has what is only in the cluster")
	}
	if after := production.Object("ConfigMap/kube-root-ca.crt").GetResourceVersion(); after != before {
		t.Error("an object was changed")
	}
	if _, there := production.Find("ConfigMap/variables"); there {
		t.Error("an object was created")
	}
	posts.forge.Push("curious", map[string]string{
		"k8s/guess.yaml":         "",
		"k8s/kustomization.yaml": "resources: [app.yaml]\npatches:\n" + strings.Repeat("- target: {kind: Deployment}\n  patch: '[{\"op\": \"add\", \"path\": \"/metadata/annotations\", \"value\": {\"a\": \"b\"}}]'\n", 20_000),
	})
	production.Becomes("Healthy", posts.forge.Push("main", application("three")))
}

// waiting are merge requests that are planned again with each push that is measured; docs/merge-requests.md has the figures.
var waiting = flag.Int("waiting", 0, "number of open merge requests while pushes are measured")

// The time from a push to production until it is healthy does not depend on merge requests that are planned because of it.
func TestTimeOfAPushBesidePlans(t *testing.T) {
	posts := begins(t, "beside")
	posts.plansMerges(t)
	production := posts.Environment("main")
	production.Becomes("Healthy", posts.forge.Push("main", application("one")))
	measure := func(what string) {
		var took []time.Duration
		for i := range *pushes {
			commit := posts.forge.Push("main", application(fmt.Sprint(what, i)))
			began := time.Now()
			production.Becomes("Healthy", commit)
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		t.Logf("%s: median %s of %d, from %s to %s", what, took[len(took)/2].Round(time.Millisecond), len(took), took[0].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond))
	}
	measure("without merge requests")
	for i := range max(1, *waiting) {
		branch := fmt.Sprintf("fix-%d", i)
		posts.forge.Push(branch, with(application("fix"), "k8s/extra.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: extra}\n"))
		posts.says(t, posts.forge.Open(branch), "added `ConfigMap/extra`")
	}
	measure(fmt.Sprintf("with %d merge requests", max(1, *waiting)))
}
