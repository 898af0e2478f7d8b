package installation

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// An agent gets in another cluster what deploy/ grants it outside its own namespace, and nothing else.
func TestAnAccountHasTheRightsOfDeployOutsideTheAgentsNamespace(t *testing.T) {
	objects, err := AccountObjects("far")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, object := range objects {
		got = append(got, Name(object))
	}
	want := strings.Fields(`Namespace/far ServiceAccount/far/berth
		ClusterRole/berth-agent ClusterRoleBinding/berth-agent-far ClusterRole/berth-agent-watch ClusterRoleBinding/berth-agent-watch-far
		ClusterRole/berth-environment
		ValidatingAdmissionPolicy/berth-namespaces ValidatingAdmissionPolicyBinding/berth-namespaces
		ValidatingAdmissionPolicy/berth-agent ValidatingAdmissionPolicyBinding/berth-agent
		ValidatingAdmissionPolicy/berth-accounts ValidatingAdmissionPolicyBinding/berth-accounts
		ValidatingAdmissionPolicy/berth-bounds ValidatingAdmissionPolicyBinding/berth-bounds`)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	installed, err := Objects(Options{Namespace: "far"})
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range objects {
		same := slices.ContainsFunc(installed, func(o *unstructured.Unstructured) bool {
			return Name(o) == Name(object) && actionOf(o, object) == Unchanged
		})
		if !same {
			t.Errorf("%s differs from that of an installation", Name(object))
		}
	}
}
