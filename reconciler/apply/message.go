package apply

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/plan"
)

const (
	maxCauses = 8   // shown causes of one error
	maxCause  = 300 // bytes of one cause: some quote whole pod templates
)

// message joins the place in Git, the object, the reason and the remedy.
func message(s plan.Step, e *Error) string {
	var b strings.Builder
	if s.Object != nil && s.Object.Origin.File != "" {
		b.WriteString(s.Object.Origin.String() + ": ")
	}
	b.WriteString(s.Key.String() + ": " + reason(s, e))
	if hint := hint(s, e); hint != "" {
		b.WriteString("; " + hint)
	}
	return b.String()
}

// hint returns the remedy.
func hint(s plan.Step, e *Error) string {
	class := e.Class
	if text := remedy(s, e.Err); class == Forbidden && text != "" {
		return text
	}
	if s.Action == plan.Delete && s.Object == nil && slices.Contains(refusing, class) {
		return "remove what protects it; it is tried again within a minute"
	}
	if class == Immutable && plan.HoldsData(s.Key) {
		return "revert the change in Git; Berth does not delete what holds data to change it"
	}
	return next[class]
}

// reason returns the cause alone. For objects that may hold secrets, it has been cleared of values before.
func reason(s plan.Step, e *Error) string {
	var own *finding
	var answer apierrors.APIStatus
	switch {
	case errors.As(e.Err, &own):
		return own.text
	case meta.IsNoMatchError(e.Err):
		return fmt.Sprintf("the cluster has no kind %s in %s", s.Key.Kind, groupVersion(s))
	case errors.Is(e.Err, context.DeadlineExceeded):
		return "the API server did not answer in time"
	case !errors.As(e.Err, &answer):
		return "the API server could not be asked: " + shorten(unreachable(e.Err))
	}
	status := answer.Status()
	switch {
	case e.Class == Conflict:
		return "was changed by another client in the meantime"
	case e.Class == Terminating:
		return fmt.Sprintf("the namespace %s is being deleted", s.Key.Namespace)
	case status.Details != nil && len(status.Details.Causes) > 0 && apierrors.IsInvalid(e.Err):
		return causes(status.Details.Causes)
	}
	return shorten(gist(status.Message))
}

func groupVersion(s plan.Step) string {
	gvk, err := served(s)
	if err != nil {
		return s.Key.Group
	}
	return gvk.GroupVersion().String()
}

// causes lists the fields of a 422 with the error of each, sorted, because the server's order may be that of a map.
func causes(list []metav1.StatusCause) string {
	var texts []string
	for _, c := range list {
		text := c.Message
		if first, _, more := strings.Cut(text, "\n"); more {
			text = first // a diff follows
		}
		if c.Field != "" && c.Field != "<nil>" && c.Field != "[]" {
			text = c.Field + ": " + text
		}
		texts = append(texts, shorten(text))
	}
	slices.Sort(texts)
	texts = slices.Compact(texts)
	if more := len(texts) - maxCauses; more > 0 {
		texts = append(texts[:maxCauses], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(texts, "; ")
}

// shorten cuts the middle of a long text: the field at its start and the reason at its end matter more than the value
// between.
func shorten(text string) string {
	if len(text) <= maxCause {
		return text
	}
	head, tail := maxCause/3, len(text)-maxCause*2/3
	for !utf8.RuneStart(text[head]) {
		head--
	}
	for !utf8.RuneStart(text[tail]) {
		tail++
	}
	return text[:head] + " … " + text[tail:]
}

// mayHoldSecrets reports whether answers about an object may quote a secret.
func (r *run) mayHoldSecrets(k manifest.Key) bool {
	return r.target.Decrypted.MayHoldSecrets(k.GroupKind())
}

// withoutValues returns an error without anything that may quote the object that the step sent. Of an answer about
// its content, it keeps only the names of the fields.
func withoutValues(err error) error {
	var own *finding
	var answer apierrors.APIStatus
	if errors.As(err, &own) {
		return &finding{class: own.class, text: own.text}
	}
	if !errors.As(err, &answer) {
		return err
	}
	if isQuota(err) || isRights(err) || isMissingNamespace(err) || isWebhookDown(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return err
	}
	status := answer.Status()
	clean := metav1.Status{Status: status.Status, Code: status.Code, Reason: status.Reason, Message: withheld(status.Message)}
	if classOf(err) != Invalid && !apierrors.IsForbidden(err) {
		clean.Message = fmt.Sprintf("the API server answered %d %s", status.Code, http.StatusText(int(status.Code)))
	}
	if status.Details != nil {
		clean.Details = &metav1.StatusDetails{Name: status.Details.Name, RetryAfterSeconds: status.Details.RetryAfterSeconds}
		for _, c := range status.Details.Causes {
			text := "is refused"
			if policy := policyDenies.FindString(c.Message); policy != "" {
				text = policy
			}
			if saysImmutable(c.Message) {
				text = "field is immutable"
			}
			clean.Details.Causes = append(clean.Details.Causes, metav1.StatusCause{Type: c.Type, Field: c.Field, Message: text})
		}
	}
	return &apierrors.StatusError{ErrStatus: clean}
}
