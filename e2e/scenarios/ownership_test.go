package scenarios

import (
	"strings"
	"testing"
	"time"

	"berth.dev/berth/e2e/world"
)

func TestWhatPeopleAddIsRemoved(t *testing.T) {
	t.Parallel()
	posts := begins(t, "additions")
	commit := posts.pushes("main", application())
	production := posts.Environment("main")
	production.Becomes("Healthy", commit)

	production.Patch("ConfigMap/common", `{"data":{"EXTRA":"by hand"},"metadata":{"labels":{"theirs":"stays"}}}`)
	object := production.AwaitObject("ConfigMap/common", "loses what was added", func(o world.Object) bool { return o.Field("data.EXTRA") == "" })
	if object.GetLabels()["theirs"] != "stays" {
		t.Error("an added label was removed")
	}
	production.Patch("Deployment/api", `{"spec":{"minReadySeconds":1,"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"2026-05-04T12:00:00Z"}}}}}`)
	object = production.AwaitObject("Deployment/api", "loses what was added", func(o world.Object) bool { return o.Field("spec.minReadySeconds") == "" })
	if len(object.Field("spec.template.metadata.annotations")) == 0 {
		t.Error("the restart was undone")
	}
	production.Becomes("Healthy", commit)
}

// Fields that an operator adds to an object from Git stay.
func TestWhatOperatorsAddStays(t *testing.T) {
	t.Parallel()
	posts := begins(t, "injected")
	production := posts.Environment("main")
	production.Becomes("Healthy", posts.pushes("main", application()))
	operator := other{t, "ca-injector", production.Namespace()}
	operator.patches("configmaps", "common", `{"data":{"CA":"injected"},"metadata":{"annotations":{"injected":"yes"}}}`)
	operator.patches("deployments", "api", `{"spec":{"template":{"spec":{"priorityClassName":"system-cluster-critical"}}}}`)

	production.Becomes("Healthy", posts.pushes("main", with(code("changed"), "k8s/common.yaml", configMap("common", "HOST: elsewhere"))))
	if got := production.Object("ConfigMap/common").Field("data"); got != "map[CA:injected HOST:elsewhere]" {
		t.Errorf("the ConfigMap has %s", got)
	}
	if got := production.Object("Deployment/api").Field("spec.template.spec.priorityClassName"); got != "system-cluster-critical" {
		t.Errorf("the Deployment has the priority %q", got)
	}
}

// A user's change is reverted whatever API version it was made in.
func TestWhatPeopleChangeInAnotherVersionIsPutBack(t *testing.T) {
	t.Parallel()
	posts := begins(t, "versions")
	production := posts.Environment("main")
	commit := posts.pushes("main", with(application(), "k8s/hpa.yaml", strings.Replace(autoscaler, "minReplicas: 5", "minReplicas: 2", 1)))
	production.Becomes("Healthy", commit)
	kubectl := other{t, "kubectl-edit", production.Namespace()}
	kubectl.patches("autoscalers.v1", "api", `{"spec":{"maxReplicas":9,"targetCPUUtilizationPercentage":33}}`)
	production.AwaitObject("HorizontalPodAutoscaler/api", "is again as Git says", func(o world.Object) bool {
		return o.Field("spec.maxReplicas") == "7" && strings.Contains(o.Field("spec.metrics"), "averageUtilization:50")
	})
	production.Becomes("Healthy", commit)
}

