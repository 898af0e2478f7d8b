package render

import (
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"berth.dev/berth/reconciler/manifest"
)

var (
	roleKind    = schema.GroupKind{Group: rbacv1.GroupName, Kind: "Role"}
	bindingKind = schema.GroupKind{Group: rbacv1.GroupName, Kind: "RoleBinding"}
	accountKind = schema.GroupKind{Kind: "ServiceAccount"}
)

// ownRoles are the ClusterRoles that Berth brings, and the prefixes of further ones.
var ownRoles = []string{"berth-agent", "berth-environment", "berth-cluster-scope", "berth-view", "berth-edit", "berth-admin"}

// everybody are the subjects that stand for every account of the cluster, or for anyone who reaches its API server.
var everybody = []string{"system:authenticated", "system:unauthenticated", "system:serviceaccounts", "system:anonymous"}

// reserved returns the problem of an object with a name that is reserved for the agent.
func reserved(o manifest.Object) *Error {
	account := o.GroupVersionKind().GroupKind() == accountKind && o.GetName() == manifest.DefaultAccount
	if !account && !manifest.IsOwn(o.Key()) {
		return nil
	}
	return &Error{Origin: o.Origin, Object: o.Key().Short(), Problem: "its name is reserved for Berth", Hint: "choose another name"}
}

// overreaching returns the problem of a Role or RoleBinding that would give an environment's own accounts control of
// its namespace, of Berth or of other accounts. The API server refuses most of it too, but only after the first
// write.
func overreaching(o manifest.Object) *Error {
	var problem, hint string
	switch o.GroupVersionKind().GroupKind() {
	case roleKind:
		problem, hint = overreachingRules(o.Unstructured)
	case bindingKind:
		problem, hint = overreachingBinding(o.Unstructured)
	}
	if problem == "" {
		return nil
	}
	return &Error{Origin: o.Origin, Object: o.Key().Short(), Problem: problem, Hint: hint}
}

func overreachingRules(role *unstructured.Unstructured) (problem, hint string) {
	rules, _, _ := unstructured.NestedSlice(role.Object, "rules")
	for _, item := range rules {
		rule, _ := item.(map[string]any)
		switch verb := powerfulVerb(rule); {
		case grantsNamespaces(rule):
			return "it grants rights on namespaces", "remove namespaces and the wildcard * from the resources; get, list and watch are allowed"
		case verb != "":
			return fmt.Sprintf("it grants the verb %s", verb), "remove it from the verbs; an administrator of the cluster can grant it outside of Git"
		}
	}
	return "", ""
}

// grantsNamespaces reports whether a rule allows changes to namespaces: which pods they admit, and who owns them.
func grantsNamespaces(rule map[string]any) bool {
	reads := func(verb string) bool { return verb == "get" || verb == "list" || verb == "watch" }
	covers := func(resource string) bool {
		name, _, _ := strings.Cut(resource, "/")
		return name == "namespaces" || name == "*"
	}
	return hasAny(rule, "apiGroups", "", "*") && slices.ContainsFunc(ruleTexts(rule, "resources"), covers) &&
		slices.ContainsFunc(ruleTexts(rule, "verbs"), func(verb string) bool { return !reads(verb) })
}

// powerfulVerb returns the verb of a rule that gives more rights than the rule lists; empty for none.
func powerfulVerb(rule map[string]any) string {
	for _, verb := range ruleTexts(rule, "verbs") {
		switch {
		case verb == "bind", verb == "escalate", strings.HasPrefix(verb, "impersonate"):
			return verb
		case verb != "*":
		case hasAny(rule, "apiGroups", rbacv1.GroupName, "*") && hasAny(rule, "resources", "roles", "clusterroles", "*"),
			hasAny(rule, "apiGroups", "", "*") && hasAny(rule, "resources", "serviceaccounts", "users", "groups", "*"):
			return "* (which includes bind, escalate and impersonate)"
		}
	}
	return ""
}

func overreachingBinding(binding *unstructured.Unstructured) (problem, hint string) {
	ref, _, _ := unstructured.NestedMap(binding.Object, "roleRef")
	name, _ := ref["name"].(string)
	if ref["kind"] == "ClusterRole" && isOwnRole(name) {
		return fmt.Sprintf("it binds the ClusterRole %s, which is Berth's own", name),
			"bind a Role of the manifests, or a ClusterRole of the cluster such as view or edit"
	}
	subjects, _, _ := unstructured.NestedSlice(binding.Object, "subjects")
	for _, item := range subjects {
		subject, _ := item.(map[string]any)
		if name, _ := subject["name"].(string); subject["kind"] != rbacv1.ServiceAccountKind && slices.Contains(everybody, name) {
			return fmt.Sprintf("it grants rights to %s, which is everybody", name), "name the accounts, users or groups that need them"
		}
	}
	return "", ""
}

func isOwnRole(name string) bool {
	return slices.ContainsFunc(ownRoles, func(own string) bool { return name == own || strings.HasPrefix(name, own+"-") })
}

func hasAny(rule map[string]any, field string, values ...string) bool {
	return slices.ContainsFunc(ruleTexts(rule, field), func(text string) bool { return slices.Contains(values, text) })
}

func ruleTexts(rule map[string]any, field string) []string {
	list, _, _ := unstructured.NestedStringSlice(rule, field)
	return list
}
