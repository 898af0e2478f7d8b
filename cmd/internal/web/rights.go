package web

import (
	"context"
	"sync"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/acting"
)

// rightsAge is how long an answer about the viewer's rights counts. The API server decides about each write anyway.
const rightsAge = time.Minute

// Own is the Actor of a viewer whose credentials the page has. Whoever may patch an object may take each action.
type Own struct {
	// Client writes with the viewer's rights.
	Client acting.Patcher
	// User returns the name of the viewer; nil: the history does not say who acted.
	User func(ctx context.Context) string
	// Access tells what the viewer may do.
	Access authorizationclient.SelfSubjectAccessReviewInterface
	// Namespace is that of Environments and Repositories.
	Namespace string
	Now       func() time.Time

	mu    sync.Mutex
	known map[authorizationv1.ResourceAttributes]right
}

type right struct {
	allowed bool
	at      time.Time
}

// May reports whether the viewer may change an object.
func (o *Own) May(ctx context.Context, _, resource, name string) (bool, error) {
	what := authorizationv1.ResourceAttributes{Namespace: o.Namespace, Verb: "patch", Group: v1alpha1.GroupVersion.Group, Resource: resource, Name: name}
	o.mu.Lock()
	known, ok := o.known[what]
	o.mu.Unlock()
	if ok && o.Now().Sub(known.at) < rightsAge {
		return known.allowed, nil
	}
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &what}}
	answer, err := o.Access.Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return false, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.known == nil {
		o.known = map[authorizationv1.ResourceAttributes]right{}
	}
	o.known[what] = right{answer.Status.Allowed, o.Now()}
	return answer.Status.Allowed, nil
}

// As returns the viewer.
func (o *Own) As(context.Context, string, string, string) (acting.Actor, error) {
	return acting.Actor{Client: o.Client, Name: "berth-ui", User: o.User}, nil
}

// may reports whether to offer an action to the viewer. Without an answer it is offered, since trying is harmless.
func (s *Server) may(ctx context.Context, verb, resource, name string) bool {
	allowed, err := s.Actor.May(ctx, verb, resource, name)
	return allowed || err != nil
}
