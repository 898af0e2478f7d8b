package plan

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// requested is where a claim says how much storage it asks for.
const requested = "spec.resources.requests.storage"

var storage = fieldpath.MakePathOrDie("spec", "resources", "requests", "storage")

func isClaim(group, kind string) bool { return group == "" && kind == "PersistentVolumeClaim" }

// enlarged returns how much a claim asks for where that is not what Berth applied.
func enlarged(claim *unstructured.Unstructured) string {
	if !isClaim(claim.GroupVersionKind().Group, claim.GetKind()) || setsOurs(claim.GetManagedFields(), storage) {
		return ""
	}
	size, _, _ := unstructured.NestedString(claim.Object, strings.Split(requested, ".")...)
	return size
}

// isEnlarged says whether somebody else, such as a resizer, has the claim ask for more than Git does. Since no claim can
// shrink, Git's number would be refused for ever.
func (m *maker) isEnlarged(s *Step) bool {
	if s.Live == nil || s.Live.Deleting || s.Live.Enlarged == "" {
		return false
	}
	git, _, _ := unstructured.NestedString(s.Object.Object, strings.Split(requested, ".")...)
	wanted, err := resource.ParseQuantity(git)
	if err != nil {
		return false
	}
	there, err := resource.ParseQuantity(s.Live.Enlarged)
	if err != nil || there.Cmp(wanted) <= 0 {
		return false
	}
	m.warnings = append(m.warnings, fmt.Sprintf("%s asks for %s in the cluster and for %s in Git; no claim can shrink, so it stays as it is: write %[2]s in Git",
		s.Key.Short(), s.Live.Enlarged, git))
	return true
}
