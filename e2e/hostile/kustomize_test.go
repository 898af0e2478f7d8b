package hostile

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/e2e/world"
)

// each repeats a text n times, with the numbers from 0 in place of %.
func each(n int, text string) string {
	var all strings.Builder
	for i := range n {
		all.WriteString(strings.ReplaceAll(text, "%", strconv.Itoa(i)))
	}
	return all.String()
}

// workload is a Deployment with environment variables.
func workload(variables string) string {
	return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: api}\nspec:\n  template:\n    spec:\n      containers:\n      - name: api\n        env:\n" + variables
}

// merging returns files with a patch. The time to merge it grows with the square of the variables.
func merging(variables int) map[string]string {
	return map[string]string{
		"k8s/kustomization.yaml": "resources: [app.yaml]\npatches: [{path: patch.txt}]\n",
		"k8s/app.yaml":           workload(each(variables, "        - {name: A%, value: b}\n")),
		"k8s/patch.txt":          workload(each(variables, "        - {name: B%, value: b}\n")),
	}
}

// overlays returns stacked kustomizations over many objects.
func overlays(n, objects int) map[string]string {
	texts := map[string]string{
		"k8s/kustomization.yaml":    fmt.Sprintf("resources: [l%d]\n", n-1),
		"k8s/l0/kustomization.yaml": "resources: [objects.yaml]\n",
		"k8s/l0/objects.yaml":       each(objects, "{apiVersion: v1, kind: ConfigMap, metadata: {name: c%}}\n---\n"),
		"k8s/app.yaml":              "",
	}
	for i := 1; i < n; i++ {
		texts[fmt.Sprintf("k8s/l%d/kustomization.yaml", i)] = fmt.Sprintf("resources: [../l%d]\nnamePrefix: a-\n", i-1)
	}
	return texts
}

// Each of these branches once stopped every Kustomize environment, including production. Neither deleting the branch
// nor restarting the agent helped.
func TestBuildsThatDoNotEnd(t *testing.T) {
	t.Parallel()
	team := begins(t, "builds")
	team.healthy = team.git.Commit("main", map[string]string{"k8s/kustomization.yaml": "resources: [app.yaml]\n"}, "use Kustomize")
	team.production.Becomes("Healthy", team.healthy)
	quiet := team.deploys("quiet")
	for _, attack := range []struct {
		name  string
		files map[string]string
	}{
		{"merge", merging(5_000)},
		{"operations", map[string]string{
			"k8s/kustomization.yaml": "resources: [app.yaml]\npatches:\n" +
				each(20_000, `- {target: {kind: Deployment}, patch: '[{"op": "add", "path": "/spec/template/metadata/labels/a%", "value": "b"}]'}`+"\n"),
		}},
		{"overlays", overlays(59, 1000)},
	} {
		t.Run(attack.name, func(t *testing.T) {
			team := team.in(t)
			branch := team.pushes(attack.name, attack.files)
			branch.Becomes("Syncing", branch.commit, "rendering commit "+branch.commit[:8]+" since ")
			under := team.deploys(attack.name)
			if saw, is := branch.Is("Syncing", branch.commit); !is {
				t.Errorf("production was to be deployed during the attack, which has ended: %s", saw)
			}
			branch.BecomesWithin(3*time.Minute, "Failed", branch.commit, "k8s/kustomization.yaml: Kustomize cannot build it: it takes more ", "than the limit of ",
				"; have fewer objects, levels and patches in one kustomization, or split it over several entries; ", "berth retry builds.review.")
			t.Logf("production was deployed within %s, and %s in quiet", under, quiet)
		})
	}
}

// deploys changes production, and returns how long that takes.
func (team *team) deploys(what string) time.Duration {
	team.t.Helper()
	began := time.Now()
	team.git.Commit("main", map[string]string{"k8s/app.yaml": strings.Replace(application()["k8s/app.yaml"], "HOST:", "DURING: "+what+", HOST:", 1)}, "deploy")
	team.production.AwaitObject("ConfigMap/settings", "DURING "+what, func(o world.Object) bool { return o.Field("data.DURING") == what })
	return time.Since(began)
}

