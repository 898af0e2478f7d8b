package checkup

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/manifest"
)

// accounts checks with the API server whether manifests from Git can be applied. The account of each environment
// needs its rights, and the agent must be allowed to impersonate it.
func (c *Checker) accounts(ctx context.Context, f *findings, environments []v1alpha1.Environment) {
	looked := 0
	for i := range environments {
		env := &environments[i]
		if env.Status.AppliedCommit == "" || isExpired(env) {
			continue // it may have no objects
		}
		looked++
		switch why, err := c.powerless(ctx, env); {
		case err != nil:
			f.unseen("accounts", "the rights of the environments' accounts (SubjectAccessReview)", err)
			return
		case why != "":
			f.add(Problem, "accounts", "%s: %s", env.Name, why)
		}
	}
	if looked > 0 && !slices.ContainsFunc(f.all, func(f Finding) bool { return f.Check == "accounts" }) {
		f.add(OK, "accounts", "the environments' accounts may write what the environments run: %d checked", looked)
	}
}

func isExpired(env *v1alpha1.Environment) bool {
	ready := meta.FindStatusCondition(env.Status.Conditions, v1alpha1.ConditionReady)
	return ready != nil && ready.Reason == v1alpha1.ReasonExpired
}

// powerless returns why nothing can be written as the account of an environment, or "" if it can.
func (c *Checker) powerless(ctx context.Context, env *v1alpha1.Environment) (string, error) {
	namespace, account := env.Spec.Namespace, cmp.Or(env.Spec.ServiceAccountName, manifest.DefaultAccount)
	acting := namespaced(namespace, "impersonate", schema.GroupResource{Resource: "serviceaccounts"})
	acting[0].Name = account
	lacking, err := c.lacking(ctx, c.Namespace, c.account, acting)
	if err != nil || len(lacking) > 0 {
		return fmt.Sprintf("the agent may not act as the account %s in the namespace %s; see docs/security.md#accounts", account, namespace), err
	}
	lacking, err = c.lacking(ctx, namespace, account, namespaced(namespace, "patch", writes...))
	switch {
	case err != nil || len(lacking) == 0:
		return "", err
	case env.Spec.ServiceAccountName == "" && c.in != nil:
		return fmt.Sprintf("%s may not %s; %s", manifest.User(namespace, account), told(lacking), c.in.Hint), nil
	case env.Spec.ServiceAccountName != "":
		return fmt.Sprintf("%s may not %s; bind it a role in that namespace: kubectl create rolebinding %s -n %s --clusterrole=berth-environment --serviceaccount=%s:%s",
			manifest.User(namespace, account), told(lacking), account, namespace, namespace, account), nil
	}
	return fmt.Sprintf("%s may not %s; the agent binds it the ClusterRole berth-environment with the next sync: berth sync %s", manifest.User(namespace, account), told(lacking), env.Name), nil
}

// policies checks the policies for what RBAC cannot express.
func (c *Checker) policies(ctx context.Context, f *findings, objects []*unstructured.Unstructured) {
	f.policies(objects, reapplyHint, func(wanted *unstructured.Unstructured) (*unstructured.Unstructured, error) {
		found := &unstructured.Unstructured{}
		found.SetGroupVersionKind(wanted.GroupVersionKind())
		return found, c.Client.Get(ctx, client.ObjectKeyFromObject(wanted), found)
	})
}

// policies compares the admission policies among the objects with those that are found. The hint is the next step if they differ.
func (f *findings) policies(objects []*unstructured.Unstructured, hint string, find func(*unstructured.Unstructured) (*unstructured.Unstructured, error)) {
	looked := 0
	var differ []string
	for _, object := range objects {
		if object.GroupVersionKind().Group != "admissionregistration.k8s.io" {
			continue
		}
		switch found, err := find(object); {
		case apierrors.IsNotFound(err):
			f.add(Problem, "policies", "%s/%s is not installed; %s", object.GetKind(), object.GetName(), hint)
			return
		case err != nil:
			f.unseen("policies", object.GetKind()+"/"+object.GetName(), err)
			return
		case !equality.Semantic.DeepEqual(found.Object["spec"], object.Object["spec"]): // the manifests state the defaults
			differ = append(differ, object.GetKind()+"/"+object.GetName())
		}
		looked++
	}
	if len(differ) > 0 {
		f.add(Warning, "policies", "%s: not as in this version; %s", strings.Join(differ, ", "), hint)
		return
	}
	f.add(OK, "policies", "%d objects limit what the agent, and others, may do with namespaces of environments", looked)
}
