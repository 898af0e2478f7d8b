package page

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
)

// changes changes the entries of a team.
func (team *team) changes(t *testing.T, change func(production, review *v1alpha1.Entry)) {
	t.Helper()
	entries := team.Get().Spec.Environments
	change(&entries[0], &entries[1])
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"environments": entries}})
	if err != nil {
		t.Fatal(err)
	}
	team.Patch(string(patch))
}

// acts clicks a button, reads what it will do, and does it.
func (p *tab) acts(button string, says ...string) {
	p.Helper()
	p.opensDialog(`a[href*="/do/` + button + `"]`)
	p.awaits("dialog[open]", says...)
	p.clicks("dialog[open] form button")
}

// opensDialog clicks a link that opens a dialog. Before the scripts of the page run, it would open a page. A click misses
// if an update moves the link at that moment.
func (p *tab) opensDialog(selector string) {
	p.Helper()
	p.until("the scripts run", func() (string, bool) {
		state := eval[string](p, "document.readyState")
		return state, state == "complete"
	})
	p.until(selector+" opens a dialog", func() (string, bool) {
		eval[bool](p, `window.clicked = false; document.addEventListener("click", (e) => { window.clicked = !!e.target.closest("a[data-dialog]") }, {once: true}); true`)
		p.clicks(selector)
		return "the click missed", eval[bool](p, "window.clicked === true")
	})
}

// An update that arrives while a dialog is open is shown when it closes.
func TestADialogMissesNoUpdate(t *testing.T) {
	team := begins(t, "covered")
	p := opens(t, shared.Cluster.Kubeconfig())
	p.goes("/env/covered.production.main")
	p.awaits(".title", "Healthy")
	p.opensDialog(`a[href*="/do/suspend"]`)
	p.awaits("dialog[open]", "drift is not reverted")
	eval[bool](p, `window.heard = ""; new EventSource("/live?shown=" + document.querySelector("#main").dataset.shown).onmessage = (e) => { heard += e.data }; true`)
	second := team.git.Commit("main", map[string]string{"README.md": "More.\n"}, "A second version")
	team.Environment("main").Becomes("Healthy", second)
	p.until("the browser hears of it", func() (string, bool) {
		heard := eval[string](p, "heard")
		return heard, strings.Contains(heard, "covered.production.main")
	})
	if saw := p.text("main"); strings.Contains(saw, second[:8]) {
		t.Errorf("the dialog covers a page that changes: %q", saw)
	}
	p.clicks("dialog[open] [data-close]")
	p.awaits("main", second[:8], "A second version", "Healthy")
	p.isSame()
}

func TestABannerShowsWhereKeysAreMissing(t *testing.T) {
	team := begins(t, "keyless")
	p := opens(t, shared.Cluster.Kubeconfig())
	p.awaits("#list", "keyless / production")
	team.changes(t, func(production, _ *v1alpha1.Entry) {
		production.Decryption = &v1alpha1.Decryption{SecretRef: &v1alpha1.SecretReference{Name: "keyless-keys"}}
	})
	p.awaits(".banner", "keyless: keys are missing for 1 environment", "with which the entry production decrypts, does not exist", "keyless.production.main")
	p.isAccessible("the banner of missing keys")
	key, err := os.ReadFile(filepath.FromSlash("../../examples/posts/berth/demo-keys/review.agekey"))
	if err != nil {
		t.Fatal(err)
	}
	shared.SetSecret(reporter{t}, "keyless-keys", map[string]string{"age.agekey": string(key)})
	p.awaitsGone(".banner")
	p.isSame()
}

