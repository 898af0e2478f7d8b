package web

import (
	"context"
	"sync"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
)

// rightsAge is how long an answer about the viewer's rights counts. The API server decides about each write anyway.
const rightsAge = time.Minute

// rights are the known answers about what the viewer may do.
type rights struct {
	mu    sync.Mutex
	known map[authorizationv1.ResourceAttributes]right
}

type right struct {
	allowed bool
	at      time.Time
}

// may reports whether the viewer may do something. Without an answer it reports that they may, since trying is harmless.
func (s *Server) may(ctx context.Context, what authorizationv1.ResourceAttributes) bool {
	s.rights.mu.Lock()
	known, ok := s.rights.known[what]
	s.rights.mu.Unlock()
	if ok && s.Now().Sub(known.at) < rightsAge {
		return known.allowed
	}
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &what}}
	answer, err := s.Access.Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return true
	}
	s.rights.mu.Lock()
	defer s.rights.mu.Unlock()
	if s.rights.known == nil {
		s.rights.known = map[authorizationv1.ResourceAttributes]right{}
	}
	s.rights.known[what] = right{answer.Status.Allowed, s.Now()}
	return answer.Status.Allowed
}

// change is the right to change an Environment or a Repository of the agent's namespace.
func (s *Server) change(resource, name string) authorizationv1.ResourceAttributes {
	return authorizationv1.ResourceAttributes{Namespace: s.Namespace, Verb: "patch", Group: v1alpha1.GroupVersion.Group, Resource: resource, Name: name}
}
