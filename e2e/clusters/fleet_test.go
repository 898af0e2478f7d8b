package clusters

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/deploy"
	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/clustertest"
	"berth.dev/berth/internal/gittest"
)

// remote is a cluster that the agent of east reaches.
type remote struct {
	t     *testing.T
	admin kubernetes.Interface
}

// reaches gives the agent of east a kubeconfig of another cluster, with the rights that deploy/ gives the agent there.
func reaches(t *testing.T, name string, in *world.World) remote {
	t.Helper()
	file, err := in.Cluster.KubeconfigFor(t.Context(), deploy.Namespace, deploy.ServiceAccount)
	succeed(t, err)
	kubeconfig, err := os.ReadFile(file)
	succeed(t, err)
	east.SetSecret(reporter{t}, name, map[string]string{"value": string(kubeconfig)})
	return remote{t, kubernetes.NewForConfigOrDie(in.Cluster.RESTConfig())}
}

// north is a third cluster, with the rights and policies of Berth, and without an agent.
func north(t *testing.T) *world.World {
	t.Helper()
	plane := clustertest.Start(t, clustertest.Config{})
	w, err := world.New(context.Background(), world.Config{Cluster: plane, Dir: filepath.Join(t.TempDir(), "north"), Binary: binary})
	succeed(t, err)
	return w
}

// has waits until a namespace there has a ConfigMap with a text; with an empty text: until it has none.
func (r remote) has(namespace, text string) {
	r.t.Helper()
	world.Await(reporter{r.t}, fmt.Sprintf("%s has %q", namespace, text), func() (string, bool) {
		cm, err := r.admin.CoreV1().ConfigMaps(namespace).Get(r.t.Context(), "app", metav1.GetOptions{})
		if text == "" {
			return fmt.Sprint(err), apierrors.IsNotFound(err)
		}
		return fmt.Sprint(cm.Data, err), err == nil && cm.Data["text"] == text
	})
}

// runs returns the UIDs of the Jobs in a namespace.
func (r remote) runs(namespace string) string {
	r.t.Helper()
	jobs, err := r.admin.BatchV1().Jobs(namespace).List(r.t.Context(), metav1.ListOptions{})
	succeed(r.t, err)
	uids := ""
	for _, job := range jobs.Items {
		uids += string(job.UID) + " "
	}
	return uids
}

func (r remote) gone(namespace string) {
	r.t.Helper()
	world.Await(reporter{r.t}, namespace+" is gone", func() (string, bool) {
		_, err := r.admin.CoreV1().Namespaces().Get(r.t.Context(), namespace, metav1.GetOptions{})
		return fmt.Sprint(err), apierrors.IsNotFound(err)
	})
}

// fleetFiles are a migration, which a rollout waits for, and a ConfigMap with a text.
func fleetFiles(text string) map[string]string {
	return map[string]string{
		"k8s/app.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: app}\ndata: {text: " + text + "}\n",
		"k8s/run.yaml": `apiVersion: batch/v1
kind: Job
metadata: {name: migrate, annotations: {berth.dev/wave: "-1"}}
spec:
  backoffLimit: 0
  template: {spec: {restartPolicy: Never, containers: [{name: migrate, image: registry.example.com/app:1}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: registry.example.com/app:1, readinessProbe: {httpGet: {path: /, port: 80}}}]}
`,
	}
}