func TestWhatKubectlMadeIsAdopted(t *testing.T) {
	t.Parallel()
	posts := prepares(t, "adopted")
	kubectl := other{t, "kubectl-create", "adopted"}
	other{t, "kubectl-create", ""}.creates("namespaces", "{apiVersion: v1, kind: Namespace, metadata: {name: adopted}}")
	kubectl.creates("configmaps", "{apiVersion: v1, kind: ConfigMap, metadata: {name: common}, data: {HOST: by.hand, EXTRA: by.hand}}")
	other{t, "helm", "adopted"}.creates("configmaps", "{apiVersion: v1, kind: ConfigMap, metadata: {name: helms, annotations: {meta.helm.sh/release-name: posts, meta.helm.sh/release-namespace: adopted}}, data: {A: helm}}")
	kubectl.creates("configmaps", "{apiVersion: v1, kind: ConfigMap, metadata: {name: fluxes, labels: {kustomize.toolkit.fluxcd.io/name: posts, kustomize.toolkit.fluxcd.io/namespace: flux-system}}}")
	kubectl.creates("configmaps", "{apiVersion: v1, kind: ConfigMap, metadata: {name: argos, annotations: {argocd.argoproj.io/tracking-id: 'posts:/ConfigMap:adopted/argos'}}}")
	posts.followed()

	refused := posts.pushes("main", with(application(), "k8s/helms.yaml", configMap("helms", "A: git"),
		"k8s/fluxes.yaml", configMap("fluxes", "A: git"), "k8s/argos.yaml", configMap("argos", "A: git")))
	production := posts.Environment("main")
	production.AwaitUnhealthy("ConfigMap/fluxes", "belongs to Flux (Kustomization flux-system/posts)", `berth.dev/adopt: "true"`)
	production.AwaitUnhealthy("ConfigMap/argos", "belongs to Argo CD (posts:/ConfigMap:adopted/argos)", `berth.dev/adopt: "true"`)
	production.Becomes("Failed", refused, "k8s/helms.yaml:1", "belongs to Helm (release adopted/posts)", `berth.dev/adopt: "true"`)
	if got := production.Object("ConfigMap/helms").Field("data.A"); got != "helm" {
		t.Errorf("Helm's object was changed to %q", got)
	}
	posts.removes("main", "k8s/fluxes.yaml", "k8s/argos.yaml")
	adopting := "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: helms\n  annotations:\n    berth.dev/adopt: \"true\"\ndata:\n  A: git\n"
	production.Becomes("Healthy", posts.pushes("main", map[string]string{"k8s/helms.yaml": adopting}))
	if got := production.Object("ConfigMap/helms").Field("data.A"); got != "git" {
		t.Errorf("the object that was allowed to be adopted says %q", got)
	}
	if got := production.Object("ConfigMap/common").Field("data"); got != "map[HOST:posts.example.com]" {
		t.Errorf("the object that kubectl made says %s", got)
	}
}

const autoscaler = `
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: api
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: api}
  minReplicas: 5
  maxReplicas: 7
  metrics:
  - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}
`

func TestAnAutoscalersReplicasAreItsOwn(t *testing.T) {
	t.Parallel()
	posts := begins(t, "scaled")
	posts.pushes("main", with(application(), "k8s/hpa.yaml", autoscaler))
	production := posts.Environment("main")
	isFive := func(o world.Object) bool {
		return o.Field("spec.replicas") == "5" && o.Field("status.readyReplicas") == "5"
	}
	production.AwaitObject("Deployment/api", "is scaled", isFive)

	posts.pushes("main", code("changed"))
	production.AwaitObject("Deployment/api", "rolls out, and stays scaled", func(o world.Object) bool {
		return isFive(o) && o.Field("status.updatedReplicas") == "5" && o.Field("metadata.generation") == o.Field("status.observedGeneration")
	})
	world.Always(t, 2*time.Second, "no fight over the replicas", func() (string, bool) {
		replicas := production.Object("Deployment/api").Field("spec.replicas")
		return replicas, replicas == "5"
	})
	commit := posts.removes("main", "k8s/hpa.yaml")
	production.AwaitObject("Deployment/api", "has Git's number again", func(o world.Object) bool { return o.Field("spec.replicas") == "2" })
	production.Becomes("Healthy", commit)
}

