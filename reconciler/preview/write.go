package preview

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"berth.dev/berth/api/v1alpha1"
)

// fieldOwner owns the fields of Environments that the agent writes; pin and suspend are people's.
const fieldOwner = client.FieldOwner("berth")

// upToDate says whether an Environment holds all that the agent writes.
func upToDate(env *v1alpha1.Environment, w wanted) bool {
	spec := env.Spec
	spec.Pin, spec.Suspend = "", false
	return spec == w.spec &&
		env.Labels[v1alpha1.LabelRepository] == w.spec.Repository &&
		env.Labels[v1alpha1.LabelEntry] == w.spec.Entry &&
		controllerutil.ContainsFinalizer(env, v1alpha1.FinalizerTeardown) == (w.spec.OnRemoval == v1alpha1.RemovalDelete)
}

// environmentApply is the agent's part of an Environment.
func environmentApply(namespace string, w wanted) runtime.ApplyConfiguration {
	spec := map[string]any{
		"repository": w.spec.Repository,
		"entry":      w.spec.Entry,
		"branch":     w.spec.Branch,
		"namespace":  w.spec.Namespace,
		"onRemoval":  string(w.spec.OnRemoval),
	}
	if w.spec.Commit != "" {
		spec["commit"] = w.spec.Commit
	}
	if w.spec.ServiceAccountName != "" {
		spec["serviceAccountName"] = w.spec.ServiceAccountName
	}
	u := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Environment"))
	u.SetNamespace(namespace)
	u.SetName(w.name)
	u.SetLabels(map[string]string{v1alpha1.LabelRepository: w.spec.Repository, v1alpha1.LabelEntry: w.spec.Entry})
	if w.spec.OnRemoval == v1alpha1.RemovalDelete {
		u.SetFinalizers([]string{v1alpha1.FinalizerTeardown})
	}
	return client.ApplyConfigurationFromUnstructured(u)
}