// Deleting the branch ends its build.
func TestABuildEndsWithItsBranch(t *testing.T) {
	t.Parallel()
	team := begins(t, "ending")
	files := overlays(59, 1000)
	files["k8s/l59/kustomization.yaml"] = "resources: [../l58]\n" // an input that differs from the others
	branch := team.pushes("attack", files)
	branch.Becomes("Syncing", branch.commit, "rendering commit ")
	team.git.Delete("attack")
	branch.AwaitEnd()
	files["k8s/kustomization.yaml"] = "resources: [l0]\n"
	team.pushes("harmless", files).isHealthy()
}

// These kustomizations try to read or run something outside the files of the commit.
func TestKustomizeStaysInTheCommit(t *testing.T) {
	t.Parallel()
	const plugin = "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: t, annotations: {config.kubernetes.io/function: 'exec: {path: /bin/true}'}}\n"
	kustomization := func(text string, more ...string) map[string]string {
		files := map[string]string{"k8s/kustomization.yaml": text + "\n"}
		for i := 0; i < len(more); i += 2 {
			files[more[i]] = more[i+1]
		}
		return files
	}
	laughs := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: laughs}\ndata:\n  l0: &l0 [x, x]\n"
	for i := range 30 {
		laughs += fmt.Sprintf("  l%d: &l%d [*l%d, *l%d]\n", i+1, i+1, i, i)
	}
	attempts(t, "commit", []attempt{
		{"remote base", kustomization("resources: ['https://github.com/acme/base']"), []string{`"https://github.com/acme/base" is remote, and Berth reads only this repository`}},
		{"metadata service", kustomization("configMapGenerator: [{name: a, files: ['k=http://169.254.169.254/latest/meta-data']}]"), []string{"is remote, and Berth reads only this repository"}},
		{"file outside", kustomization("configMapGenerator: [{name: a, files: ['../../../etc/passwd']}]"), []string{"leads out of the repository"}},
		{"plugin", kustomization("resources: [app.yaml]\ntransformers: [t.txt]", "k8s/t.txt", plugin), []string{"transformers: Berth runs no plugins"}},
		{"function", kustomization("resources: [app.yaml]\nvalidators: ['{apiVersion: example.com/v1, kind: Thing, metadata: {name: t, annotations: {config.kubernetes.io/function: \"container: {image: x}\"}}}']"), []string{"validators: Berth runs no plugins"}},
		{"chart", kustomization("helmCharts: [{name: x}]"), []string{"helmCharts: Berth does not run Helm"}},
		{"chart as a generator", kustomization("generators: [g.txt]", "k8s/g.txt", "apiVersion: builtin\nkind: HelmChartInflationGenerator\nmetadata: {name: c}\nname: c\n"), []string{"Berth does not run Helm"}},
		{"bomb", kustomization("resources: [app.yaml, laughs.yaml]", "k8s/laughs.yaml", laughs), []string{"k8s/laughs.yaml: aliases (*name) expand to too many values"}},
		{"bomb without Kustomize", map[string]string{"k8s/laughs.yaml": laughs}, []string{"k8s/laughs.yaml", "aliases (*name) expand to too many values"}},
		{"cycle", kustomization("resources: &a [*a]"), []string{"aliases (*name) expand to too many values, or to themselves"}},
		{"depth", kustomization("resources: [app.yaml, deep.json]", "k8s/deep.json", strings.Repeat("[", 1<<20)), []string{"k8s/deep.json"}},
		{"copies", kustomization("resources: [app.yaml]\npatches: [{path: p.txt, target: {kind: ConfigMap}}]", "k8s/p.txt", each(40, "- {op: copy, from: /data, path: /data/x%}\n")), []string{"Unable to complete the copy"}},
		{"pattern", kustomization("resources: [app.yaml]\npatches: [{path: app.yaml, target: {name: '((((a{100}){100}){100}){100})+$'}}]"), []string{"k8s/kustomization.yaml"}},
		{"schema", kustomization("resources: [app.yaml]\nopenapi: {path: s.json}\npatches: [{path: app.yaml}]", "k8s/s.json", `{"definitions": 1}`), []string{"k8s/kustomization.yaml"}},
	})
}
