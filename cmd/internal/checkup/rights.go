package checkup

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"berth.dev/berth/reconciler/manifest"
)

// parallel is how many requests run at once.
const parallel = 8

// right is one permission of an account.
type right struct {
	authorizationv1.ResourceAttributes
}

// resource returns the resource in the notation of kubectl.
func (r right) resource() string {
	resource := r.Resource
	if r.Group != "" {
		resource += "." + r.Group
	}
	if r.Subresource != "" {
		resource += "/" + r.Subresource
	}
	return resource
}

// maxResources is how many resources a message names.
const maxResources = 8

// told groups rights by verbs: "get, list secrets; create leases.coordination.k8s.io".
func told(rights []right) string {
	var order []string
	verbs := map[string][]string{}
	for _, r := range rights {
		resource := r.resource()
		if verbs[resource] == nil {
			order = append(order, resource)
		}
		if !slices.Contains(verbs[resource], r.Verb) {
			verbs[resource] = append(verbs[resource], r.Verb)
		}
	}
	var parts []string
	for i, resource := range order {
		if i == maxResources {
			parts = append(parts, fmt.Sprintf("and %d more", len(order)-i))
			break
		}
		parts = append(parts, strings.Join(verbs[resource], ", ")+" "+resource)
	}
	return strings.Join(parts, "; ")
}

// rights checks with the API server that the agent's account has all rights of deploy/, and no others that it
// should not have.
func (c *Checker) rights(ctx context.Context, f *findings, objects []*unstructured.Unstructured) {
	wanted, err := c.granted(objects)
	if err != nil {
		f.unseen("rights", "what deploy/ grants", err)
		return
	}
	lacking, err := c.lacking(ctx, c.Namespace, c.account, wanted)
	if err != nil {
		f.unseen("rights", "the rights of the agent's account (SubjectAccessReview)", err)
		return
	}
	user := manifest.User(c.Namespace, c.account)
	if len(lacking) > 0 {
		f.add(Problem, "rights", "%s may not %s; %s", user, told(lacking), reapplyHint)
		return
	}
	unwanted := namespaced("", "patch", writes...)
	if refused, err := c.lacking(ctx, c.Namespace, c.account, unwanted); err == nil && len(refused) < len(unwanted) {
		f.add(Warning, "rights", "%s may write in all namespaces, although it needs to write there only as the accounts of environments; if an earlier version granted this: kubectl delete clusterrolebinding berth-environment", user)
		return
	}
	f.add(OK, "rights", "%s may do all that it needs", user)
}

// writes are kinds that every environment may have.
var writes = []schema.GroupResource{{Resource: "configmaps"}, {Resource: "secrets"}, {Resource: "services"}, {Group: "apps", Resource: "deployments"}}

// namespaced returns the right to a verb on some kinds in a namespace, or in all namespaces if it is empty.
func namespaced(namespace, verb string, kinds ...schema.GroupResource) (rights []right) {
	for _, kind := range kinds {
		rights = append(rights, right{authorizationv1.ResourceAttributes{Namespace: namespace, Verb: verb, Group: kind.Group, Resource: kind.Resource}})
	}
	return rights
}

// granted returns what deploy/ grants to the agent: the rules of its roles, and the rights to watch.
func (c *Checker) granted(objects []*unstructured.Unstructured) (rights []right, err error) {
	for _, object := range objects {
		namespace := ""
		switch {
		case object.GetName() != "berth-agent":
			continue
		case object.GetKind() == "Role":
			namespace = c.Namespace
		case object.GetKind() != "ClusterRole":
			continue
		}
		var role rbacv1.ClusterRole // a Role has the same rules
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &role); err != nil {
			return nil, fmt.Errorf("reading %s/%s: %w", object.GetKind(), object.GetName(), err)
		}
		for _, rule := range role.Rules {
			rights = append(rights, ruled(rule, namespace)...)
		}
	}
	for _, gvk := range manifest.UsualKinds() {
		if gvk.Kind == "Secret" {
			continue // the accounts of environments watch them, unless the agent has components/watch-secrets
		}
		resource, _ := meta.UnsafeGuessKindToResource(gvk)
		rights = append(rights, namespaced("", "watch", resource.GroupResource())...)
	}
	return rights, nil
}

// ruled returns the rights of one rule.
func ruled(rule rbacv1.PolicyRule, namespace string) (rights []right) {
	names := rule.ResourceNames
	if len(names) == 0 {
		names = []string{""} // any name
	}
	for _, group := range rule.APIGroups {
		for _, resource := range rule.Resources {
			for _, verb := range rule.Verbs {
				r := right{authorizationv1.ResourceAttributes{Namespace: namespace, Group: group, Verb: verb}}
				r.Resource, r.Subresource, _ = strings.Cut(resource, "/")
				for _, name := range names {
					r.Name = name
					rights = append(rights, r)
				}
			}
		}
	}
	return rights
}

// lacking returns the rights that an account lacks.
func (c *Checker) lacking(ctx context.Context, namespace, account string, wanted []right) ([]right, error) {
	refused := make([]bool, len(wanted))
	all, asking := errgroup.WithContext(ctx)
	all.SetLimit(parallel)
	for i, r := range wanted {
		all.Go(func() (err error) {
			refused[i], err = c.lacks(asking, namespace, account, r)
			return err
		})
	}
	if err := all.Wait(); err != nil {
		return nil, err
	}
	var lacking []right
	for i, r := range wanted {
		if refused[i] {
			lacking = append(lacking, r)
		}
	}
	return lacking, nil
}

func (c *Checker) lacks(ctx context.Context, namespace, account string, r right) (bool, error) {
	if c.in != nil {
		return c.lacksThere(ctx, namespace, account, r)
	}
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: manifest.User(namespace, account), Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
		ResourceAttributes: &r.ResourceAttributes,
	}}
	answer, err := c.Kubernetes.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return false, err
	}
	if answer.Status.EvaluationError != "" && !answer.Status.Allowed {
		return false, apierrors.NewInternalError(fmt.Errorf("%s", answer.Status.EvaluationError))
	}
	return !answer.Status.Allowed, nil
}

// lacksThere asks for the rights of the agent's own account in another cluster, or impersonates the account of an environment.
func (c *Checker) lacksThere(ctx context.Context, namespace, account string, r right) (bool, error) {
	client := c.Kubernetes
	if namespace != c.Namespace || account != c.account {
		var err error
		if client, err = c.in.As(manifest.User(namespace, account)); err != nil {
			return false, err
		}
	}
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &r.ResourceAttributes}}
	answer, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
	return err == nil && !answer.Status.Allowed, err
}
