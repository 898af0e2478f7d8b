package world

import (
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestAggregatedRolesOfAggregatedRoles(t *testing.T) {
	selecting := func(label string) *rbacv1.AggregationRule {
		return &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{{MatchLabels: map[string]string{label: "true"}}}}
	}
	labelled := func(name, label string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Name: name, Labels: map[string]string{label: "true"}}
	}
	admin := rbacv1.ClusterRole{ObjectMeta: labelled("admin", "to-admin"), AggregationRule: selecting("to-admin")}
	all := []rbacv1.ClusterRole{
		admin,
		{ObjectMeta: labelled("edit", "to-admin"), AggregationRule: selecting("to-edit")},
		{ObjectMeta: labelled("pods", "to-edit"), Rules: []rbacv1.PolicyRule{{Resources: []string{"pods"}}}},
		{ObjectMeta: labelled("roles", "to-admin"), Rules: []rbacv1.PolicyRule{{Resources: []string{"roles"}}}},
		{ObjectMeta: labelled("nodes", "to-none"), Rules: []rbacv1.PolicyRule{{Resources: []string{"nodes"}}}},
	}
	rules, err := aggregated(admin, all)
	if err != nil {
		t.Fatal(err)
	}
	if len(rules) != 2 || rules[0].Resources[0] != "pods" || rules[1].Resources[0] != "roles" {
		t.Errorf("the rules are %v, want those of pods and roles", rules)
	}
}
