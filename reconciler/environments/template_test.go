package environments

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/naming"
)

func TestNamespaceMarks(t *testing.T) {
	const enforce, removal = "pod-security.kubernetes.io/enforce", "berth.dev/on-removal"
	for _, test := range []struct {
		reason, branches    string
		template            *v1alpha1.NamespaceTemplate
		labels, annotations map[string]string
	}{
		{"a branch by name", "main", nil, nil, map[string]string{removal: "Delete"}},
		{"a pattern", "**", nil, map[string]string{enforce: "baseline"}, map[string]string{removal: "Delete"}},
		{"labels of the entry", "**", &v1alpha1.NamespaceTemplate{Labels: map[string]v1alpha1.LabelValue{"team": "posts"}},
			map[string]string{enforce: "baseline", "team": "posts"}, map[string]string{removal: "Delete"}},
		{"another level than baseline", "**", &v1alpha1.NamespaceTemplate{Labels: map[string]v1alpha1.LabelValue{enforce: "restricted"}},
			map[string]string{enforce: "restricted"}, map[string]string{removal: "Delete"}},
		{"annotations, of which Berth's own stay", "main", &v1alpha1.NamespaceTemplate{Annotations: map[string]string{"owner": "posts", removal: "Orphan"}},
			nil, map[string]string{"owner": "posts", removal: "Delete"}},
		{"network policies, beside which there are no others", "main", &v1alpha1.NamespaceTemplate{NetworkPolicies: []v1alpha1.NetworkPolicy{{Name: "own"}}},
			nil, map[string]string{removal: "Delete", "berth.dev/bounds": "networkpolicies"}},
	} {
		t.Run(test.reason, func(t *testing.T) {
			patterns, err := naming.CompilePatterns([]v1alpha1.BranchPattern{v1alpha1.BranchPattern(test.branches)})
			if err != nil {
				t.Fatal(err)
			}
			env := &v1alpha1.Environment{Spec: v1alpha1.EnvironmentSpec{OnRemoval: v1alpha1.RemovalDelete}}
			marks := NamespaceMarks(env, &v1alpha1.Entry{NamespaceTemplate: test.template}, patterns)
			if diff := cmp.Diff(test.labels, marks.Labels); diff != "" {
				t.Errorf("labels (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.annotations, marks.Annotations); diff != "" {
				t.Errorf("annotations (-want +got):\n%s", diff)
			}
		})
	}
}

// Only the entry's fields are applied: all others belong to the API server.
func TestBounds(t *testing.T) {
	bounds, err := Bounds(&v1alpha1.Entry{NamespaceTemplate: &v1alpha1.NamespaceTemplate{
		ResourceQuota:   &corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("20")}},
		LimitRange:      &corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{Type: corev1.LimitTypeContainer}}},
		NetworkPolicies: []v1alpha1.NetworkPolicy{{Name: "own", Spec: networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, bound := range bounds {
		got = append(got, fmt.Sprint(bound.Object))
	}
	want := []string{
		"map[apiVersion:v1 kind:ResourceQuota spec:map[hard:map[pods:20]]]",
		"map[apiVersion:v1 kind:LimitRange spec:map[limits:[map[type:Container]]]]",
		"map[apiVersion:networking.k8s.io/v1 kind:NetworkPolicy metadata:map[name:own] spec:map[podSelector:map[] policyTypes:[Ingress]]]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the objects (-want +got):\n%s", diff)
	}
	if bounds, err := Bounds(&v1alpha1.Entry{}); err != nil || bounds != nil {
		t.Errorf("an entry without a template has %v %v", strings.TrimSpace(fmt.Sprint(bounds)), err)
	}
}
