package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// NamespaceTemplate says what the namespaces of an entry have beside what Git says: what bounds a branch, and what it
// cannot change. The agent keeps it up to date and reverts what others change.
type NamespaceTemplate struct {
	// labels of the namespace, such as pod-security.kubernetes.io/enforce, which is baseline for entries with a pattern
	// unless it is set here. A namespace that the agent did not make does not get them.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	// +kubebuilder:validation:XValidation:rule=`self.all(k, k.matches(r'^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))`,message="a label's name must consist of an optional prefix and a slash, and at most 63 letters, digits, '-', '_' and '.'"
	// +kubebuilder:validation:XValidation:rule=`!self.exists(k, k.startsWith('berth.dev/') || k == 'kubernetes.io/metadata.name')`,message="a label must not be one that Berth or Kubernetes itself sets: berth.dev/* and kubernetes.io/metadata.name"
	Labels map[string]LabelValue `json:"labels,omitempty"`

	// annotations of the namespace. A namespace that the agent did not make does not get them.
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

	// networkPolicies are NetworkPolicies of the namespace. With one of them, nobody else can write NetworkPolicies into
	// a namespace that the agent made: since policies add up, one more could allow everything.
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

// NetworkPolicy is one of a NamespaceTemplate.
type NetworkPolicy struct {
	// name tells it from the others; it becomes the end of the object's name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`

	// spec of the NetworkPolicy.
	// +required
	Spec networkingv1.NetworkPolicySpec `json:"spec"`
}
