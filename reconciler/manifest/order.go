package manifest

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Phase is the coarse order of a sync.
type Phase int

// Dependencies are applied first, kinds that intercept other requests last, the rest in between.
const (
	First Phase = iota
	Main
	Last
)

// The order within a phase: a kind before all kinds that may refer to it. Unlisted kinds come after listed ones.
var (
	first = rank(
		"Namespace", "CustomResourceDefinition", "PriorityClass", "RuntimeClass", "StorageClass",
		"ResourceQuota", "LimitRange", "PodDisruptionBudget", "NetworkPolicy",
		"ServiceAccount", "ClusterRole", "Role", "ClusterRoleBinding", "RoleBinding",
		"ConfigMap", "Secret", "PersistentVolume", "PersistentVolumeClaim", "Service",
	)
	last = rank("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration",
		"MutatingAdmissionPolicy", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "APIService")
	main = rank("IngressClass", "Job", "DaemonSet", "StatefulSet", "Deployment", "ReplicaSet", "Pod", "CronJob", "HorizontalPodAutoscaler", "Ingress")
)

// groups are those of the kinds above. A custom kind of the same name does not count.
var groups = []string{"", "apps", "batch", "autoscaling", "policy", "rbac.authorization.k8s.io", "networking.k8s.io", "storage.k8s.io",
	"scheduling.k8s.io", "node.k8s.io", "apiextensions.k8s.io", "admissionregistration.k8s.io", "apiregistration.k8s.io"}

// usual are the kinds that most applications consist of, by group and version.
var usual = map[schema.GroupVersion][]string{
	{Version: "v1"}:                                     {"ConfigMap", "Secret", "Service", "ServiceAccount", "PersistentVolumeClaim", "Pod"},
	{Group: "apps", Version: "v1"}:                      {"Deployment", "StatefulSet", "DaemonSet"},
	{Group: "batch", Version: "v1"}:                     {"Job", "CronJob"},
	{Group: "autoscaling", Version: "v2"}:               {"HorizontalPodAutoscaler"},
	{Group: "networking.k8s.io", Version: "v1"}:         {"Ingress", "NetworkPolicy"},
	{Group: "policy", Version: "v1"}:                    {"PodDisruptionBudget"},
	{Group: "rbac.authorization.k8s.io", Version: "v1"}: {"Role", "RoleBinding"},
}

// UsualKinds returns the kinds that an environment probably has. It serves environments whose kinds are not recorded.
func UsualKinds() []schema.GroupVersionKind {
	var kinds []schema.GroupVersionKind
	for version, names := range usual {
		for _, name := range names {
			kinds = append(kinds, version.WithKind(name))
		}
	}
	slices.SortFunc(kinds, func(a, b schema.GroupVersionKind) int { return cmp.Compare(a.String(), b.String()) })
	return kinds
}

func rank(kinds ...string) map[string]int {
	ranks := make(map[string]int, len(kinds))
	for i, kind := range kinds {
		ranks[kind] = i
	}
	return ranks
}

// Place is the position of an object in the order of a sync.
type Place struct {
	Phase Phase
	Wave  int
	Rank  int // among all kinds, so that it also orders a wave with kinds of several phases
}

// PlaceOf returns the place of an object. An explicit wave moves an object out of the first and the last phase,
// whatever its kind.
func PlaceOf(o Object) (Place, error) {
	place := KindPlace(o.GroupVersionKind().GroupKind())
	text, ok := o.GetAnnotations()[AnnotationWave]
	if !ok {
		return place, nil
	}
	wave, err := strconv.Atoi(text)
	if err != nil {
		return place, fmt.Errorf("%s: %s has the annotation %s: %q, which is not an integer", o.Origin, o.Key(), AnnotationWave, text)
	}
	return place.InWave(wave), nil
}

// InWave returns this place moved to an explicit wave.
func (p Place) InWave(wave int) Place { return Place{Phase: Main, Wave: wave, Rank: p.Rank} }

// KindPlace returns the place of a kind's objects that have no explicit wave.
func KindPlace(gk schema.GroupKind) Place {
	if slices.Contains(groups, gk.Group) {
		if r, ok := first[gk.Kind]; ok {
			return Place{Phase: First, Rank: r}
		}
		if r, ok := main[gk.Kind]; ok {
			return Place{Phase: Main, Rank: len(first) + r}
		}
		if r, ok := last[gk.Kind]; ok {
			return Place{Phase: Last, Rank: len(first) + len(main) + 1 + r}
		}
	}
	return Place{Phase: Main, Rank: len(first) + len(main)}
}

// Compare orders places: phase, wave, rank.
func (p Place) Compare(o Place) int {
	return cmp.Or(cmp.Compare(p.Phase, o.Phase), cmp.Compare(p.Wave, o.Wave), cmp.Compare(p.Rank, o.Rank))
}

// ClusterScoped reports whether one of Kubernetes' own kinds is cluster-scoped; known is false for other kinds.
func ClusterScoped(gk schema.GroupKind) (scoped, known bool) {
	if slices.Contains(clusterKinds[gk.Group], gk.Kind) {
		return true, true
	}
	_, known = clusterKinds[gk.Group]
	return false, known
}

// clusterKinds names, for each of Kubernetes' own API groups, the kinds that have no namespace.
var clusterKinds = map[string][]string{
	"":                             {"Namespace", "Node", "PersistentVolume", "ComponentStatus"},
	"admissionregistration.k8s.io": {"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration", "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"},
	"apiextensions.k8s.io":         {"CustomResourceDefinition"},
	"apiregistration.k8s.io":       {"APIService"},
	"apps":                         nil,
	"autoscaling":                  nil,
	"batch":                        nil,
	"certificates.k8s.io":          {"CertificateSigningRequest", "ClusterTrustBundle"},
	"coordination.k8s.io":          nil,
	"discovery.k8s.io":             nil,
	"events.k8s.io":                nil,
	"flowcontrol.apiserver.k8s.io": {"FlowSchema", "PriorityLevelConfiguration"},
	"internal.apiserver.k8s.io":    {"StorageVersion"},
	"networking.k8s.io":            {"IngressClass", "IPAddress", "ServiceCIDR"},
	"node.k8s.io":                  {"RuntimeClass"},
	"policy":                       nil,
	"rbac.authorization.k8s.io":    {"ClusterRole", "ClusterRoleBinding"},
	"resource.k8s.io":              {"DeviceClass", "ResourceSlice", "DeviceTaintRule"},
	"scheduling.k8s.io":            {"PriorityClass"},
	"storage.k8s.io":               {"CSIDriver", "CSINode", "StorageClass", "VolumeAttachment", "VolumeAttributesClass"},
	"storagemigration.k8s.io":      {"StorageVersionMigration"},
}
