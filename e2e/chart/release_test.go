package chart

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/kube"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/dynamic"

	"berth.dev/berth/deploy"
	"berth.dev/berth/internal/clustertest"
)

func init() { kube.ManagedFieldsManager = "helm" } // as in the program

// patience is far longer than Helm takes on a loaded machine.
const patience = 3 * time.Minute

// shared is the cluster of all tests, one after the other.
var shared = clustertest.Shared(clustertest.Config{})

// helm runs Helm's commands against the cluster, with its defaults.
type helm struct {
	t         *testing.T
	client    dynamic.Interface
	namespace string
	config    *action.Configuration
}

// helmIn returns Helm for a namespace. It uninstalls the release when the test ends.
func helmIn(t *testing.T, namespace string) helm {
	t.Helper()
	kubeconfig := shared(t).Kubeconfig()
	flags := genericclioptions.NewConfigFlags(false)
	flags.KubeConfig, flags.Namespace = &kubeconfig, &namespace
	config := action.NewConfiguration()
	if err := config.Init(flags, namespace, "secret"); err != nil {
		t.Fatal(err)
	}
	h := helm{t, clientOf(t), namespace, config}
	t.Cleanup(func() {
		if err := h.uninstall(); err != nil && !strings.Contains(err.Error(), "not found") {
			t.Error(err)
		}
	})
	return h
}

// leaveNothing deletes what releases leave in the cluster when the test ends.
func leaveNothing(t *testing.T) {
	t.Helper()
	client := clientOf(t)
	t.Cleanup(func() {
		for _, role := range []string{"berth-environment", "berth-agent-watch"} {
			// Until then, the controller that aggregates ClusterRoles may apply the role once more, and so create it again.
			await(t, "the rights on deleted ClusterRoles have left "+role, func() bool {
				object := get(t, client, "ClusterRole", "", role)
				return object == nil || !strings.Contains(fmt.Sprint(object.Object["rules"]), "berth.dev")
			})
			remove(t, client, "ClusterRole", role)
		}
		for _, name := range []string{"environments.berth.dev", "repositories.berth.dev"} {
			remove(t, client, "CustomResourceDefinition", name)
		}
	})
}

