package installation

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/reconciler/remote"
)

// LabelCluster marks the Secrets of other clusters in which the agent was given an account.
const LabelCluster = remote.Label

// AccountObjects returns what an agent needs in another cluster, in an order in which it can be applied: a namespace with the
// agent's account, the rights of that account outside the agent's own namespace, and the admission policies that limit them.
// They are the same objects as those of an installation; what only a running agent needs is left out.
func AccountObjects(namespace string) ([]*unstructured.Unstructured, error) {
	objects, err := Objects(Options{Namespace: namespace})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(objects, func(o *unstructured.Unstructured) bool { return !ofAccount(o) }), nil
}

// ofAccount reports whether an object is part of what an agent needs in another cluster. Its kinds are not served there, so the
// roles for users of these are left out.
func ofAccount(object *unstructured.Unstructured) bool {
	switch {
	case object.GetKind() == "Namespace" || object.GetKind() == "ServiceAccount":
		return true
	case object.GetNamespace() != "" || isDefinition(object):
		return false
	}
	for label := range object.GetLabels() {
		if strings.HasPrefix(label, "rbac.authorization.k8s.io/aggregate-to-") {
			return false
		}
	}
	return true
}

// SurveyAccount finds what an agent of another cluster has in this one, in the namespace of its account.
func (r *Remover) SurveyAccount(ctx context.Context) (*Survey, error) {
	s := &Survey{}
	for _, look := range []func(context.Context, *Survey) error{r.namespace, r.foreign, r.others, r.shared} {
		if err := look(ctx, s); err != nil {
			return nil, err
		}
	}
	s.Definitions = nil // no agent of another cluster needs or installs them
	return s, nil
}

// Others returns the namespaces of other agents that use the cluster.
func (r *Remover) Others(ctx context.Context) ([]string, error) {
	s := &Survey{}
	err := r.others(ctx, s)
	return s.Others, err
}

// RemoveAccount removes what SurveyAccount found: first the account, with which its tokens end, and its rights.
func (r *Remover) RemoveAccount(ctx context.Context, s *Survey) error {
	account := &corev1.ServiceAccount{}
	account.Namespace, account.Name = r.Namespace, product
	if err := client.IgnoreNotFound(r.Client.Delete(ctx, account)); err != nil {
		return fmt.Errorf("ServiceAccount/%s/%s: %w", r.Namespace, product, err)
	}
	r.say("ServiceAccount/%s/%s: deleted, and its tokens ended", r.Namespace, product)
	for _, step := range []func(context.Context, *Survey) error{r.deletePolicies, r.deleteBindings, r.deleteHome, r.deleteRoles, r.deleteReturned} {
		if err := step(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func (r *Remover) deleteBindings(ctx context.Context, s *Survey) error {
	return r.deleteObjects(ctx, s.Shared, func(o *unstructured.Unstructured) bool { return o.GetKind() == "ClusterRoleBinding" })
}
