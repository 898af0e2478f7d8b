package main

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"time"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/gittest"
)

// attack is a denial of service by an attacker who controls a branch, a Git server, or the network in front of the
// webhook's port.
type attack struct {
	name string
	// begin starts the attack, and returns a function that ends it.
	begin func(b *bench, n int) (end func())
}

// attacks lists all attacks; n is the size of each.
var attacks = []attack{
	{"a patch that merges two lists", func(b *bench, n int) func() { return b.attackBuild(merging(n * 20)) }},
	{"a patch of many operations", func(b *bench, n int) func() { return b.attackBuild(operating(n * 20)) }},
	{"59 overlays over many objects", func(b *bench, n int) func() { return b.attackBuild(layered(59, n)) }},
	{"five Git servers with references without end", func(b *bench, _ int) func() { return b.attackListing(5) }},
	{"a branch for everything", func(b *bench, n int) func() { return b.attackBranches(n * 10) }},
	{"a commit that unpacks to more than it may", func(b *bench, n int) func() { return b.attackPack(n) }},
	{"slow connections to the webhook", func(b *bench, n int) func() { return b.attackHook(n * 3) }},
}

// hostile measures the effect of each attack on production. It compares the time from the webhook of a push to the
// first write with the time without an attack. It also measures the peak memory of the agent and its children.
func (b *bench) hostile() []figure {
	if b.standing != nil {
		b.remove(b.standing)
		b.standing = nil
	}
	git := b.server.Repository("shop")
	manifests := files()
	manifests["k8s/kustomization.yaml"] = kustomization(manifests)
	git.Commit("main", manifests, "begin")
	shop := b.follow("shop", production(git.URL(), "shop"))
	at := place{git: git, branch: "main", namespace: "shop"}
	shop.Environment("main").BecomesWithin(limit, v1alpha1.ReasonHealthy, git.Head("main"))
	b.rest(b.settle)

	quiet, peak := b.underAttack(shop, at)
	figures := []figure{
		of("webhook to the first write of production, with Kustomize and in quiet", "ms", quiet),
		{Name: "memory of the agent and its children at most, in quiet", Unit: "MB", Value: peak},
	}
	for i, a := range attacks {
		b.t.Logf("attacking: %s", a.name)
		end := a.begin(b, b.attackSize)
		stop := b.profile(fmt.Sprintf("attack-%d", i+1))
		took, peak := b.underAttack(shop, at)
		stop()
		end()
		figures = append(figures,
			figure{Name: "multiple of that: " + a.name, Unit: "×", Value: median(took) / median(quiet), Budget: 2},
			figure{Name: "memory at most: " + a.name, Unit: "MB", Value: peak, Budget: 512})
	}
	return figures
}

// underAttack pushes to production several times. It returns the times to the first write, and the peak memory of the
// agent and its children in megabytes.
func (b *bench) underAttack(t *team, at place) (took []float64, peak float64) {
	done, highest := make(chan struct{}), make(chan float64)
	go func() {
		most, ticker := 0.0, time.NewTicker(50*time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				most = max(most, heldBy(b.world.Agent))
			case <-done:
				highest <- most
				return
			}
		}
	}()
	for i := range b.attackSamples {
		at.git.Commit(at.branch, map[string]string{"app/main.go": fmt.Sprintf("package main\n\n// %d at %d\n", i, time.Now().UnixNano())}, "change the code")
		took = append(took, milliseconds(b.reaction(t, at)))
	}
	close(done)
	return took, <-highest
}

// heldBy returns the memory of an agent and its children together, in megabytes. Shared pages count once.
func heldBy(agent *world.Agent) (megabytes float64) {
	for _, pid := range append(agent.Children(), agent.PID()) {
		if m, err := memoryOf(pid); err == nil { // otherwise it has just ended
			megabytes += m.proportional
		}
	}
	return megabytes
}

// production is the only entry of a Repository: main, in the given namespace.
func production(url, namespace string) func(*v1alpha1.RepositorySpec) {
	return func(spec *v1alpha1.RepositorySpec) {
		spec.URL = url
		spec.Environments[0].Name, spec.Environments[0].Branches = "production", []v1alpha1.BranchPattern{"main"}
		spec.Environments[0].Namespace = namespace
	}
}

// attackBuild pushes a branch whose kustomization exceeds its limits, and waits until its build has begun.
func (b *bench) attackBuild(texts map[string]string) func() {
	git, t := b.attacker()
	commit := git.CommitFrom("main", "attack", texts, "attack")
	env := t.Environment("attack")
	world.AwaitFor(b.t, limit, "the attack is built", func() (string, bool) {
		is, _ := env.Get()
		return world.Line(is), strings.HasPrefix(commit, is.Status.ShortCommit) && is.Status.ShortCommit != ""
	})
	return func() { b.remove(t) }
}