func clientOf(t *testing.T) dynamic.Interface {
	t.Helper()
	client, err := dynamic.NewForConfig(shared(t).RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// remove deletes an object outside namespaces, and waits until it is gone.
func remove(t *testing.T, client dynamic.Interface, kind, name string) {
	t.Helper()
	err := client.Resource(resources[kind]).Delete(context.Background(), name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		t.Error(err)
	}
	await(t, kind+"/"+name+" is gone", func() bool { return get(t, client, kind, "", name) == nil })
}

func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(context.Background(), 50*time.Millisecond, patience, true, func(context.Context) (bool, error) { return holds(), nil })
	if err != nil {
		t.Errorf("waiting until %s: %v", what, err)
	}
}

func (h helm) install(values string, more ...func(*action.Install)) error {
	h.t.Helper()
	i := action.NewInstall(h.config)
	i.ReleaseName, i.Namespace, i.CreateNamespace, i.Timeout = "berth", h.namespace, true, patience
	i.WaitStrategy = kube.StatusWatcherStrategy // helm install --wait
	for _, change := range more {
		change(i)
	}
	_, err := i.Run(load(h.t), h.values(values))
	return err
}

func (h helm) upgrade(values string, more ...func(*action.Upgrade)) error {
	h.t.Helper()
	u := action.NewUpgrade(h.config)
	u.Namespace, u.Timeout, u.WaitStrategy = h.namespace, patience, kube.StatusWatcherStrategy
	u.ServerSideApply = "auto"
	for _, change := range more {
		change(u)
	}
	_, err := u.Run("berth", load(h.t), h.values(values))
	return err
}

func (h helm) uninstall() error {
	h.t.Helper()
	u := action.NewUninstall(h.config)
	u.Timeout, u.WaitStrategy = patience, kube.HookOnlyStrategy // Helm's default
	_, err := u.Run("berth")
	return err
}

func (h helm) values(text string) map[string]any {
	h.t.Helper()
	values, err := common.ReadValues([]byte(text))
	if err != nil {
		h.t.Fatal(err)
	}
	return values
}

var resources = map[string]schema.GroupVersionResource{
	"CustomResourceDefinition": {Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"},
	"ClusterRole":              {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"},
	"ClusterRoleBinding":       {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterrolebindings"},
	"Deployment":               {Group: "apps", Version: "v1", Resource: "deployments"},
}

// get returns an object, or nil.
func (h helm) get(kind, name string) *unstructured.Unstructured {
	h.t.Helper()
	namespace := ""
	if kind == "Deployment" {
		namespace = h.namespace
	}
	return get(h.t, h.client, kind, namespace, name)
}

func get(t *testing.T, client dynamic.Interface, kind, namespace, name string) *unstructured.Unstructured {
	t.Helper()
	object, err := client.Resource(resources[kind]).Namespace(namespace).Get(context.Background(), name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return object
}

// A release installs, upgrades its definitions, lives beside a second one, and leaves the definitions with what they hold.
func TestHelmInstallsUpgradesAndUninstalls(t *testing.T) {
	leaveNothing(t)
	first := helmIn(t, "harbour")
	if err := first.install(""); err != nil {
		t.Fatal(err)
	}
	columns := first.columns()
	first.dropColumns()
	if err := first.upgrade("replicas: 2"); err != nil {
		t.Fatal(err)
	}
	if got := first.columns(); got != columns {
		t.Errorf("after the upgrade the definition has %d columns, want %d", got, columns)
	}
	if replicas, _, _ := unstructured.NestedInt64(first.get("Deployment", "berth").Object, "spec", "replicas"); replicas != 2 {
		t.Errorf("after the upgrade the Deployment has %d replicas, want 2", replicas)
	}

	second := helmIn(t, "elsewhere")
	if err := second.install(""); err == nil || !strings.Contains(err.Error(), "invalid ownership metadata") {
		t.Errorf("a second release with the shared objects: %v", err)
	}
	if err := second.install("crds: {create: false}\nshared: {create: false}", func(i *action.Install) { i.Replace = true }); err != nil {
		t.Fatal(err)
	}
	if err := second.uninstall(); err != nil {
		t.Fatal(err)
	}
	for _, kept := range [][2]string{{"ClusterRole", "berth-environment"}, {"ClusterRoleBinding", "berth-agent-harbour"}, {"Deployment", "berth"}} {
		if first.get(kept[0], kept[1]) == nil {
			t.Errorf("uninstalling the second release deleted %s/%s of the first", kept[0], kept[1])
		}
	}

	if err := first.uninstall(); err != nil {
		t.Fatal(err)
	}
	for _, gone := range [][2]string{{"ClusterRole", "berth-agent"}, {"ClusterRoleBinding", "berth-agent-harbour"}, {"Deployment", "berth"}} {
		if first.get(gone[0], gone[1]) != nil {
			t.Errorf("%s/%s remains", gone[0], gone[1])
		}
	}
	if first.get("CustomResourceDefinition", "repositories.berth.dev") == nil {
		t.Error("the definition was deleted, and every Repository with it")
	}
	if err := first.install(""); err != nil {
		t.Errorf("installing again over the objects that stayed: %v", err)
	}
}

// columns returns the number of columns that kubectl prints of an Environment.
func (h helm) columns() int {
	h.t.Helper()
	versions, _, _ := unstructured.NestedSlice(h.get("CustomResourceDefinition", "environments.berth.dev").Object, "spec", "versions")
	return len(versions[0].(map[string]any)["additionalPrinterColumns"].([]any))
}

// dropColumns makes the definition an older one, which has only one column.
func (h helm) dropColumns() {
	h.t.Helper()
	older := h.get("CustomResourceDefinition", "environments.berth.dev")
	versions, _, _ := unstructured.NestedSlice(older.Object, "spec", "versions")
	version := versions[0].(map[string]any)
	version["additionalPrinterColumns"] = version["additionalPrinterColumns"].([]any)[:1]
	if err := unstructured.SetNestedSlice(older.Object, versions, "spec", "versions"); err != nil {
		h.t.Fatal(err)
	}
	older.SetManagedFields(nil)
	older.SetResourceVersion("")
	if _, err := h.client.Resource(resources["CustomResourceDefinition"]).Apply(h.t.Context(), older.GetName(), older, metav1.ApplyOptions{FieldManager: "helm", Force: true}); err != nil {
		h.t.Fatal(err)
	}
}

// An installation by kubectl becomes a release. kubectl stays the manager of its fields, so Helm has to force its own.
func TestHelmTakesOverWhatKubectlInstalled(t *testing.T) {
	leaveNothing(t)
	h := helmIn(t, deploy.Namespace)
	objects, err := deploy.Objects()
	if err != nil {
		t.Fatal(err)
	}
	if err := clustertest.Apply(t.Context(), shared(t).RESTConfig(), objects...); err != nil {
		t.Fatal(err)
	}
	if err := h.install("image: {tag: v9}", func(i *action.Install) { i.TakeOwnership, i.ForceConflicts = true, true }); err != nil {
		t.Fatal(err)
	}
	if err := h.upgrade("replicas: 2", func(u *action.Upgrade) { u.ForceConflicts = true }); err != nil {
		t.Error(err)
	}
}
