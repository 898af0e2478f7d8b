package apply

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/plan"
)

// Class is the kind of an error, and determines what happens next.
type Class string

// The classes of errors.
const (
	// Invalid: the author's mistake; the same content will be refused again.
	Invalid Class = "invalid"
	// Immutable: a field that the change touches is fixed once the object exists.
	Immutable Class = "immutable"
	// Missing: an object that this one refers to does not exist.
	Missing Class = "missing"
	// Forbidden: by the account's rights or by built-in admission such as Pod Security, which may change.
	Forbidden Class = "forbidden"
	// Denied: by an admission policy or webhook, which may be lifted.
	Denied Class = "denied"
	// Quota: a quota is exhausted.
	Quota Class = "quota"
	// Conflict: the object changed since the plan saw it; another pass will see the change.
	Conflict Class = "conflict"
	// Exists: an object that is not ours stands in its place.
	Exists Class = "exists"
	// Claimed: another tool manages the object in its place.
	Claimed Class = "claimed"
	// Taken: an object is in its place and may stay there; this is no problem.
	Taken Class = "taken"
	// Terminating: the object, or its namespace, is being deleted.
	Terminating Class = "terminating"
	// Transient: may pass by itself.
	Transient Class = "transient"
	// Unanswered: the API server or a webhook timed out; may pass by itself.
	Unanswered Class = "unanswered"
	// NotServed: the API server has no such kind.
	NotServed Class = "not served"
	// Skipped: not tried, for lack of time or of the namespace.
	Skipped Class = "skipped"
	// Unprovable: a dry run cannot tell, because an admission webhook has side effects.
	Unprovable Class = "unprovable"
)

// curable are the classes that may only mean that the API server has not yet seen a recent write of ours.
var curable = []Class{Missing, Forbidden, Denied, Quota, Transient, NotServed}

// next is the remedy of each class, or what Berth does next.
var next = map[Class]string{
	Invalid:     "correct it in Git",
	Immutable:   "revert the change in Git, or re-create the object with the annotation " + manifest.AnnotationReplace + ": when-immutable",
	Missing:     "add that to Git, or correct the reference",
	Forbidden:   "ask an administrator of the cluster for the right, or for an exception",
	Denied:      "correct it in Git, or ask an administrator of the cluster for an exception",
	Quota:       "request less, or ask for a larger quota",
	Conflict:    "it is tried again",
	Exists:      "remove one of the two, or rename the one in Git",
	Terminating: "it is re-created once that is gone",
	Transient:   "it is tried again",
	Unanswered:  "it is tried again",
	NotServed:   "correct apiVersion and kind, or install what defines them",
	Unprovable:  "whether it is valid shows when it is applied",
}

// Error is the classified error of a step.
type Error struct {
	Class Class
	// Message is what users see: the place in Git, the object, the reason in the server's words, and the remedy. It never
	// holds secrets, and is the same whenever the same error occurs.
	Message string
	// RetryAfter is how long to wait before another try; zero: not known.
	RetryAfter time.Duration
	// Obstacles are the objects that block the step, as far as the answer names them. A change of one may unblock it. A key
	// without a name means all objects of its kind.
	Obstacles []manifest.Key
	// Err is the cause. It holds no secrets either.
	Err error
	// answer is the original cause. It may quote a secret, and is never shown.
	answer error
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// finding is an error that this package detects, rather than the API server.
type finding struct {
	class Class
	text  string
	cause error
}

func (f *finding) Error() string { return f.text }
func (f *finding) Unwrap() error { return f.cause }

// explain converts the error of a step to an Error.
func (r *run) explain(s plan.Step, err error) *Error {
	e := &Error{Class: classOf(err), Err: err, answer: err, Obstacles: obstaclesOf(s.Key, err)}
	if seconds, ok := apierrors.SuggestsClientDelay(err); ok && (e.Class == Transient || e.Class == Unanswered) {
		e.RetryAfter = time.Duration(seconds) * time.Second
	}
	if slices.Contains(curable, e.Class) && r.recent.cures(s, err) {
		e.Class, e.RetryAfter = Transient, settlingRetry
	}
	if r.mayHoldSecrets(s.Key) {
		e.Err = withoutValues(err)
	}
	e.Message = message(s, e)
	return e
}

// classOf classifies an error of a request, or of what came before it.
func classOf(err error) Class {
	var own *finding
	var answer apierrors.APIStatus
	switch {
	case errors.As(err, &own):
		return own.class
	case meta.IsNoMatchError(err):
		return NotServed
	case isUnanswered(err):
		return Unanswered
	case errors.Is(err, context.Canceled), !errors.As(err, &answer):
		return Transient
	}
	if isDenied(err) {
		return Denied // whatever code the policy or webhook has chosen
	}
	if isWithoutDryRun(err) {
		return Unprovable
	}
	switch answer.Status().Code {
	case http.StatusUnprocessableEntity:
		return classOfCauses(answer.Status())
	case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotAcceptable,
		http.StatusUnsupportedMediaType, http.StatusRequestEntityTooLarge:
		return Invalid
	case http.StatusUnauthorized:
		return Forbidden
	case http.StatusForbidden:
		return classOfForbidden(err)
	case http.StatusNotFound:
		return classOfNotFound(err)
	case http.StatusConflict:
		return Conflict
	case http.StatusInternalServerError:
		if isAuthors(err) {
			return Invalid
		}
	}
	return Transient
}

// classOfCauses separates 422 answers that only say "this field cannot be changed" from others.
func classOfCauses(status metav1.Status) Class {
	if status.Details == nil || len(status.Details.Causes) == 0 {
		return Invalid
	}
	for _, c := range status.Details.Causes {
		if !saysImmutable(c.Message) {
			return Invalid
		}
	}
	return Immutable
}

func classOfForbidden(err error) Class {
	switch {
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return Terminating
	case isUncountedQuota(err):
		return Transient
	case isQuota(err):
		return Quota
	case isMissing(err):
		return Missing
	}
	return Forbidden
}

// classOfNotFound determines what is missing: the namespace, which may still be created, a role, or the kind. It
// cannot be the object itself, because a write does not look it up.
func classOfNotFound(err error) Class {
	switch {
	case isMissingNamespace(err):
		return Transient
	case isMissingRole(err):
		return Missing
	}
	return NotServed
}

// isMissingNamespace reports whether the answer is that the object's namespace does not exist.
func isMissingNamespace(err error) bool { return isMissingA(err, "", "namespaces") }

// isMissingRole reports whether a binding was refused because its role does not exist. The API server names the
// resource of the binding, and the name of the role.
func isMissingRole(err error) bool {
	return isMissingA(err, rbacGroup, "rolebindings") || isMissingA(err, rbacGroup, "clusterrolebindings")
}

func isMissingA(err error, group, resource string) bool {
	var answer apierrors.APIStatus
	if !apierrors.IsNotFound(err) || !errors.As(err, &answer) {
		return false
	}
	details := answer.Status().Details
	return details != nil && details.Group == group && details.Kind == resource
}

// isOtherUID reports whether the answer is that the object has another UID than the request, or is gone.
func isOtherUID(err error) bool {
	var answer apierrors.APIStatus
	if !errors.As(err, &answer) {
		return false
	}
	if apierrors.IsConflict(err) {
		return true
	}
	details := answer.Status().Details
	return apierrors.IsInvalid(err) && details != nil && len(details.Causes) > 0 && details.Causes[0].Field == "metadata.uid"
}
