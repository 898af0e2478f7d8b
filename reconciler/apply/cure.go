package apply

import (
	"context"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/plan"
)

// made is an object that is or was just written, and that the API server consults in decisions about other objects.
type made struct {
	key manifest.Key
	// defines is the kind that a CustomResourceDefinition defines.
	defines schema.GroupKind
	// isNew reports whether the object did not exist before.
	isNew bool
}

func madeBy(s plan.Step) made {
	m := made{key: s.Key, isNew: s.Live == nil}
	if isCRD(s.Key) && s.Object != nil {
		m.defines = definedBy(s.Object)
	}
	return m
}

// where returns the namespace in which it matters; empty for all.
func (m made) where() string {
	if isNamespace(m.key) {
		return m.key.Name
	}
	return m.key.Namespace
}

// cures reports whether a refusal of a step may end with the written object: a role, an account, a class, a limit, a
// namespace, a policy, or anything else that the refusal names.
func (m made) cures(s plan.Step, err error) bool {
	here := m.key.Namespace == "" || m.key.Namespace == s.Key.Namespace
	switch {
	case m.key == s.Key || !here:
		return false
	case m.defines == s.Key.GroupKind():
		return true // any refusal: the API server may not know the kind yet, or know an older version
	case m.key.Group == "apiregistration.k8s.io":
		_, group, _ := strings.Cut(m.key.Name, ".")
		return classOf(err) == NotServed && group == s.Key.Group
	case isGranting(err): // a Role cannot extend what its author may grant; a binding of the agent can
		return manifest.IsBinding(m.key)
	case m.key.Group == rbacGroup:
		return isRights(err) || isMissingRole(err) && m.names(err)
	case m.key.Group == "admissionregistration.k8s.io":
		return isDenied(err) || isWebhookDown(err)
	case isNamespace(m.key):
		// A new namespace does not have its rights yet. A changed one has other labels, such as Pod Security's
		// level.
		return m.key.Name == s.Key.Namespace && (isMissingNamespace(err) || apierrors.IsForbidden(err) && m.isNew == isRights(err))
	case m.key.Group == "" && m.key.Kind == "ResourceQuota":
		return isQuota(err)
	case m.key.Group == "" && m.key.Kind == "LimitRange", m.key.Group == "storage.k8s.io":
		return apierrors.IsForbidden(err) && !isRights(err) && !isQuota(err) && !isDenied(err)
	}
	return (apierrors.IsForbidden(err) && !isRights(err) && !isQuota(err) || isDenied(err)) && m.names(err)
}

// names reports whether a refusal names the written object: its name and, unless it is of a custom kind, its kind.
func (m made) names(err error) bool {
	text := err.Error()
	name := regexp.MustCompile(`(^|[^-.\w])` + regexp.QuoteMeta(m.key.Name) + `($|[^-.\w]|\.($|\s))`)
	_, known := manifest.ClusterScoped(m.key.GroupKind())
	return name.MatchString(text) && (!known || strings.Contains(strings.ToLower(text), strings.ToLower(m.key.Kind)))
}

// isLookedUp reports whether the API server consults objects of a kind in decisions about others, without a reference.
func isLookedUp(k manifest.Key) bool {
	switch k.Group {
	case rbacGroup, "apiextensions.k8s.io", "apiregistration.k8s.io", "admissionregistration.k8s.io", "scheduling.k8s.io", "node.k8s.io", "storage.k8s.io":
		return true
	case "":
		return slices.Contains([]string{"Namespace", "ServiceAccount", "LimitRange", "ResourceQuota"}, k.Kind)
	}
	return false
}

// within orders the steps of a stage: first objects that others are checked against, then bindings, which are refused until
// their role exists, then the rest.
func within(s plan.Step) int {
	switch {
	case s.Action == plan.Delete:
		return 0
	case s.Key.Group == rbacGroup && strings.HasSuffix(s.Key.Kind, "Binding"):
		return 1
	case isLookedUp(s.Key):
		return 0
	}
	return 2
}

// missingRole returns the error of a binding whose role was not found. If the live binding has a different role, the error
// is that a role cannot be changed.
func (r *run) missingRole(ctx context.Context, client dynamic.ResourceInterface, s plan.Step, cause error) error {
	missing := &finding{class: Missing, text: "roleRef: there is no " + roleOf(s.Object.Object), cause: cause}
	if s.Live == nil {
		return missing
	}
	live, err := client.Get(ctx, s.Key.Name, metav1.GetOptions{})
	if err != nil || reflect.DeepEqual(live.Object["roleRef"], s.Object.Object["roleRef"]) {
		return missing
	}
	return &finding{class: Immutable, text: "roleRef: cannot change roleRef, which is " + roleOf(live.Object), cause: cause}
}

func roleOf(binding map[string]any) string {
	role, _ := binding["roleRef"].(map[string]any)
	return fmt.Sprintf("%v/%v", role["kind"], role["name"])
}
