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

// made is an object that is about to be written, or has just been, as far as the API server looks at it when it is asked
// about others.
type made struct {
	key manifest.Key
	// defines is the kind that a CustomResourceDefinition defines.
	defines schema.GroupKind
	// anew says that the object was not there before.
	anew bool
}

func madeBy(s plan.Step) made {
	m := made{key: s.Key, anew: s.Live == nil}
	if isCRD(s.Key) && s.Object != nil {
		m.defines = definedBy(s.Object)
	}
	return m
}

// where is the namespace in which it matters; empty for all.
func (m made) where() string {
	if isNamespace(m.key) {
		return m.key.Name
	}
	return m.key.Namespace
}

// cures says whether a refusal of a step may end with what was made: a role, an account, a class, a limit, a namespace, a
// policy, or whatever else the refusal names.
func (m made) cures(s plan.Step, err error) bool {
	here := m.key.Namespace == "" || m.key.Namespace == s.Key.Namespace
	switch {
	case m.key == s.Key || !here:
		return false
	case m.defines == s.Key.GroupKind():
		return true // whatever it says: it may not know the kind, or know it otherwise
	case m.key.Group == "apiregistration.k8s.io":
		_, group, _ := strings.Cut(m.key.Name, ".")
		return classOf(err) == NotServed && group == s.Key.Group
	case isGranting(err): // no Role widens what the account that writes it may grant; the agent does
		return manifest.IsBinding(m.key)
	case m.key.Group == rbacGroup:
		return isRights(err) || isMissingRole(err) && m.names(err)
	case m.key.Group == "admissionregistration.k8s.io":
		return isDenied(err) || isWebhookDown(err)
	case isNamespace(m.key):
		// A new one has yet to get its rights; what changes in another is what admission goes by, such as Pod Security's level.
		return m.key.Name == s.Key.Namespace && (isMissingNamespace(err) || apierrors.IsForbidden(err) && m.anew == isRights(err))
	case m.key.Group == "" && m.key.Kind == "ResourceQuota":
		return isQuota(err)
	case m.key.Group == "" && m.key.Kind == "LimitRange", m.key.Group == "storage.k8s.io":
		return apierrors.IsForbidden(err) && !isRights(err) && !isQuota(err) && !isDenied(err)
	}
	return (apierrors.IsForbidden(err) && !isRights(err) && !isQuota(err) || isDenied(err)) && m.names(err)
}

// names says whether a refusal names what was made: its name and, unless it is of a custom kind, its kind.
func (m made) names(err error) bool {
	text := err.Error()
	name := regexp.MustCompile(`(^|[^-.\w])` + regexp.QuoteMeta(m.key.Name) + `($|[^-.\w]|\.($|\s))`)
	_, known := manifest.ClusterScoped(m.key.GroupKind())
	return name.MatchString(text) && (!known || strings.Contains(strings.ToLower(text), strings.ToLower(m.key.Kind)))
}

// isLookedUp says whether the API server looks at objects of a kind when it is asked about others, whatever these say.
func isLookedUp(k manifest.Key) bool {
	switch k.Group {
	case rbacGroup, "apiextensions.k8s.io", "apiregistration.k8s.io", "admissionregistration.k8s.io", "scheduling.k8s.io", "node.k8s.io", "storage.k8s.io":
		return true
	case "":
		return slices.Contains([]string{"Namespace", "ServiceAccount", "LimitRange", "ResourceQuota"}, k.Kind)
	}
	return false
}

// within orders the steps of a stage: what is looked up first, then bindings, which are refused until their role is
// there, then the rest.
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

// missingRole says what is wrong with a binding whose role was not found. A binding that has another role in the cluster
// cannot be changed, and no role that comes would help.
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