// One agent runs production at home, staging in a cluster that has an agent of its own, and previews in a third one.
func TestOneAgentForThreeClusters(t *testing.T) {
	staging, previews := reaches(t, "staging", west), reaches(t, "previews", north(t))
	east.SetSecret(reporter{t}, "pull", map[string]string{"user": "berth"})
	git := gittest.NewServer(t).Repository("fleet")
	main := git.Commit("main", fleetFiles("one"), "begin")
	side := git.CommitFrom("main", "side", fleetFiles("one"), "begin side")
	repo := repository("fleet", git.URL())
	there := repo.Spec.Environments[0]
	there.Name, there.Namespace, there.Cluster = "staging", "fleet", &v1alpha1.ClusterReference{SecretRef: v1alpha1.SecretReference{Name: "staging"}}
	repo.Spec.Environments[1].Cluster = &v1alpha1.ClusterReference{SecretRef: v1alpha1.SecretReference{Name: "previews"}}
	repo.Spec.Environments[1].CopySecrets = []v1alpha1.SecretReference{{Name: "pull"}}
	repo.Spec.Environments = append(repo.Spec.Environments, there)
	here := follows(t, east, repo)
	here.EnvironmentOf("production", "main").Becomes("Healthy", main)
	here.EnvironmentOf("staging", "main").Becomes("Healthy", main) // of the same namespace, in the other cluster
	here.Environment("side").Becomes("Healthy", side)

	home := remote{t, kubernetes.NewForConfigOrDie(east.Cluster.RESTConfig())}
	home.has("fleet", "one")
	home.has("fleet-side", "")
	staging.has("fleet", "one")
	staging.has("fleet-side", "")
	previews.has("fleet-side", "one")
	previews.has("fleet", "")
	if _, err := previews.admin.CoreV1().Secrets("fleet-side").Get(t.Context(), "pull", metav1.GetOptions{}); err != nil {
		t.Errorf("the copied Secret: %v", err)
	}
	ran := home.runs("fleet") + staging.runs("fleet") + previews.runs("fleet-side")

	// A push, with a prune.
	side = git.Change("side", "two", gittest.Remove("k8s/app.yaml"), gittest.Write("k8s/other.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n"))
	here.Environment("side").Becomes("Healthy", side)
	previews.has("fleet-side", "")
	main = git.Commit("main", fleetFiles("two"), "two")
	here.EnvironmentOf("staging", "main").Becomes("Healthy", main)
	staging.has("fleet", "two")

	// Drift, also after a restart, which runs no Job again.
	edit := func() {
		_, err := staging.admin.CoreV1().ConfigMaps("fleet").Patch(t.Context(), "app", types.MergePatchType, []byte(`{"data":{"text":"by hand"}}`), metav1.PatchOptions{})
		succeed(t, err)
	}
	edit()
	staging.has("fleet", "two")
	succeed(t, east.Agent.Stop())
	edit()
	succeed(t, east.Agent.Start())
	staging.has("fleet", "two")
	here.EnvironmentOf("staging", "main").Becomes("Healthy", main)
	if now := home.runs("fleet") + staging.runs("fleet") + previews.runs("fleet-side"); now != ran {
		t.Errorf("Jobs ran again: %s, before %s", now, ran)
	}

	git.Delete("side")
	previews.gone("fleet-side")
	world.Await(reporter{t}, "the Environment of side is gone", func() (string, bool) {
		found, exists := here.Environment("side").Get()
		return world.Line(found), !exists
	})
	if _, err := staging.admin.CoreV1().Namespaces().Get(t.Context(), deploy.Namespace, metav1.GetOptions{}); err != nil {
		t.Errorf("the other agent's namespace: %v", err)
	}

	// The third cluster is gone for good.
	late := git.CommitFrom("main", "late", fleetFiles("one"), "begin late")
	here.Environment("late").Becomes("Healthy", late)
	succeed(t, home.admin.CoreV1().Secrets(deploy.Namespace).Delete(t.Context(), "previews", metav1.DeleteOptions{}))
	git.Delete("late")
	here.Environment("late").Becomes(v1alpha1.ReasonWaiting, late, "its deletion waits for that; if the cluster is gone for good")
	if out := does(t, east, "confirm", "--cluster", "staging"); !strings.Contains(out, "no environment in the cluster staging waits to be deleted without it") {
		t.Errorf("confirming another cluster says %s", out)
	}
	if out := does(t, east, "confirm", "--cluster", "previews"); !strings.Contains(out, "fleet.review.late: confirmed; what runs in the cluster previews stays") {
		t.Errorf("the confirmation says %s", out)
	}
	world.Await(reporter{t}, "the Environment of late is gone", func() (string, bool) {
		found, exists := here.Environment("late").Get()
		return world.Line(found), !exists
	})
	previews.has("fleet-late", "one")
}
