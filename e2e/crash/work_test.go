package crash

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/gittest"
)

// work is a team that pushes all the time, and users who interfere.
type work struct {
	*world.Repository
	t      *testing.T
	dice   *rand.Rand
	git    *gittest.Repository
	agent  *world.Agent
	client dynamic.Interface
	// files holds the files of the existing branches, heads their commits.
	files map[string]map[string]string
	heads map[string]string
	count int // makes every written value unique
	runs  *runs
}

// busy starts a team with a branch main.
func busy(t *testing.T, w *world.World, dice *rand.Rand) *work {
	t.Helper()
	client, err := dynamic.NewForConfig(w.Cluster.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	team := &work{
		t: t, dice: dice, client: client, agent: w.Agent, git: gittest.NewServer(t).Repository("posts"),
		files: map[string]map[string]string{}, heads: map[string]string{}, runs: watchRuns(t, client),
	}
	team.branch("main")
	health := v1alpha1.Health{Timeout: metav1.Duration{Duration: time.Minute}, ImagePullGrace: metav1.Duration{Duration: time.Second}}
	repository := &v1alpha1.Repository{Spec: v1alpha1.RepositorySpec{
		URL: team.git.URL(), Poll: "@every 1s", GoneAfter: metav1.Duration{Duration: time.Second},
		Environments: []v1alpha1.Entry{{
			Name: "review", Branches: []v1alpha1.BranchPattern{"**"}, Path: "k8s", Namespace: "posts-${BRANCH_SLUG}", Health: health,
		}},
	}}
	repository.Name = "posts"
	team.Repository = w.Follow(reporter{t}, repository)
	return team
}

// brief is the name of a Job that is deleted as soon as it has run. Only the record knows that it ran.
const brief = "brief"

// branch creates a branch whose name was never used before.
func (w *work) branch(name string) {
	w.files[name] = map[string]string{
		"k8s/job.yaml":   manifest("batch/v1", "Job", "migrate", "berth.dev/wave: \"-1\"", podSpec("Never")),
		"k8s/brief.yaml": manifest("batch/v1", "Job", brief, "", "ttlSecondsAfterFinished: 0\n  "+podSpec("Never")),
		"k8s/api.yaml":   manifest("apps/v1", "Deployment", "api", "", "selector: {matchLabels: {app: api}}\n  "+podSpec("Always")),
		"k8s/extra.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: extra}\n",
	}
	w.code(name)
	w.push(name)
}

func manifest(version, kind, name, annotations, spec string) string {
	return fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata:\n  name: %s\n  annotations: {%s}\nspec:\n  %s\n", version, kind, name, annotations, spec)
}

func podSpec(restart string) string {
	return `template: {metadata: {labels: {app: api}}, spec: {restartPolicy: ` + restart + `, containers: [{name: app, image: "registry.example.com/app:${TREE:app}", readinessProbe: {tcpSocket: {port: 80}}}]}}`
}

// code changes the application's code: its image, and so its Deployment and its Job.
func (w *work) code(branch string) {
	w.count++
	w.files[branch]["app/main.go"] = fmt.Sprintf("package main // %d\n", w.count)
}

func (w *work) push(branch string) {
	w.count++
	w.files[branch]["README.md"] = fmt.Sprint(w.count)
	files := maps.Clone(w.files[branch])
	var changes []gittest.Change
	for path, content := range files {
		changes = append(changes, gittest.Write(path, content))
	}
	for _, optional := range []string{"k8s/more.yaml", "k8s/bad.yaml"} {
		if _, there := files[optional]; !there && w.heads[branch] != "" {
			changes = append(changes, gittest.Remove(optional))
		}
	}
	w.heads[branch] = w.git.Change(branch, "push", changes...)
}

// happens makes one random change.
func (w *work) happens() {
	branch := w.any()
	files := w.files[branch]
	switch n := w.dice.IntN(20); {
	case n < 2 && len(w.files) < 6:
		w.count++
		w.branch(fmt.Sprintf("b%d", w.count))
		return
	case n == 2 && len(w.files) > 3 && branch != "main":
		w.git.Delete(branch)
		delete(w.files, branch)
		delete(w.heads, branch)
		return
	case n < 6:
		w.meddle(branch)
		return
	case n < 12:
		w.code(branch)
	case n == 12:
		files["k8s/bad.yaml"] = "kind: [\n"
	case n < 16:
		delete(files, "k8s/bad.yaml")
		files["k8s/more.yaml"] = fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: more}\ndata: {v: \"%d\"}\n", w.count)
	case n < 18:
		delete(files, "k8s/more.yaml")
	}
	w.push(branch)
}

func (w *work) any() string {
	names := slices.Sorted(maps.Keys(w.files))
	return names[w.dice.IntN(len(names))]
}

// meddle changes Berth's objects by hand. It ignores objects that do not exist.
func (w *work) meddle(branch string) {
	namespace := "posts-" + branch
	if w.dice.IntN(2) == 0 {
		_ = w.client.Resource(configMaps).Namespace(namespace).Delete(w.t.Context(), "extra", metav1.DeleteOptions{})
		return
	}
	_, _ = w.client.Resource(deployments).Namespace(namespace).
		Patch(w.t.Context(), "api", types.MergePatchType, []byte(`{"spec":{"minReadySeconds":1}}`), metav1.PatchOptions{FieldManager: "kubectl-edit"})
}

var (
	configMaps  = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	events      = schema.GroupVersionResource{Group: "events.k8s.io", Version: "v1", Resource: "events"}
	leases      = schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}
	jobs        = schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}
	namespaces  = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	secrets     = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
)

// ends fixes what is broken in Git, and checks that the cluster then has exactly what Git says.
func (w *work) ends() {
	w.t.Helper()
	for branch, files := range w.files {
		delete(files, "k8s/bad.yaml")
		w.push(branch)
	}
	want := map[string]bool{}
	for branch, head := range w.heads {
		environment := w.Environment(branch)
		environment.BecomesWithin(2*time.Minute, "Healthy", head)
		want["posts-"+branch] = true
		expected := []string{"ConfigMap/extra", "Deployment/api", "Job/migrate"}
		if _, more := w.files[branch]["k8s/more.yaml"]; more {
			expected = append(expected, "ConfigMap/more")
		}
		slices.Sort(expected)
		world.AwaitFor(w.t, time.Minute, fmt.Sprintf("%s has %q", branch, expected), func() (string, bool) {
			got := slices.Sorted(maps.Keys(environment.Contents()))
			return fmt.Sprint(got), slices.Equal(got, expected)
		})
	}
	world.AwaitFor(w.t, 2*time.Minute, "there are no other namespaces", func() (string, bool) {
		got := map[string]bool{}
		list, err := w.client.Resource(namespaces).List(w.t.Context(), metav1.ListOptions{LabelSelector: "berth.dev/environment"})
		if err != nil {
			return err.Error(), false
		}
		for _, item := range list.Items {
			got[item.GetName()] = true
		}
		return fmt.Sprint(got), maps.Equal(got, want)
	})
	if twice := w.runs.twice(); len(twice) > 0 {
		w.t.Errorf("Jobs that ran twice:\n%s", strings.Join(twice, "\n"))
	}
	w.t.Logf("%d Jobs ran, %d things were written", w.runs.total(), w.count)
}
