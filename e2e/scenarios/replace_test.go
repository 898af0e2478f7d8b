package scenarios

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/e2e/world"
)

func TestWhatCannotBeChangedIsMadeAnewWhereGitAllowsIt(t *testing.T) {
	t.Parallel()
	posts := begins(t, "immutable")
	commit := posts.pushes("main", application())
	production := posts.Environment("main")
	production.Becomes("Healthy", commit)
	old := production.Object("Deployment/worker").GetUID()

	another := strings.ReplaceAll(deployment("worker", ""), "app: worker", "app: another")
	refused := posts.pushes("main", map[string]string{"k8s/worker.yaml": another})
	production.Becomes("Failed", refused, "k8s/worker.yaml", "spec.selector", "field is immutable", "berth.dev/replace: when-immutable")
	if now := production.Object("Deployment/worker").GetUID(); now != old {
		t.Error("it was deleted without leave")
	}
	allowed := strings.Replace(another, "  name: worker\n", "  name: worker\n  annotations: {berth.dev/replace: when-immutable}\n", 1)
	production.Becomes("Healthy", posts.pushes("main", map[string]string{"k8s/worker.yaml": allowed}))
	if now := production.Object("Deployment/worker").GetUID(); now == old {
		t.Error("it was not re-created")
	}
}

// Objects that hold data are never deleted in order to change them.
func TestAClaimIsNeverMadeAnew(t *testing.T) {
	t.Parallel()
	posts := begins(t, "data")
	production := posts.Environment("main")
	posts.pushes("main", with(application(), "k8s/data.yaml", fmt.Sprintf(claim, "data", "berth.dev/replace: when-immutable")))
	was := production.AwaitObject("PersistentVolumeClaim/data", "is there", func(world.Object) bool { return true }).GetUID()
	production.AwaitObject("Deployment/worker", "is there", func(world.Object) bool { return true })
	changed := strings.Replace(fmt.Sprintf(claim, "data", "berth.dev/replace: when-immutable"), "ReadWriteOnce", "ReadWriteMany", 1)
	production.Becomes("Failed", posts.pushes("main", map[string]string{"k8s/data.yaml": changed}),
		"k8s/data.yaml:1", "spec: Forbidden", "revert the change in Git; Berth does not delete what holds data to change it")
	if now := production.Object("PersistentVolumeClaim/data"); now.GetUID() != was || now.GetDeletionTimestamp() != nil {
		t.Error("it was deleted")
	}
}

// stateful is a StatefulSet, in which hardly any field can change.
func stateful(annotation, service string) string {
	return fmt.Sprintf(`apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, annotations: {%s}}
spec:
  replicas: 2
  serviceName: %s
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: db, image: registry.example.com/db, readinessProbe: {tcpSocket: {port: 5432}}}]}
`, annotation, service)
}

func TestAStatefulSetIsMadeAnewWhileItsPodsRunOn(t *testing.T) {
	t.Parallel()
	posts := begins(t, "orphans")
	production := posts.Environment("main")
	production.Becomes("Healthy", posts.pushes("main", map[string]string{"k8s/db.yaml": stateful("", "db")}))
	db, pods := production.Object("StatefulSet/db").GetUID(), [2]types.UID{production.Object("Pod/db-0").GetUID(), production.Object("Pod/db-1").GetUID()}

	production.Becomes("Failed", posts.pushes("main", map[string]string{"k8s/db.yaml": stateful("", "databases")}), "k8s/db.yaml", "berth.dev/replace")
	production.Becomes("Healthy", posts.pushes("main", map[string]string{"k8s/db.yaml": stateful("berth.dev/replace: orphan", "databases")}))
	successor := production.Object("StatefulSet/db")
	if successor.GetUID() == db || successor.Field("spec.serviceName") != "databases" {
		t.Errorf("it was not re-created: %s, %s", successor.GetUID(), successor.Field("spec.serviceName"))
	}
	if now := [2]types.UID{production.Object("Pod/db-0").GetUID(), production.Object("Pod/db-1").GetUID()}; now != pods {
		t.Errorf("the pods are %s, and were %s", now, pods)
	}
}

func TestPodsAreRestartedForWhatTheyName(t *testing.T) {
	t.Parallel()
	posts := begins(t, "restarts")
	restarting := strings.Replace(deployment("worker", ""), "  name: worker\n", "  name: worker\n  annotations: {berth.dev/restart-on-change: \"true\"}\n", 1) +
		"        envFrom: [{configMapRef: {name: common}}]\n"
	commit := posts.pushes("main", with(application(), "k8s/worker.yaml", restarting))
	production := posts.Environment("main")
	production.Becomes("Healthy", commit)
	worker, api := production.Object("Deployment/worker").GetGeneration(), production.Object("Deployment/api").GetGeneration()

	production.Becomes("Healthy", posts.pushes("main", map[string]string{"k8s/common.yaml": configMap("common", "HOST: other.example.com")}))
	if now := production.Object("Deployment/worker").GetGeneration(); now != worker+1 {
		t.Errorf("the worker changed %d times, want once", now-worker)
	}
	if now := production.Object("Deployment/api").GetGeneration(); now != api {
		t.Error("a Deployment that does not ask for it was restarted")
	}
}

