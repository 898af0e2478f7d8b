package environments

import (
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler"
	"berth.dev/berth/reconciler/branches"
	"berth.dev/berth/reconciler/naming"
)

// annotationBounds on a namespace lists the kinds of objects there that only the agent may write. An admission policy in
// deploy/ enforces it.
const annotationBounds = "berth.dev/bounds"

// NamespaceMarks returns the labels and annotations of an environment's namespace, besides those of its owner.
func NamespaceMarks(env *v1alpha1.Environment, entry *v1alpha1.Entry, patterns naming.Patterns) reconciler.Marks {
	marks := reconciler.Marks{Labels: map[string]string{}, Annotations: map[string]string{}}
	if !patterns.Literal() {
		marks.Labels["pod-security.kubernetes.io/enforce"] = "baseline"
	}
	if template := entry.NamespaceTemplate; template != nil {
		for name, value := range template.Labels {
			marks.Labels[name] = string(value)
		}
		maps.Copy(marks.Annotations, template.Annotations)
		if len(template.NetworkPolicies) > 0 {
			marks.Annotations[annotationBounds] = "networkpolicies"
		}
	}
	marks.Annotations[branches.AnnotationOnRemoval] = string(env.Spec.OnRemoval)
	if len(marks.Labels) == 0 {
		marks.Labels = nil // digests treat nil and empty differently
	}
	return marks
}

// Bounds returns the objects that an entry adds to the namespaces of its environments, in the form of
// reconciler.Environment.
func Bounds(entry *v1alpha1.Entry) ([]*unstructured.Unstructured, error) {
	template := entry.NamespaceTemplate
	if template == nil {
		return nil, nil
	}
	var objects []runtime.Object
	if template.ResourceQuota != nil {
		objects = append(objects, &corev1.ResourceQuota{Spec: *template.ResourceQuota})
	}
	if template.LimitRange != nil {
		objects = append(objects, &corev1.LimitRange{Spec: *template.LimitRange})
	}
	for _, policy := range template.NetworkPolicies {
		object := &networkingv1.NetworkPolicy{Spec: policy.Spec}
		object.Name = policy.Name
		objects = append(objects, object)
	}
	var bounds []*unstructured.Unstructured
	for _, object := range objects {
		bound, err := boundOf(object)
		if err != nil {
			return nil, fmt.Errorf("reading namespaceTemplate of the entry %s: %w", entry.Name, err)
		}
		bounds = append(bounds, bound)
	}
	return bounds, nil
}

// boundOf returns an object as it is applied: kind, name and spec, without empty fields.
func boundOf(object runtime.Object) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, err
	}
	name, _, _ := unstructured.NestedString(content, "metadata", "name")
	bound := &unstructured.Unstructured{Object: map[string]any{"spec": content["spec"]}}
	bound.SetGroupVersionKind(kindOf(object))
	if name != "" {
		bound.SetName(name)
	}
	return bound, nil
}

func kindOf(object runtime.Object) schema.GroupVersionKind {
	switch object.(type) {
	case *corev1.ResourceQuota:
		return corev1.SchemeGroupVersion.WithKind("ResourceQuota")
	case *corev1.LimitRange:
		return corev1.SchemeGroupVersion.WithKind("LimitRange")
	}
	return networkingv1.SchemeGroupVersion.WithKind("NetworkPolicy")
}
