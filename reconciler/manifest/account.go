package manifest

import (
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const (
	// DefaultAccount is the service account that an environment's objects are applied as, unless its entry names
	// another. Only its name is used: no ServiceAccount object exists, so no pod can get a token for it.
	DefaultAccount = "berth-apply"
	// EnvironmentRole is the ClusterRole that the agent binds to DefaultAccount.
	EnvironmentRole = "berth-environment"
	// bindingPrefix and boundPrefix begin the names of the objects that the agent itself keeps in an environment's
	// namespace: the account's rights, and the namespace's quotas and limits.
	bindingPrefix = "berth-apply."
	boundPrefix   = "berth-namespace."
)

var bindingKind = rbacv1.SchemeGroupVersion.WithKind("RoleBinding")

// boundKinds are the kinds that limit a namespace.
var boundKinds = []schema.GroupKind{{Kind: "ResourceQuota"}, {Kind: "LimitRange"}, {Group: "networking.k8s.io", Kind: "NetworkPolicy"}}

// User returns the name under which a service account of a namespace makes requests.
func User(namespace, account string) string {
	return "system:serviceaccount:" + namespace + ":" + account
}

// Binding returns the RoleBinding, sealed, that gives an environment's DefaultAccount its rights in its namespace.
// Each environment of a namespace has its own, so that removing one environment does not take another's rights.
func Binding(namespace, environment string) Object {
	u := &unstructured.Unstructured{Object: map[string]any{
		"roleRef":  map[string]any{"apiGroup": rbacv1.GroupName, "kind": "ClusterRole", "name": EnvironmentRole},
		"subjects": []any{map[string]any{"kind": rbacv1.ServiceAccountKind, "name": DefaultAccount, "namespace": namespace}},
	}}
	u.SetGroupVersionKind(bindingKind)
	u.SetNamespace(namespace)
	u.SetName(bindingPrefix + environment)
	// A roleRef is immutable: a binding that another user replaced is replaced in turn.
	u.SetAnnotations(map[string]string{AnnotationReplace: "when-immutable"})
	return sealedOwn(u)
}

// Bound returns an object that limits an environment's namespace, sealed. Its own name, which may be empty,
// distinguishes it from others of its kind.
func Bound(u *unstructured.Unstructured, namespace, environment string) Object {
	u = u.DeepCopy()
	name := boundPrefix + environment
	if u.GetName() != "" {
		name += "." + u.GetName()
	}
	u.SetNamespace(namespace)
	u.SetName(name)
	return sealedOwn(u)
}

// IsOwn reports whether the agent keeps an object in an environment's namespace with its own rights. Git cannot have
// objects with these names.
func IsOwn(k Key) bool {
	return IsBinding(k) || slices.Contains(boundKinds, k.GroupKind()) && strings.HasPrefix(k.Name, boundPrefix)
}

// IsBinding reports whether an object is a RoleBinding that gives an environment's account its rights.
func IsBinding(k Key) bool {
	return k.GroupKind() == bindingKind.GroupKind() && strings.HasPrefix(k.Name, bindingPrefix)
}

// sealedOwn seals an object that has no secrets and comes from no file.
func sealedOwn(u *unstructured.Unstructured) Object {
	set := Set{Objects: []Object{{Unstructured: u, Origin: Origin{File: "the environment"}}}}
	if err := set.Seal(nil, nil); err != nil {
		panic("manifest: " + err.Error()) // digesting strings never fails
	}
	return set.Objects[0]
}
