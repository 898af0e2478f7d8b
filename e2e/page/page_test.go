package page

import (
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"berth.dev/berth/deploy"
)

// rowOf selects the row of a branch's environment.
func rowOf(environment string) string { return `[id="env-` + environment + `"]` }

func TestBranchesAppearAndChangeWithoutAReload(t *testing.T) {
	team := begins(t, "live")
	p := opens(t, shared.Cluster.Kubeconfig())
	p.awaits("#list", "Production", "main", "live / production", "Begin with an API")
	commit := team.branches("feature/login", "Add a login", map[string]string{"k8s/api.yaml": deployment("api", startsSlowly)})
	login := team.Environment("feature/login")
	p.awaits("#list", "feature/login", "Add a login")
	env := login.Becomes("Healthy", commit)
	p.awaits(rowOf(env.Name), "Healthy", commit[:8])
	team.git.Delete("feature/login")
	p.awaitsGone(rowOf(env.Name))
	p.isSame()
}

func TestAnEnvironmentShowsItsRollout(t *testing.T) {
	team := begins(t, "rollout")
	p := opens(t, shared.Cluster.Kubeconfig())
	p.goes("/env/rollout.production.main")
	p.awaits("main", "Healthy", "Job", "migrate", "Deployment", "api", "Wave -1", "rollout.example.com")
	slow := team.git.Commit("main", map[string]string{"k8s/api.yaml": deployment("api", startsSlowly)}, "Start slowly")
	p.awaits("main", "Syncing", slow[:8], "Start slowly")
	p.until("the rollout counts its seconds", func() (string, bool) {
		saw := p.text(".strip li.busy time")
		return saw, regexp.MustCompile(`^\d+s$`).MatchString(saw)
	})
	p.awaits(".title", "Healthy")
	p.until("each step has its time", func() (string, bool) {
		saw := eval[string](p, `[...document.querySelectorAll(".strip li")].map((li) => li.querySelector(".took")?.innerText ?? "none").join(" ")`)
		return saw, regexp.MustCompile(`^([\d.m]+s ){4}none$`).MatchString(saw)
	})
	team.git.Commit("main", map[string]string{"k8s/api.yaml": deployment("api", crashes)}, "Crash")
	p.awaits("main", "Failed", "exited with code 3", "cannot reach the <database>")
	p.isSame()
	p.clicks(`.tabs a[href$="/history"]`)
	p.awaits("#syncs + ol", "Failed", "Healthy", slow[:8])
}

