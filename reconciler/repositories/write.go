package repositories

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/branches"
)

// fieldOwner owns the fields of Environments that the agent writes; users own pin and suspend.
const fieldOwner = client.FieldOwner("berth")

// upToDate reports whether an Environment has all that the agent writes.
func upToDate(env *v1alpha1.Environment, w branches.Wanted) bool {
	spec := env.Spec
	spec.Pin, spec.Suspend = "", false
	return spec == w.Spec &&
		env.Labels[v1alpha1.LabelRepository] == w.Spec.Repository &&
		env.Labels[v1alpha1.LabelEntry] == w.Spec.Entry &&
		controllerutil.ContainsFinalizer(env, v1alpha1.FinalizerTeardown) == (w.Spec.OnRemoval == v1alpha1.RemovalDelete)
}

// environmentApply returns the fields of an Environment that the agent writes.
func environmentApply(namespace string, w branches.Wanted) runtime.ApplyConfiguration {
	spec := map[string]any{
		"repository": w.Spec.Repository,
		"entry":      w.Spec.Entry,
		"branch":     w.Spec.Branch,
		"namespace":  w.Spec.Namespace,
		"onRemoval":  string(w.Spec.OnRemoval),
	}
	if w.Spec.Commit != "" {
		spec["commit"] = w.Spec.Commit
	}
	if w.Spec.Cluster != "" {
		spec["cluster"] = w.Spec.Cluster
	}
	if w.Spec.Agent != "" {
		spec["agent"] = w.Spec.Agent
	}
	if w.Spec.ServiceAccountName != "" {
		spec["serviceAccountName"] = w.Spec.ServiceAccountName
	}
	u := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Environment"))
	u.SetNamespace(namespace)
	u.SetName(w.Name)
	u.SetLabels(map[string]string{v1alpha1.LabelRepository: w.Spec.Repository, v1alpha1.LabelEntry: w.Spec.Entry})
	if w.Spec.OnRemoval == v1alpha1.RemovalDelete {
		u.SetFinalizers([]string{v1alpha1.FinalizerTeardown})
	}
	return client.ApplyConfigurationFromUnstructured(u)
}
