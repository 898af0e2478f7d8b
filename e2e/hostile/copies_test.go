package hostile

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"berth.dev/berth/e2e/world"
)

var (
	configMaps  = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	secrets     = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	jobs        = schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}
)

// migration is a Job, which the agent creates instead of applying.
const migration = `
apiVersion: batch/v1
kind: Job
metadata: {name: migrate}
spec:
  template:
    spec: {restartPolicy: Never, containers: [{name: main, image: registry.example.com/api:1}]}
`

// A user who copies an object copies its marks, too. The agent once deleted such copies within seconds, in any
// namespace.
func TestCopiesAreLeftAlone(t *testing.T) {
	t.Parallel()
	posts := begins(t, "copies")
	posts.healthy = posts.git.Commit("main", map[string]string{"k8s/migrate.yaml": migration}, "migrate")
	posts.production.Becomes("Healthy", posts.healthy)
	posts.before = posts.production.Contents()
	client := posts.client()
	// A backup that is restored under another name has the namespace's marks, and its managed fields.
	backup, err := client.Resource(namespaces).Get(t.Context(), "copies", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	posts.restores(namespaces, backup, "", "copies-restored")
	for _, copied := range []struct {
		resource  schema.GroupVersionResource
		name      string
		namespace string
		as        string
	}{
		{configMaps, "ConfigMap/settings", "copies", "settings-2"},
		{configMaps, "ConfigMap/settings", "copies-restored", "settings"},
		{deployments, "Deployment/api", "copies", "api-2"},
		{deployments, "Deployment/api", "copies-restored", "api"},
		{jobs, "Job/migrate", "copies", "migrate-2"},
		{jobs, "Job/migrate", "copies-restored", "migrate"},
	} {
		posts.restores(copied.resource, posts.production.Object(copied.name).Unstructured, copied.namespace, copied.as)
	}
	posts.production.Becomes("Healthy", posts.healthy, "settings-2: has this environment's label but was not made by Berth",
		"kubectl label configmap settings-2 -n copies berth.dev/environment-")
	// A prune once deleted them.
	posts.healthy = posts.git.Commit("main", map[string]string{"k8s/more.yaml": "{apiVersion: v1, kind: ConfigMap, metadata: {name: more}}"}, "add")
	posts.production.Becomes("Healthy", posts.healthy)
	world.Always(t, 3*time.Second, "the copies are there", func() (string, bool) {
		list, err := client.Resource(configMaps).List(t.Context(), metav1.ListOptions{LabelSelector: "copied=yes"})
		if err != nil {
			return err.Error(), false
		}
		all, err := client.Resource(deployments).List(t.Context(), metav1.ListOptions{LabelSelector: "copied=yes"})
		if err != nil {
			return err.Error(), false
		}
		work, err := client.Resource(jobs).List(t.Context(), metav1.ListOptions{LabelSelector: "copied=yes"})
		if err != nil {
			return err.Error(), false
		}
		var names []string
		for _, item := range append(append(list.Items, all.Items...), work.Items...) {
			if item.GetDeletionTimestamp() == nil && strings.HasPrefix(item.GetNamespace(), "copies") { // other tests copy, too
				names = append(names, item.GetNamespace()+"/"+item.GetName())
			}
		}
		return strings.Join(names, " "), len(names) == 6
	})
	if _, there, err := shared.Namespace(t.Context(), "copies-restored"); err != nil || !there {
		t.Errorf("the restored namespace is there: %t, %v", there, err)
	}
}

// restores creates an object with all its marks and managed fields under another name.
func (team *team) restores(resource schema.GroupVersionResource, object *unstructured.Unstructured, namespace, name string) {
	team.t.Helper()
	object = object.DeepCopy()
	labels := object.GetLabels()
	for label := range labels {
		if strings.Contains(label, "controller-uid") || strings.Contains(label, "job-name") || strings.Contains(label, "metadata.name") {
			delete(labels, label)
		}
	}
	labels["copied"] = "yes"
	object.SetLabels(labels)
	object.SetNamespace(namespace)
	object.SetName(name)
	object.SetUID("")
	object.SetResourceVersion("")
	unstructured.RemoveNestedField(object.Object, "status")
	if object.GetKind() == "Job" { // its controller adds its own labels and selector
		unstructured.RemoveNestedField(object.Object, "spec", "selector")
		unstructured.RemoveNestedField(object.Object, "spec", "template", "metadata", "labels")
	}
	into := team.client().Resource(resource)
	var err error
	if namespace == "" {
		_, err = into.Create(team.t.Context(), object, metav1.CreateOptions{FieldManager: "velero"})
	} else {
		_, err = into.Namespace(namespace).Create(team.t.Context(), object, metav1.CreateOptions{FieldManager: "velero"})
	}
	if err != nil {
		team.t.Fatalf("cannot restore %s as %s/%s: %v", object.GetKind(), namespace, name, err)
	}
}