func TestDiffAndLogs(t *testing.T) {
	team := begins(t, "reads")
	first := team.git.Head("main")
	second := team.git.Commit("main", map[string]string{"k8s/api.yaml": deployment("api", crashes), "k8s/common.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: common}\ndata: {a: c}\n"}, "Crash")
	team.Environment("main").Becomes("Failed", second)
	p := opensIn(t, shared.Cluster.Kubeconfig(), team.clone(t))
	p.goes("/env/reads.production.main/diff")
	p.awaits("main", "There is nothing to do")
	p.goes("/env/reads.production.main/diff?from=" + first)
	p.awaits("main", "2 are changed", "ConfigMap/common", "~ data.a: b -> c", "k8s/common.yaml:1", "Deployment/api")
	elsewhere := opens(t, shared.Cluster.Kubeconfig()) // without a clone, the Git server is asked
	elsewhere.goes("/env/reads.production.main/diff?from=" + first)
	elsewhere.awaits("main", "~ data.a: b -> c", "k8s/common.yaml:1")
	p.goes("/env/reads.production.main")
	p.awaits("main", "k8s/api.yaml:1") // which only a clone tells
	p.goes("/env/reads.production.main/logs?workload=Deployment/api")
	p.awaits("#lines", "starting", "cannot reach the <database>")
	p.goes("/env/reads.production.main/logs?q=database")
	p.until("only the lines that match are there", func() (string, bool) {
		saw := p.text("#lines")
		return saw, strings.Contains(saw, "cannot reach") && !strings.Contains(saw, "starting")
	})
	p.awaits("#head", "Failed", "Retry")
	const log = `{"level":"info","msg":"database found"}
{"level":"error","msg":"database lost"}`
	team.git.Commit("main", map[string]string{"k8s/api.yaml": deployment("api", logs(log)+"}, labels: {app: NAME}")}, "Do not crash")
	p.awaits("#head", "Healthy", "Do not crash")
	p.awaitsGone(`#head a[href$="/do/retry"]`)
	p.isSame()
	p.goes("/env/reads.production.main/logs?q=database") // the simulated node has no times of lines, and a line without one is not followed
	p.awaits("#lines", "database found", "database lost")
	before := p.text(".facts time")
	p.until("ages have grown", func() (string, bool) {
		saw := p.text(".facts time")
		return saw, saw != before
	})
	if saw := p.text("#lines"); strings.Contains(saw, "NaN") { // the times of lines are no ages
		t.Errorf("then the lines are %q", saw)
	}
	p.chooses(`select[name="level"]`, "error")
	p.until("only errors are there", func() (string, bool) {
		saw := p.text("#lines")
		return saw, strings.Contains(saw, "database lost") && !strings.Contains(saw, "database found")
	})
	if saved := p.awaited(`fetch(document.querySelector("a[download]").href).then((answer) => answer.text())`); !strings.Contains(saved, "database lost") || strings.Contains(saved, "found") {
		t.Errorf("the download is %q", saved)
	}
	p.clicks(`input[name="previous"]`)
	p.until("the address has the choice", func() (string, bool) {
		address := eval[string](p, "location.search")
		return address, strings.Contains(address, "level=error") && strings.Contains(address, "previous=yes")
	})
	p.awaitsGone("#follow") // an earlier run has ended
	elsewhere.goes("/env/reads.production.main/diff")
	elsewhere.awaits("main", "There is nothing to do")
	slow := strings.Replace(startsSlowly, `"3"`, `"10"`, 1)
	later := strings.NewReplacer("name: migrate", "name: later", `"-1"`, `"1"`).Replace(migration)
	team.git.Commit("main", map[string]string{"k8s/api.yaml": deployment("api", slow), "k8s/later.yaml": later, "k8s/common.yaml": ""}, "A Job after the rollout")
	elsewhere.awaits("main", "Syncing", "Job/later", "1 Job will run", "ConfigMap/common", "1 is deleted")
	elsewhere.awaits("main", "Healthy", "There is nothing to do")
	elsewhere.isSame()
}

func TestActionsAskFirstAndShowTheirProgress(t *testing.T) {
	team := begins(t, "acts")
	first := team.git.Head("main")
	second := team.git.Commit("main", map[string]string{"k8s/api.yaml": deployment("api", "labels: {app: NAME, v: b}")}, "A second version")
	team.Environment("main").Becomes("Healthy", second)
	p := opens(t, shared.Cluster.Kubeconfig())
	p.goes("/env/acts.production.main")
	p.acts("suspend", "drift is not reverted", "berth suspend acts.production.main")
	p.awaits("main", "Suspended", "Suspend: done")
	p.acts("resume", "reverts what drifted", "berth resume acts.production.main")
	p.awaits("main", "Healthy", "Resume: done")
	p.acts("sync", "lists the branches", "berth sync acts.production.main")
	p.awaits("main", "Sync: done")
	p.goes("/env/acts.production.main/history")
	p.acts("pin?commit="+first, "runs commit "+first[:8], "berth pin acts.production.main "+first[:8])
	p.awaits("main", "pinned to "+first[:8], "Begin with an API", "Run this commit: done", "Healthy")
	p.acts("unpin", "follows main again")
	p.awaits("main", "A second version", "Follow the branch: done", "Healthy")
	p.awaitsGone(".title .tag")
}

func TestWithoutRightsThePageSaysSo(t *testing.T) {
	begins(t, "rights")
	kubeconfig, err := shared.Cluster.KubeconfigFor(t.Context(), deploy.Namespace, viewer(t))
	if err != nil {
		t.Fatal(err)
	}
	p := opens(t, kubeconfig)
	p.awaits("#list", "main", "rights / production")
	p.goes("/env/rights.production.main")
	p.awaits("main", "Not shown", "because you lack the right", "ask for the role edit in the namespace berth")
	p.awaitsGone(`a[href*="/do/"]`)
}

