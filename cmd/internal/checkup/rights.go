package checkup

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// parallel is how many requests go on at once.
const parallel = 8

// aggregated marks the roles that say what may come from Git, which an administrator may well have narrowed.
const aggregated = "berth.dev/aggregate-to-environment"

// right is one thing that an account may do.
type right struct {
	authorizationv1.ResourceAttributes
	// fromGit says that it is about what branches bring.
	fromGit bool
}

// resource is how people write what a right is about.
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

// maxResources bounds how many a message names.
const maxResources = 8

// told names rights by what they are about: "get, list secrets; create leases.coordination.k8s.io".
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
			parts = append(parts, fmt.Sprintf("and so on for %d more", len(order)-i))
			break
		}
		parts = append(parts, strings.Join(verbs[resource], ", ")+" "+resource)
	}
	return strings.Join(parts, "; ")
}

// rights asks the API server whether the agent's account has all that deploy/ grants.
func (c *Checker) rights(ctx context.Context, f *findings, objects []*unstructured.Unstructured, account string) {
	wanted, err := c.granted(objects)
	if err != nil {
		f.unseen("rights", "what deploy/ grants", err)
		return
	}
	name := "system:serviceaccount:" + c.Namespace + ":" + account
	lacking, err := c.lacking(ctx, name, wanted)
	if err != nil {
		f.unseen("rights", "the rights of the agent's account (SubjectAccessReview)", err)
		return
	}
	var own, fromGit []right
	for _, r := range lacking {
		if r.fromGit {
			fromGit = append(fromGit, r)
		} else {
			own = append(own, r)
		}
	}
	switch {
	case len(own) > 0:
		f.add(Problem, "rights", "%s may not %s: apply deploy/rbac again", name, told(own))
	case len(fromGit) > 0:
		f.add(Warning, "rights", "%s may not %s: branches cannot have these, which is fine if you narrowed berth-environment", name, told(fromGit))
	default:
		f.add(OK, "rights", "%s may do all that it needs", name)
	}
}

// granted returns what the roles of deploy/ say that are for the agent.
func (c *Checker) granted(objects []*unstructured.Unstructured) (rights []right, err error) {
	for _, object := range objects {
		namespace := ""
		switch {
		case object.GetKind() == "Role":
			namespace = c.Namespace
		case object.GetKind() != "ClusterRole" || isForPeople(object):
			continue
		}
		var role rbacv1.ClusterRole // a Role has the same rules
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &role); err != nil {
			return nil, fmt.Errorf("reading %s/%s: %w", object.GetKind(), object.GetName(), err)
		}
		for _, rule := range role.Rules {
			rights = append(rights, ruled(rule, right{ResourceAttributes: authorizationv1.ResourceAttributes{Namespace: namespace}, fromGit: role.Labels[aggregated] != ""})...)
		}
	}
	return rights, nil
}

func isForPeople(role *unstructured.Unstructured) bool {
	return role.GetLabels()["rbac.authorization.k8s.io/aggregate-to-admin"] != ""
}

// ruled returns what one rule grants.
func ruled(rule rbacv1.PolicyRule, like right) (rights []right) {
	names := rule.ResourceNames
	if len(names) == 0 {
		names = []string{""} // whatever the name
	}
	for _, group := range rule.APIGroups {
		for _, resource := range rule.Resources {
			for _, verb := range rule.Verbs {
				r := like
				r.Group, r.Verb = group, verb
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

// lacking returns those of the rights that an account does not have.
func (c *Checker) lacking(ctx context.Context, account string, wanted []right) ([]right, error) {
	var (
		all     sync.WaitGroup
		slots   = make(chan struct{}, parallel)
		refused = make([]bool, len(wanted))
		errs    = make([]error, len(wanted))
	)
	for i, r := range wanted {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			refused[i], errs[i] = c.lacks(ctx, account, r)
		})
	}
	all.Wait()
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		return nil, errs[i]
	}
	var lacking []right
	for i, r := range wanted {
		if refused[i] {
			lacking = append(lacking, r)
		}
	}
	return lacking, nil
}

func (c *Checker) lacks(ctx context.Context, account string, r right) (bool, error) {
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: account, Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + c.Namespace, "system:authenticated"},
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