func TestADependencyGoesFirst(t *testing.T) {
	t.Parallel()
	posts := begins(t, "depends")
	dependent := strings.Replace(deployment("api", ""), "  name: api\n", "  name: api\n  annotations: {config.kubernetes.io/depends-on: Deployment/worker}\n", 1)
	commit := posts.pushes("main", with(application(), "k8s/api.yaml", dependent, "k8s/worker.yaml", deployment("worker", startsSlowly)))
	production := posts.Environment("main")
	production.AwaitObject("Deployment/worker", "is there", func(world.Object) bool { return true })
	if _, there := production.Find("Deployment/api"); there {
		t.Error("the dependent did not wait")
	}
	production.Becomes("Healthy", commit)

	circular := strings.Replace(deployment("worker", ""), "  name: worker\n", "  name: worker\n  annotations: {config.kubernetes.io/depends-on: Deployment/api}\n", 1)
	production.Becomes("Failed", posts.pushes("main", map[string]string{"k8s/worker.yaml": circular}),
		"depends on itself", "k8s/api.yaml:2", "k8s/worker.yaml:2")
	unknown := strings.Replace(dependent, "Deployment/worker", "Deployment/wroker", 1)
	production.Becomes("Failed", posts.pushes("main", map[string]string{"k8s/api.yaml": unknown, "k8s/worker.yaml": deployment("worker", "")}),
		"k8s/api.yaml:2", "depends on Deployment/wroker, which is not in Git; correct config.kubernetes.io/depends-on, or add it")
	later := strings.Replace(deployment("worker", ""), "  name: worker\n", "  name: worker\n  annotations: {berth.dev/wave: \"1\"}\n", 1)
	production.Becomes("Failed", posts.pushes("main", map[string]string{"k8s/api.yaml": dependent, "k8s/worker.yaml": later}),
		"depends on Deployment/worker (k8s/worker.yaml:2), which comes in the later wave 1")
}

// Dependencies are applied first, without waiting. Everything else is applied in its wave, and reports what it waits
// for.
func TestTheOrderOfAFirstSync(t *testing.T) {
	t.Parallel()
	posts, began := begins(t, "order"), time.Now()
	annotated := func(manifest, annotation string) string {
		return strings.Replace(manifest, "metadata:\n", "metadata:\n  annotations: {"+annotation+"}\n", 1)
	}
	production := posts.Environment("main")
	commit := posts.pushes("main", map[string]string{
		"app/main.go":      "package main\n",
		"k8s/a-later.yaml": annotated(deployment("later", ""), `berth.dev/wave: "1"`),
		"k8s/b-front.yaml": annotated(deployment("front", ""), "config.kubernetes.io/depends-on: Deployment/worker"),
		"k8s/c-work.yaml":  deployment("worker", "labels: {kwok.berth.dev/behaviour: pending}"),
		"k8s/d-api.yaml":   deployment("api", "") + service("api") + "---\n" + configMap("common", "A: b"),
		"k8s/e-data.yaml":  fmt.Sprintf(claim, "data", ""),
		"k8s/f-early.yaml": annotated(configMap("early", "A: b"), `berth.dev/wave: "-1"`),
	})
	production.AwaitUnhealthy("Deployment/front", "waits for Deployment/worker, on which it depends")
	production.AwaitUnhealthy("Deployment/later", "waits for Deployment/front in wave 0")
	production.AwaitObject("Deployment/api", "did not wait", func(o world.Object) bool { return o.Field("status.readyReplicas") == "2" })
	production.Becomes("Syncing", commit, "Deployment/worker", "0 of 2 ready")
	var order []string
	world.Await(t, "the API server has logged the Deployments", func() (string, bool) {
		order = posts.writesInOrder(began)
		return fmt.Sprintf("%q", order), slices.Contains(order, "patch deployments/api") && slices.Contains(order, "patch deployments/worker")
	})
	for i, write := range order {
		order[i] = strings.TrimPrefix(write, "patch ")
	}
	for _, step := range [][2]string{
		{"configmaps/common", "configmaps/early"}, {"services/api", "configmaps/early"}, {"persistentvolumeclaims/data", "configmaps/early"},
		{"configmaps/early", "deployments/api"}, {"configmaps/early", "deployments/worker"},
	} {
		if first, second := slices.Index(order, step[0]), slices.Index(order, step[1]); first < 0 || second < first {
			t.Errorf("%s has to come before %s: %q", step[0], step[1], order)
		}
	}
}

// generated returns an application whose settings have a name with a hash of their content.
func generated(settings string) map[string]string {
	return map[string]string{
		"app/main.go":            "package main\n",
		"k8s/kustomization.yaml": "resources: [api.yaml]\nconfigMapGenerator:\n- {name: settings, literals: [" + settings + "]}\n",
		"k8s/api.yaml":           deployment("api", "") + "        envFrom: [{configMapRef: {name: settings}}]\n",
	}
}

func TestSettingsLiveUntilTheRolloutThatDropsThemIsHealthy(t *testing.T) {
	t.Parallel()
	posts := begins(t, "generated")
	commit := posts.pushes("main", generated("A=1"))
	production := posts.Environment("main")
	production.Becomes("Healthy", commit)
	first := onlySettings(t, production)

	bad := generated("A=2")
	bad["k8s/api.yaml"] = broken(bad["k8s/api.yaml"])
	production.Becomes("Failed", posts.pushes("main", bad), "Deployment/api")
	if _, there := production.Find(first); !there {
		t.Error("what the old pods need is gone")
	}
	production.Becomes("Healthy", posts.pushes("main", generated("A=2")))
	production.AwaitGone(first)
}

// onlySettings returns the single ConfigMap that Kustomize has generated.
func onlySettings(t *testing.T, e *world.Environment) string {
	t.Helper()
	for name := range e.Contents() {
		if strings.HasPrefix(name, "ConfigMap/settings-") {
			return name
		}
	}
	t.Fatal("there is no ConfigMap with settings")
	return ""
}
