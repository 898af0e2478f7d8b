package scenarios

import (
	"context"
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"berth.dev/berth/e2e/world"
)

// other is a user with all rights and a field manager of its own.
type other struct {
	t         *testing.T
	name      string
	namespace string
}

func (o other) client(resource string) dynamic.ResourceInterface {
	o.t.Helper()
	client, err := dynamic.NewForConfig(shared.Cluster.RESTConfig())
	if err != nil {
		o.t.Fatal(err)
	}
	gvr := map[string]schema.GroupVersionResource{
		"autoscalers":    {Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"},
		"autoscalers.v1": {Group: "autoscaling", Version: "v1", Resource: "horizontalpodautoscalers"},
		"configmaps":     {Version: "v1", Resource: "configmaps"},
		"definitions":    {Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"},
		"jobs":           {Group: "batch", Version: "v1", Resource: "jobs"},
		"pods":           {Version: "v1", Resource: "pods"},
		"levels":         {Group: "flowcontrol.apiserver.k8s.io", Version: "v1", Resource: "prioritylevelconfigurations"},
		"namespaces":     {Version: "v1", Resource: "namespaces"},
		"deployments":    {Group: "apps", Version: "v1", Resource: "deployments"},
	}[resource]
	if o.namespace == "" {
		return client.Resource(gvr)
	}
	return client.Resource(gvr).Namespace(o.namespace)
}

func (o other) creates(resource, manifest string) {
	o.t.Helper()
	if err := o.create(resource, manifest, metav1.CreateOptions{FieldManager: o.name}); err != nil {
		o.t.Fatal(err)
	}
}

// tries sends a dry-run create request, and returns the API server's error.
func (o other) tries(resource, manifest string) error {
	o.t.Helper()
	return o.create(resource, manifest, metav1.CreateOptions{FieldManager: o.name, DryRun: []string{metav1.DryRunAll}})
}

func (o other) create(resource, manifest string, options metav1.CreateOptions) error {
	o.t.Helper()
	obj := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(manifest), &obj.Object); err != nil {
		o.t.Fatal(err)
	}
	_, err := o.client(resource).Create(context.WithoutCancel(o.t.Context()), obj, options)
	return err
}

func (o other) patches(resource, name, patch string) {
	o.t.Helper()
	if _, err := o.client(resource).Patch(o.t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: o.name}); err != nil {
		o.t.Error(err)
	}
}

func (o other) scales(deployment string, replicas int) {
	o.t.Helper()
	patch := fmt.Sprintf(`{"spec":{"replicas":%d}}`, replicas)
	if _, err := o.client("deployments").Patch(o.t.Context(), deployment, types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: o.name}, "scale"); err != nil {
		o.t.Fatal(err)
	}
}

// awaitComplete waits until a Job is complete.
func (o other) awaitComplete(name string) {
	o.t.Helper()
	world.Await(o.t, "the Job "+name+" is complete", func() (string, bool) {
		object, err := o.client("jobs").Get(o.t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err.Error(), false
		}
		completed := world.Object{Unstructured: object}.Field("status.completionTime")
		return "", completed != ""
	})
}

// finishes completes a Job, in place of its program, which runs until then.
func (o other) finishes(job world.Object) {
	o.t.Helper()
	pods := o.client("pods")
	patch := []byte(`{"status":{"phase":"Succeeded"}}`)
	world.Await(o.t, "the Job "+job.GetName()+" has a pod that runs", func() (string, bool) {
		list, err := pods.List(o.t.Context(), metav1.ListOptions{LabelSelector: "batch.kubernetes.io/controller-uid=" + string(job.GetUID())})
		if err != nil || len(list.Items) == 0 {
			return fmt.Sprint("no pod ", err), false
		}
		pod := world.Object{Unstructured: &list.Items[0]}
		if pod.Field("status.phase") != "Running" {
			return pod.Field("status.phase"), false
		}
		_, err = pods.Patch(o.t.Context(), pod.GetName(), types.MergePatchType, patch, metav1.PatchOptions{FieldManager: o.name}, "status")
		return fmt.Sprint(err), err == nil
	})
}

// says writes the status of a Database as soon as it exists, as its operator does.
func (o other) says(group, name, status string) {
	o.t.Helper()
	client, err := dynamic.NewForConfig(shared.Cluster.RESTConfig())
	if err != nil {
		o.t.Fatal(err)
	}
	// The status is replaced and not merged, because an operator replaces it.
	patch := `[{"op":"add","path":"/status","value":` + status + `}]`
	databases := client.Resource(schema.GroupVersionResource{Group: group, Version: "v1", Resource: "databases"}).Namespace(o.namespace)
	world.Await(o.t, "the operator has the Database "+name, func() (string, bool) {
		_, err := databases.Patch(o.t.Context(), name, types.JSONPatchType, []byte(patch), metav1.PatchOptions{FieldManager: o.name}, "status")
		return fmt.Sprint(err), err == nil
	})
}

func (o other) deletes(resource, name string) {
	o.t.Helper()
	if err := o.client(resource).Delete(context.WithoutCancel(o.t.Context()), name, metav1.DeleteOptions{}); err != nil {
		o.t.Fatal(err)
	}
}

// triesToDelete sends a dry-run delete request, and returns the API server's error.
func (o other) triesToDelete(resource, name string) error {
	o.t.Helper()
	return o.client(resource).Delete(o.t.Context(), name, metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}})
}
