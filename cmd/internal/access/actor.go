package access

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"strings"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	eventsclient "k8s.io/client-go/kubernetes/typed/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/acting"
)

// Actor lets a subject act on Environments and Repositories, by verbs of their own: a viewer who may retry need not be able
// to pin.
type Actor struct {
	Subject *Subject
	// Own writes with the program's rights.
	Own client.Client
	// Namespace is that of Environments and Repositories.
	Namespace string
	// Events are those of the namespace. They record who acted.
	Events eventsclient.EventInterface
	Now    func() time.Time
	Log    *slog.Logger
}

// May reports whether the subject may act on an object of a resource.
func (a *Actor) May(ctx context.Context, verb, resource, name string) (bool, error) {
	return a.Subject.May(ctx, a.attributes(verb, resource, name))
}

// As returns who writes for the subject, if it may act on an object of a resource.
func (a *Actor) As(ctx context.Context, verb, resource, name string) (acting.Actor, error) {
	if err := a.Subject.Check(ctx, a.attributes(verb, resource, name)); err != nil {
		return acting.Actor{}, err
	}
	user := func(context.Context) string { return a.Subject.user }
	return acting.Actor{Client: act{Actor: a, verb: verb, resource: resource, name: name}, Name: "berth-page", User: user}, nil
}

func (a *Actor) attributes(verb, resource, name string) authorizationv1.ResourceAttributes {
	return authorizationv1.ResourceAttributes{Verb: verb, Group: v1alpha1.GroupVersion.Group, Resource: resource, Namespace: a.Namespace, Name: name}
}

// act is one permitted act. It patches the object that the permission is about, and nothing else.
type act struct {
	*Actor
	verb, resource, name string
}

// Patch changes the object.
func (a act) Patch(ctx context.Context, object client.Object, patch client.Patch, opts ...client.PatchOption) error {
	isIt := false
	switch object.(type) {
	case *v1alpha1.Environment:
		isIt = a.resource == "environments" && object.GetName() == a.name
	case *v1alpha1.Repository:
		// Whoever may sync an environment may have the branches listed for it.
		isIt = a.resource == "repositories" && object.GetName() == a.name || a.verb == "sync"
	}
	if !isIt || object.GetNamespace() != a.Namespace {
		return fmt.Errorf("%s of %s does not change %T %s/%s", a.verb, a.name, object, object.GetNamespace(), object.GetName())
	}
	if err := a.Own.Patch(ctx, object, patch, opts...); err != nil {
		return own(err)
	}
	if object.GetName() == a.name {
		a.record(ctx, object)
	}
	return nil
}

// record records who acted, in the agent's log and in an event about the object. Only the agent's account writes such
// events, so that nobody can act in the name of another viewer.
func (a act) record(ctx context.Context, object client.Object) {
	log := a.Log.With("action", a.verb, "object", a.resource+"/"+a.name, "user", a.Subject.user)
	log.Info("a viewer of the page acts")
	kind := map[string]string{"environments": "Environment", "repositories": "Repository"}[a.resource]
	event := &eventsv1.Event{
		ObjectMeta:          metav1.ObjectMeta{Name: a.name + "." + strings.ToLower(rand.Text()[:16]), Namespace: a.Namespace},
		EventTime:           metav1.NewMicroTime(a.Now()),
		ReportingController: "berth.dev/page", ReportingInstance: "berth",
		Action: a.verb, Reason: "Requested", Type: corev1.EventTypeNormal,
		Regarding: corev1.ObjectReference{APIVersion: v1alpha1.GroupVersion.String(), Kind: kind, Namespace: a.Namespace, Name: a.name, UID: object.GetUID()},
		Note:      fmt.Sprintf("%s requested %s on the page", a.Subject.user, a.verb),
	}
	if _, err := a.Events.Create(context.WithoutCancel(ctx), event, metav1.CreateOptions{}); err != nil {
		log.Warn("cannot record who acted in an event", "error", err)
	}
}