func TestAFailureIsRetriedAndAnEnvironmentKept(t *testing.T) {
	team := begins(t, "helps")
	team.changes(t, func(_, review *v1alpha1.Entry) { review.ExpireAfter = &metav1.Duration{Duration: 24 * time.Hour} })
	broken := team.branches("fix", "Crash at the start", map[string]string{"k8s/api.yaml": deployment("api", crashes)})
	env := team.Environment("fix").Becomes("Failed", broken)
	p := opens(t, shared.Cluster.Kubeconfig())
	p.goes("/env/" + env.Name)
	p.acts("retry", "tries again what failed", "berth retry "+env.Name)
	p.awaits("main", "Retry: ")
	p.awaits(".facts", "Expires in")
	p.acts("keep", "does not expire", "kubectl annotate --overwrite env -n berth "+env.Name+" berth.dev/keep=true")
	p.awaits(".actions", "Let it expire")
	p.acts("expire", "expires again")
	p.awaits(".facts", "Expires in")
	p.awaits(".actions", "Keep")
}

func TestBlockedDeletionsAreConfirmedAboveTheBranches(t *testing.T) {
	team := begins(t, "guarded")
	branches := []string{"a", "b", "c", "d"}
	for _, branch := range branches {
		team.branches(branch, "Begin "+branch, nil)
	}
	for _, branch := range branches {
		team.Environment(branch).Becomes("Healthy", team.git.Head(branch))
	}
	p := opens(t, shared.Cluster.Kubeconfig())
	p.awaits("#list", "guarded / review")
	team.git.Delete(branches...)
	p.awaits(".banner", "guarded: deletions are blocked until a person confirms them", "guarded.review.a", "guarded.review.d")
	p.opensDialog(`a[href="/repo/guarded/confirm"]`)
	p.awaits("dialog[open]", "guarded.review.a", "guarded.review.d", "berth confirm --repository guarded")
	p.clicks("dialog[open] form button")
	for _, branch := range branches {
		p.awaitsGone(rowOf(fmt.Sprintf("guarded.review.%s", branch)))
	}
	p.awaitsGone(".banner")
	team.confirmsObjects(t, p)
}

// confirmsObjects is about the deletion guard of one environment. It confirms deletions of which the viewer has seen the list.
func (team *team) confirmsObjects(t *testing.T, p *tab) {
	t.Helper()
	main := team.Environment("main")
	main.Becomes("Healthy", team.git.Commit("main", parts("12345678", "a"), "Eight parts"))
	p.goes("/")
	p.awaits("#list", "Eight parts")
	main.Becomes("Waiting", team.git.Commit("main", parts("123456", ""), "Six fewer"), "6 of 11 objects would be deleted")
	p.awaits(".banner", "guarded.production.main: deletions are blocked", "ConfigMap/part-1", "ConfigMap/part-6")
	p.isAccessible("the banner of blocked objects")
	p.isSame()
	p.opensDialog(`a[href="/env/guarded.production.main/do/confirm"]`)
	p.awaits("dialog[open]", "ConfigMap/part-4", "berth confirm guarded.production.main")
	restored := parts("45", "a")
	maps.Copy(restored, parts("78", ""))
	main.Becomes("Waiting", team.git.Commit("main", restored, "Six others fewer"), "6 of 11 objects would be deleted")
	p.until("the server knows", func() (string, bool) {
		saw := p.awaited(`fetch("/env/guarded.production.main").then((answer) => answer.text())`)
		return saw, strings.Contains(saw, "ConfigMap/part-8")
	})
	p.expected = "status of 409"
	p.clicks("dialog[open] form button")
	p.awaits("main", "Nothing was confirmed")
	p.goes("/env/guarded.production.main")
	p.awaits(".banner", "Deletions are blocked", "ConfigMap/part-8")
	p.acts("confirm", "ConfigMap/part-1", "ConfigMap/part-8")
	p.awaits("main", "Confirm deletions: done", "Healthy")
	p.awaitsGone(".banner.warn")
}

// parts are the files of small objects, one for each letter of some names. Without content they are deleted.
func parts(names, content string) map[string]string {
	files := map[string]string{}
	for _, name := range names {
		path := fmt.Sprintf("k8s/part-%c.yaml", name)
		if files[path] = ""; content != "" {
			files[path] = fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: part-%c}\ndata: {a: %s}\n", name, content)
		}
	}
	return files
}
