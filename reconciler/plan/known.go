package plan

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
)

// writer describes what a well-known controller writes into objects that ask for it. Git may set the same fields, as a
// placeholder or by accident. They belong to the controller and are not applied.
type writer struct {
	kinds []schema.GroupKind
	// asked reports whether an object asks for it.
	asked  func(*manifest.Object) bool
	fields []string
}

var (
	mutatingWebhooks   = schema.GroupKind{Group: "admissionregistration.k8s.io", Kind: "MutatingWebhookConfiguration"}
	validatingWebhooks = schema.GroupKind{Group: "admissionregistration.k8s.io", Kind: "ValidatingWebhookConfiguration"}
	definitions        = schema.GroupKind{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}
	apiServices        = schema.GroupKind{Group: "apiregistration.k8s.io", Kind: "APIService"}
)

const webhooksCA = "webhooks.*.clientConfig.caBundle"

// writers come from the documentation of cert-manager (CA Injector), OpenShift (service CA operator, trusted CA
// bundles) and Istio (istiod's validation webhook). Some controllers only add fields, labels, annotations and
// finalizers, or write the status or pods. They are omitted, because they change nothing that Git sets.
var writers = []writer{
	{[]schema.GroupKind{mutatingWebhooks, validatingWebhooks}, wantsCA, []string{webhooksCA}},
	{[]schema.GroupKind{definitions}, wantsCA, []string{"spec.conversion.webhook.clientConfig.caBundle"}},
	{[]schema.GroupKind{apiServices}, wantsCA, []string{"spec.caBundle"}},
	{[]schema.GroupKind{{Kind: "ConfigMap"}}, wantsBundle, []string{"data"}},
	{[]schema.GroupKind{mutatingWebhooks}, isIstios, []string{webhooksCA}},
	{[]schema.GroupKind{validatingWebhooks}, isIstios, []string{webhooksCA, "webhooks.*.failurePolicy"}},
	{[]schema.GroupKind{{Group: "rbac.authorization.k8s.io", Kind: "ClusterRole"}}, isAggregated, []string{"rules"}},
}

// injections are the annotations that ask for a CA bundle.
var injections = []string{
	"cert-manager.io/inject-ca-from", "cert-manager.io/inject-ca-from-secret", "cert-manager.io/inject-apiserver-ca",
	"service.beta.openshift.io/inject-cabundle",
}

func wantsCA(o *manifest.Object) bool {
	return slices.ContainsFunc(injections, func(name string) bool { return annotation(o, name) != "" })
}

func wantsBundle(o *manifest.Object) bool {
	return annotation(o, "service.beta.openshift.io/inject-cabundle") == "true" || label(o, "config.openshift.io/inject-trusted-cabundle") == "true"
}

func isIstios(o *manifest.Object) bool {
	return label(o, "istio.io/rev") != ""
}

// label returns one label without copying all of them.
func label(o *manifest.Object, name string) string {
	metadata, _ := o.Object["metadata"].(map[string]any)
	labels, _ := metadata["labels"].(map[string]any)
	value, _ := labels[name].(string)
	return value
}

func isAggregated(o *manifest.Object) bool { return o.Object["aggregationRule"] != nil }

// ofOthers returns the fields of an object that belong to well-known controllers.
func ofOthers(o *manifest.Object) (fields []string) {
	kind := o.GroupVersionKind().GroupKind()
	for _, w := range writers {
		if slices.Contains(w.kinds, kind) && w.asked(o) {
			fields = append(fields, w.fields...)
		}
	}
	return fields
}

// shared are the lists that controllers extend and that the API server merges as a whole. OpenShift adds the pull
// secret of its registry to every ServiceAccount. A list that contains every entry of Git's is not drift.
var shared = map[schema.GroupKind]string{
	{Kind: "ServiceAccount"}: "imagePullSecrets",
}

// sharedBy returns the list of an object that other controllers extend; empty for none.
func sharedBy(o *manifest.Object) string {
	field := shared[o.GroupVersionKind().GroupKind()]
	if list, _ := o.Object[field].([]any); len(list) == 0 {
		return ""
	}
	return field
}

// share leaves a shared list to the controller that extended it, if the list contains every entry of Git's.
func (s Step) share(object, live *unstructured.Unstructured) {
	if s.Share == "" {
		return
	}
	wanted, _ := object.Object[s.Share].([]any)
	there, _ := live.Object[s.Share].([]any)
	for _, entry := range wanted {
		if !slices.ContainsFunc(there, func(other any) bool { return fmt.Sprint(other) == fmt.Sprint(entry) }) {
			return
		}
	}
	if observed.OwnedByController(live.GetManagedFields(), s.Share) {
		delete(object.Object, s.Share)
	}
}

// Trim removes the fields that other field managers own from an object that is to be applied.
func (s Step) Trim(object *unstructured.Unstructured) {
	for _, path := range s.Leave {
		trim(object.Object, strings.Split(path, "."))
	}
}

// trim removes a field and the maps that become empty. An empty map is a field of its own, which Berth would then own.
// An asterisk in the path means every entry of a list.
func trim(value any, path []string) {
	switch value := value.(type) {
	case map[string]any:
		if len(path) == 1 {
			delete(value, path[0])
			return
		}
		trim(value[path[0]], path[1:])
		if left, isMap := value[path[0]].(map[string]any); isMap && len(left) == 0 {
			delete(value, path[0])
		}
	case []any:
		if path[0] == "*" {
			for _, entry := range value {
				trim(entry, path[1:])
			}
		}
	}
}
