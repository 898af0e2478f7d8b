package world

import (
	"context"
	"fmt"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	rbac "k8s.io/client-go/kubernetes/typed/rbac/v1"
)

// aggregate gives the aggregated ClusterRoles their rules. In other clusters a controller does this.
func (w *World) aggregate(ctx context.Context) error {
	client, err := rbac.NewForConfig(w.Cluster.RESTConfig())
	if err != nil {
		return err
	}
	list, err := client.ClusterRoles().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, role := range list.Items {
		if role.AggregationRule == nil {
			continue
		}
		if role.Rules, err = aggregated(role, list.Items); err != nil {
			return fmt.Errorf("the ClusterRole %s: %w", role.Name, err)
		}
		if _, err := client.ClusterRoles().Update(ctx, &role, metav1.UpdateOptions{FieldManager: "test"}); err != nil {
			return err
		}
	}
	return nil
}

// aggregated returns the rules of a ClusterRole: its own, or those of the roles that it selects, which may be aggregated
// too.
func aggregated(role rbacv1.ClusterRole, all []rbacv1.ClusterRole) (rules []rbacv1.PolicyRule, err error) {
	if role.AggregationRule == nil {
		return role.Rules, nil
	}
	for _, selector := range role.AggregationRule.ClusterRoleSelectors {
		selects, err := metav1.LabelSelectorAsSelector(&selector)
		if err != nil {
			return nil, err
		}
		for _, other := range all {
			if other.Name == role.Name || !selects.Matches(labels.Set(other.Labels)) {
				continue
			}
			more, err := aggregated(other, all)
			if err != nil {
				return nil, err
			}
			rules = append(rules, more...)
		}
	}
	return rules, nil
}
