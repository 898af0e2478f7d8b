package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// NamespaceTemplate is what the namespaces of an entry have in addition to the objects from Git: bounds that a branch
// cannot change. The agent keeps them up to date and reverts other changes to them.
type NamespaceTemplate struct {
	// labels are the labels of the namespace. For entries with a pattern, pod-security.kubernetes.io/enforce defaults to
	// baseline. A namespace that the agent did not create does not get them.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	// +kubebuilder:validation:XValidation:rule=`self.all(k, k.matches(r'^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))`,message="a label's name must consist of an optional prefix and a slash, and at most 63 letters, digits, '-', '_' and '.'"
	// +kubebuilder:validation:XValidation:rule=`!self.exists(k, k.startsWith('berth.dev/') || k == 'kubernetes.io/metadata.name')`,message="a label must not be one that Berth or Kubernetes itself sets: berth.dev/* and kubernetes.io/metadata.name"
	Labels map[string]LabelValue `json:"labels,omitempty"`

	// annotations are the annotations of the namespace. A namespace that the agent did not create does not get them.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	// +kubebuilder:validation:XValidation:rule=`self.all(k, k.matches(r'^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))`,message="an annotation's name must consist of an optional prefix and a slash, and at most 63 letters, digits, '-', '_' and '.'"
	// +kubebuilder:validation:XValidation:rule=`!self.exists(k, k.startsWith('berth.dev/'))`,message="an annotation must not be one that Berth itself sets: berth.dev/*"
	Annotations map[string]string `json:"annotations,omitempty"`

	// resourceQuota is the spec of a ResourceQuota in the namespace.
	// +optional
	ResourceQuota *corev1.ResourceQuotaSpec `json:"resourceQuota,omitempty"`

	// limitRange is the spec of a LimitRange in the namespace.
	// +optional
	LimitRange *corev1.LimitRangeSpec `json:"limitRange,omitempty"`

	// networkPolicies are NetworkPolicies of the namespace. If there is one, no other user can write NetworkPolicies into
	// a namespace that the agent created, because another policy could allow everything.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	NetworkPolicies []NetworkPolicy `json:"networkPolicies,omitempty"`
}

// LabelValue is the value of a label.
//
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:Pattern=`^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$`
type LabelValue string

// NetworkPolicy is a NetworkPolicy of a NamespaceTemplate.
type NetworkPolicy struct {
	// name identifies it among the others. The object's name ends with it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`

	// spec is the spec of the NetworkPolicy.
	// +required
	Spec networkingv1.NetworkPolicySpec `json:"spec"`
}