// A user who follows Kubernetes' advice removes replicas from Git when an autoscaler takes over.
func TestReplicasThatLeaveGitForAnAutoscalerStay(t *testing.T) {
	t.Parallel()
	posts := begins(t, "handover")
	production := posts.Environment("main")
	production.Becomes("Healthy", posts.pushes("main", application()))

	image := production.Object("Deployment/api").Image()
	numberless := strings.Replace(deployment("api", ""), "  replicas: ${REPLICAS}\n", "", 1)
	posts.pushes("main", with(code("changed"), "k8s/api.yaml", numberless+service("api"),
		"k8s/hpa.yaml", strings.Replace(autoscaler, "minReplicas: 5", "minReplicas: 1", 1)))
	api := production.AwaitObject("Deployment/api", "rolls out", func(o world.Object) bool { return o.Image() != image })
	if got := api.Field("spec.replicas"); got != "2" {
		t.Errorf("it has %s replicas", got)
	}
	production.AwaitObject("Deployment/api", "has rolled out", func(o world.Object) bool {
		return o.Field("status.updatedReplicas") == "2" && o.Field("status.readyReplicas") == "2" && o.Field("status.replicas") == "2"
	})
	other{t, "kube-controller-manager", production.Namespace()}.scales("api", 4)
	production.AwaitObject("Deployment/api", "is scaled", func(o world.Object) bool { return o.Field("status.readyReplicas") == "4" })
	posts.pushes("main", code("changed again"))
	production.AwaitObject("Deployment/api", "rolls out, and stays scaled", func(o world.Object) bool {
		return o.Field("spec.replicas") == "4" && o.Field("status.updatedReplicas") == "4"
	})
}

// Berth does not fight an autoscaler that it does not know, and keeps the number of replicas that it leaves behind.
func TestAnAutoscalerThatWasNeverInGit(t *testing.T) {
	t.Parallel()
	posts := begins(t, "foreign")
	production := posts.Environment("main")
	production.Becomes("Healthy", posts.pushes("main", application()))
	hpa := other{t, "kubectl-create", production.Namespace()}
	hpa.creates("autoscalers", autoscaler)
	production.AwaitObject("Deployment/api", "is scaled", func(o world.Object) bool { return o.Field("status.readyReplicas") == "5" })
	production.Becomes("Healthy", posts.pushes("main", code("changed")))
	hpa.deletes("autoscalers", "api")
	production.Becomes("Healthy", posts.pushes("main", code("changed again")))
	if got := production.Object("Deployment/api").Field("spec.replicas"); got != "5" {
		t.Errorf("it has %s replicas", got)
	}
}

func TestAFightBacksOff(t *testing.T) {
	t.Parallel()
	posts := begins(t, "fight")
	commit := posts.pushes("main", application())
	production := posts.Environment("main")
	production.Becomes("Healthy", commit)

	rival := other{t, "other-operator", production.Namespace()}
	for range 5 {
		rival.patches("configmaps", "common", `{"data":{"HOST":"mine"}}`)
		production.AwaitObject("ConfigMap/common", "is put back", func(o world.Object) bool { return o.Field("data.HOST") == "posts.example.com" })
	}
	rival.patches("configmaps", "common", `{"data":{"HOST":"mine"}}`)
	production.AwaitEvent("Fight", "ConfigMap/common", "other-operator")
	production.Becomes("Healthy", commit, "ConfigMap/common", "is changed again and again by other-operator", "berth.dev/drift: ignore")
	if got := production.Object("ConfigMap/common").Field("data.HOST"); got != "mine" {
		t.Errorf("HOST is %q", got)
	}
	production.Patch("Deployment/api", `{"spec":{"replicas":4}}`)
	production.AwaitObject("Deployment/api", "is put back all the same", func(o world.Object) bool { return o.Field("spec.replicas") == "2" })

	production.Becomes("Healthy", posts.pushes("main", with(code("changed"), "k8s/more.yaml", configMap("more", "A: b"))), "is changed again and again by other-operator")
	gone := posts.removes("main", "k8s/more.yaml")
	production.AwaitGone("ConfigMap/more")
	production.Becomes("Healthy", gone, "is changed again and again by other-operator")
}
