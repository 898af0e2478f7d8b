package forge_test

import (
	"encoding/json"
	"maps"
	"os"
	"strings"
	"testing"

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
