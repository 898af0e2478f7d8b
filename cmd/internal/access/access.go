// Package access reads and writes the cluster for a viewer whose credentials the program does not have. Before each
// request it asks the API server whether the viewer may send it, and sends it only then, with the program's own rights. So
// a viewer gets what both may do.
package access

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/cache"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
)

// Age is how long an answer of the API server counts. A right that is withdrawn ends after this time.
const Age = 10 * time.Second

// maxAnswers is how many answers are kept, and asking how long one may take.
const (
	maxAnswers = 10000
	asking     = 10 * time.Second
)

// Reviews asks the API server what users may do, and keeps its answers for a while.
type Reviews struct {
	client  authorizationclient.SubjectAccessReviewInterface
	answers *cache.LRUExpireCache
	flights singleflight.Group
}

// clock makes a Clock of a function.
type clock func() time.Time

// Now returns the time.
func (c clock) Now() time.Time { return c() }

// NewReviews returns Reviews.
func NewReviews(client authorizationclient.SubjectAccessReviewInterface, now func() time.Time) *Reviews {
	return &Reviews{client: client, answers: cache.NewLRUExpireCacheWithClock(maxAnswers, clock(now))}
}

// Subject is a user with groups.
type Subject struct {
	reviews *Reviews
	user    string
	groups  []string
	key     string
}

// Of returns the subject with a name and groups. The name must not be empty: the API server would answer for the groups
// alone.
func (r *Reviews) Of(user string, groups []string) *Subject {
	text, _ := json.Marshal(append([]string{user}, groups...)) // texts can always be encoded
	sum := sha256.Sum256(text)
	return &Subject{reviews: r, user: user, groups: groups, key: string(sum[:])}
}

// May reports whether the subject may do something.
func (s *Subject) May(ctx context.Context, what authorizationv1.ResourceAttributes) (bool, error) {
	key := s.key + strings.Join([]string{what.Verb, what.Group, what.Resource, what.Subresource, what.Namespace, what.Name}, "\x00")
	if known, ok := s.reviews.answers.Get(key); ok {
		return known == true, nil
	}
	answer := s.reviews.flights.DoChan(key, func() (any, error) {
		// Another request may wait for the answer when this one is gone.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), asking)
		defer cancel()
		allowed, err := s.ask(ctx, what)
		if err == nil {
			s.reviews.answers.Add(key, allowed, Age)
		}
		return allowed, err
	})
	select {
	case result := <-answer:
		return result.Val == true && result.Err == nil, result.Err
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}

// ask asks the API server.
func (s *Subject) ask(ctx context.Context, what authorizationv1.ResourceAttributes) (bool, error) {
	if s.user == "" {
		return false, nil
	}
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: s.user, Groups: s.groups, ResourceAttributes: &what}}
	answer, err := s.reviews.client.Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return false, fmt.Errorf("cannot ask the API server what %s may do: %w", s.user, err)
	}
	return answer.Status.Allowed && !answer.Status.Denied, nil
}

// Check returns an error as the API server does, unless the subject may do something.
func (s *Subject) Check(ctx context.Context, what authorizationv1.ResourceAttributes) error {
	allowed, err := s.May(ctx, what)
	if err != nil || allowed {
		return err
	}
	return s.forbidden(what)
}

func (s *Subject) forbidden(what authorizationv1.ResourceAttributes) error {
	resource := what.Resource
	if what.Subresource != "" {
		resource += "/" + what.Subresource
	}
	where := "at the cluster scope"
	if what.Namespace != "" {
		where = fmt.Sprintf("in the namespace %q", what.Namespace)
	}
	return apierrors.NewForbidden(schema.GroupResource{Group: what.Group, Resource: resource}, what.Name,
		fmt.Errorf("user %q cannot %s resource %q in API group %q %s", s.user, what.Verb, resource, what.Group, where))
}
