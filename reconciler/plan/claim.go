package plan

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/reconciler/observed"
)

// isEnlarged reports whether another field manager, such as a resizer, made the claim larger than Git does. No claim
// can shrink, so the API server would refuse Git's number forever.
func (m *maker) isEnlarged(s *Step) bool {
	if s.Live == nil || s.Live.Deleting || s.Live.Enlarged == "" {
		return false
	}
	git, _, _ := unstructured.NestedString(s.Object.Object, strings.Split(observed.StorageRequest, ".")...)
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