// attacker is a repository in which every branch gets an environment. Its namespaces stay: their deletion takes the
// control plane seconds, and says nothing about the agent.
func (b *bench) attacker() (*gittest.Repository, *team) {
	b.attackers++
	name := fmt.Sprintf("attack%d", b.attackers)
	git := b.server.Repository(name)
	git.Commit("main", map[string]string{"k8s/settings.yaml": settingsFile}, "begin")
	return git, b.follow(name, func(spec *v1alpha1.RepositorySpec) {
		spec.URL, spec.Poll = git.URL(), "@every 1s"
		spec.Environments[0].OnRemoval = v1alpha1.RemovalOrphan
	})
}

// attackListing lets Repositories follow servers that never finish a listing.
func (b *bench) attackListing(servers int) func() {
	server := gittest.Serve(b.t, gittest.Config{Dir: filepath.Join(b.dir, "endless")})
	server.Misbehave(gittest.Only(gittest.ListRefs, gittest.EndlessListing))
	var teams []*team
	for i := range servers {
		git := server.Repository(fmt.Sprintf("endless%d", i))
		git.Commit("main", map[string]string{"k8s/settings.yaml": settingsFile}, "begin")
		teams = append(teams, b.follow(fmt.Sprintf("endless%d", i), func(spec *v1alpha1.RepositorySpec) {
			spec.URL, spec.Poll = git.URL(), "@every 1s"
		}))
	}
	return func() {
		for _, t := range teams {
			t.Remove()
		}
		server.Close()
	}
}

// attackBranches creates the given number of branches at once. At most five of them may run at a time.
func (b *bench) attackBranches(n int) func() {
	git, t := b.attacker()
	t.Patch(`{"spec":{"limits":{"environments":20}}}`)
	head, refs := git.Head("main"), map[string]string{}
	for i := range n {
		refs[fmt.Sprintf("refs/heads/many-%d", i)] = head
	}
	git.Refs(refs)
	return func() { b.remove(t) }
}

// attackPack pushes a file with n hundred kilobytes of zeros, which Git sends as a few kilobytes.
func (b *bench) attackPack(n int) func() {
	git, t := b.attacker()
	git.CommitFrom("main", "attack", map[string]string{"zeros": strings.Repeat("\x00", n*110<<10)}, "attack")
	return func() { b.remove(t) }
}

// attackHook opens connections to the webhook's port that send one byte at a time.
func (b *bench) attackHook(n int) func() {
	var open []net.Conn
	for range n {
		if conn, err := net.DialTimeout("tcp", b.hookAddress, time.Second); err == nil {
			_, _ = io.WriteString(conn, "POST /hooks/shop HTTP/1.1\r\nHost: x\r\nX-Slow: ")
			open = append(open, conn)
		}
	}
	b.t.Logf("%d of %d connections are open", len(open), n)
	return func() {
		for _, conn := range open {
			conn.Close()
		}
	}
}

// kustomization names all manifests.
func kustomization(manifests map[string]string) string {
	text := "resources:\n"
	for name := range manifests {
		if file, ok := strings.CutPrefix(name, "k8s/"); ok {
			text += "- " + file + "\n"
		}
	}
	return text
}

func merging(n int) map[string]string {
	return map[string]string{
		"k8s/kustomization.yaml": "resources: [app.yaml]\npatches: [{path: patch.txt}]\n",
		"k8s/app.yaml":           withVariables(n, "A"),
		"k8s/patch.txt":          withVariables(n, "B"),
	}
}

func operating(n int) map[string]string {
	return map[string]string{
		"k8s/kustomization.yaml": "resources: [app.yaml]\npatches: [{path: patch.txt, target: {kind: Deployment}}]\n",
		"k8s/app.yaml":           withVariables(1, "A"),
		"k8s/patch.txt":          repeated(n, "- {op: add, path: /metadata/labels/a%d, value: b}\n"),
	}
}

// layered returns stacked kustomizations over many objects.
func layered(levels, objects int) map[string]string {
	texts := map[string]string{
		"k8s/kustomization.yaml":   fmt.Sprintf("resources: [%d]\n", levels-1),
		"k8s/0/kustomization.yaml": "resources: [objects.yaml]\n",
		"k8s/0/objects.yaml":       repeated(objects, "{apiVersion: v1, kind: ConfigMap, metadata: {name: c%d}}\n---\n"),
	}
	for i := 1; i < levels; i++ {
		texts[fmt.Sprintf("k8s/%d/kustomization.yaml", i)] = fmt.Sprintf("resources: [../%d]\nnamePrefix: a-\n", i-1)
	}
	return texts
}

func withVariables(n int, prefix string) string {
	return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: api, labels: {app: api}}\nspec:\n  template:\n    spec:\n      containers:\n      - name: api\n        env:\n" +
		repeated(n, "        - {name: "+prefix+"%d, value: b}\n")
}

// repeated writes a format with the numbers from 0 to n-1.
func repeated(n int, format string) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, format, i)
	}
	return text.String()
}