func TestThePageOutlivesTheAgent(t *testing.T) {
	team := begins(t, "restart")
	p := opens(t, shared.Cluster.Kubeconfig())
	p.awaits("#list", "restart / production")
	if err := shared.Agent.Kill(); err != nil {
		t.Fatal(err)
	}
	team.branches("late", "Pushed while no agent ran", nil)
	if err := shared.Agent.Start(); err != nil {
		t.Fatal(err)
	}
	p.awaits("#list", "late", "Pushed while no agent ran", "Healthy")
	p.isSame()
}

func TestTheClusterIsLostAndComesBack(t *testing.T) {
	team := begins(t, "lost")
	way, kubeconfig := through(t, shared.Cluster.Kubeconfig())
	p := opens(t, kubeconfig)
	p.awaits("#list", "lost / production")
	way.loses()
	p.awaits("main", "The cluster cannot be reached", "lost / production") // what it last said stays
	team.branches("meanwhile", "Pushed while the page saw nothing", nil)
	way.isBack()
	p.awaits("#list", "meanwhile", "Healthy")
	p.awaitsGone(".banner")
	p.isSame()
}

func TestThePageSaysThatItsServerIsGone(t *testing.T) {
	begins(t, "gone")
	p := opens(t, shared.Cluster.Kubeconfig())
	p.expected = "status of 401"
	p.awaitsGone("#live:not([hidden])")
	p.close()
	p.awaits("#live:not([hidden])", "Connection lost")
	p.servesAgain()
	p.awaits("#live:not([hidden])", "berth ui was restarted; open the address that it printed")
	p.awaits("#list", "gone / production") // what it last said stays
}

// A proxy answers for the page while its server restarts, and the server refuses what is too much.
func TestOnlyAPageReplacesAPage(t *testing.T) {
	team := begins(t, "proxied")
	p := opens(t, shared.Cluster.Kubeconfig())
	p.expected = "status of 502"
	way := inFrontOf(t, p)
	p.goes("/env/proxied.production.main")
	p.awaits("main", "Healthy", "Deployment")
	way.fails.Store(true)
	next := team.git.Commit("main", map[string]string{"k8s/api.yaml": deployment("api", "labels: {app: NAME, v: b}")}, "A second version")
	p.awaits("#live:not([hidden])", "Connection lost")
	p.opensDialog(`a[href$="/do/suspend"]`)
	p.until("the proxy has answered", func() (string, bool) { return "it has not", way.failed.Load() > 3 })
	if saw := p.text("main"); !strings.Contains(saw, "Begin with an API") || eval[bool](p, `document.querySelector("#dialog").open`) {
		t.Errorf("the page shows %q", saw)
	}
	way.fails.Store(false)
	p.awaits("main", "Healthy", next[:8], "A second version")
	p.awaitsGone("#live:not([hidden])")
	p.isSame()
}

func TestKeys(t *testing.T) {
	team := begins(t, "keys")
	commits := map[string]string{"feature/login": team.branches("feature/login", "Add a login", nil), "feature/search": team.branches("feature/search", "Add a search", nil)}
	p := opens(t, shared.Cluster.Kubeconfig())
	p.awaits("#list", "feature/login", "feature/search")
	for branch, commit := range commits { // afterwards nothing moves a row
		env := team.Environment(branch).Becomes("Healthy", commit)
		p.awaits(rowOf(env.Name), "Healthy")
	}
	eval[bool](p, `document.body.dispatchEvent(new KeyboardEvent("keydown", {key: "/", bubbles: true}))`) // the protocol would type the key as well
	p.presses("add a SEARCH")
	p.awaitsGone(rowOf("keys.review.feature-login-hxtcaw") + ":not([hidden])")
	p.until("the address has the filter", func() (string, bool) {
		address := eval[string](p, "location.href")
		return address, strings.HasSuffix(address, "?q=add+a+SEARCH")
	})
	p.presses(kb.Escape) // empties the search
	p.presses(kb.Escape) // and leaves it
	p.presses("j")
	p.presses("j")
	p.presses(kb.Enter)
	p.awaits("h1", "feature/")
	p.until("Escape leads back", func() (string, bool) {
		p.presses(kb.Escape) // again, if the page was not ready for it
		saw := p.text("h1")
		return saw, saw == "Branches"
	})
}
