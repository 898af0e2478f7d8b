package acting

import (
	"context"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
)

// The actions that the history of an Environment may name: by the annotation of a request, and by the field of the spec
// that is set or removed. A sync that `berth sync` finds is not among them, because a push began it.
var (
	requests = map[string]string{v1alpha1.AnnotationRetry: v1alpha1.ActionRetry, v1alpha1.AnnotationConfirmed: v1alpha1.ActionConfirm}
	sets     = map[string]string{"pin": v1alpha1.ActionPin, "suspend": v1alpha1.ActionSuspend}
	removals = map[string]string{"pin": v1alpha1.ActionUnpin, "suspend": v1alpha1.ActionResume}
)

// sign adds the annotation that says who acts. Without a name it removes the annotation, which would name another user.
func (a Actor) sign(ctx context.Context, object client.Object, annotations map[string]any, action string) {
	if _, isEnvironment := object.(*v1alpha1.Environment); !isEnvironment || action == "" {
		return
	}
	annotations[v1alpha1.AnnotationRequestedBy] = nil
	if a.User == nil {
		return
	}
	if user := a.User(ctx); user != "" {
		annotations[v1alpha1.AnnotationRequestedBy] = a.newID() + " " + action + " " + user
	}
}

// asking is how long to wait for the name of a user. An act does not depend on it.
const asking = 5 * time.Second

// Self returns a function that asks the API server for the name of the user whose credentials the client has. Without an
// answer the function returns nothing.
func Self(reviews authenticationclient.SelfSubjectReviewInterface) func(context.Context) string {
	return func(ctx context.Context) string {
		ctx, cancel := context.WithTimeout(ctx, asking)
		defer cancel()
		review, err := reviews.Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
		if err != nil {
			return ""
		}
		return review.Status.UserInfo.Username
	}
}
