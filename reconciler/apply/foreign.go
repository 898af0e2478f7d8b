package apply

import (
	"context"
	"errors"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Only this file matches error texts of other programs, where their codes do not suffice. Tests check each text against a
// real API server.

// immutable are the phrases with which Kubernetes says that a field cannot be changed.
var immutable = []string{
	"is immutable",            // most kinds, and CRDs by custom
	"may not change once set", // Service
	"may not be changed",      // PriorityClass
	"cannot change roleRef",   // RoleBinding
	"are forbidden",           // "updates to parameters are forbidden": StatefulSet, StorageClass
	"may not change fields other than",
	"field can not be less than", // PersistentVolumeClaim, whose size cannot shrink
}

// saysImmutable reports whether the cause of a 422 is that a field cannot be changed.
func saysImmutable(cause string) bool {
	for _, words := range immutable {
		if strings.Contains(cause, words) {
			return words != "are forbidden" || strings.Contains(cause, "updates to")
		}
	}
	return false
}

// isQuota reports whether a 403 comes from a ResourceQuota.
func isQuota(err error) bool {
	return apierrors.IsForbidden(err) && containsAny(err.Error(), "exceeded quota: ", "failed quota: ", "insufficient quota to consume: ") ||
		isUncountedQuota(err)
}

// isUncountedQuota reports whether a 403 only means that a new ResourceQuota has not been counted yet.
func isUncountedQuota(err error) bool {
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), "status unknown for quota: ")
}

// isPodSecurity reports whether a 403 comes from the level of Pod Security that the namespace's labels set.
func isPodSecurity(err error) bool {
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), `violates PodSecurity "`)
}

// isWithoutDryRun reports whether a dry run failed because a webhook has side effects.
func isWithoutDryRun(err error) bool {
	return apierrors.IsBadRequest(err) && strings.Contains(err.Error(), "does not support dry run")
}

// missing matches admission's errors about a referenced account, priority class or runtime class that does not
// exist.
var missing = regexp.MustCompile(`error looking up service account |no PriorityClass with name \S+ was found|RuntimeClass "\S+" not found`)

// isMissing reports whether a 403 only means that a referenced object does not exist.
func isMissing(err error) bool { return apierrors.IsForbidden(err) && missing.MatchString(err.Error()) }

// rights matches RBAC's refusal: `configmaps "c" is forbidden: User "u" cannot patch resource "configmaps" in API
// group "" in the namespace "n"`. The name is missing for a creation, and the namespace for cluster-scoped objects.
var rights = regexp.MustCompile(`(?:"([^"]*)" is forbidden: )?User "([^"]*)" cannot (\S+) resource "([^"]*)" in API group "([^"]*)"(?: in the namespace "([^"]*)")?`)

// denialOf returns the user and the missing right, if that is why a request was refused.
func denialOf(err error) (denial, bool) {
	if !apierrors.IsForbidden(err) {
		return denial{}, false
	}
	m := rights.FindStringSubmatch(err.Error())
	if m == nil {
		return denial{}, false
	}
	return denial{name: m[1], user: m[2], verb: m[3], resource: m[4], group: m[5], namespace: m[6]}, true
}

// isRights reports whether a 403 comes from RBAC, and not from an admission plugin, webhook or policy.
func isRights(err error) bool {
	return apierrors.IsForbidden(err) && rights.MatchString(err.Error()) || isGranting(err)
}

// isGranting reports whether a 403 is about a Role, or a binding, that grants more than its author holds.
func isGranting(err error) bool {
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), granting)
}

// granting separates the user, with all groups, from the rules that the user may not grant.
const granting = " is attempting to grant RBAC permissions not currently held:"

// typedPatch begins the 500 for an apply that does not match the kind's schema, after a word that is cut off.
// Causes are unknown fields, wrong types and duplicate keys of a list.
const typedPatch = "to create typed patch object "

// conversion likewise begins the 500 for values that match the schema but cannot be parsed: invalid quantities or
// Base64.
const conversion = "to convert new object "

// isAuthors reports whether the author of the object caused a 500, and not the server.
func isAuthors(err error) bool {
	return containsAny(err.Error(), typedPatch, conversion) || isTooLarge(err.Error())
}

// isTooLarge reports whether etcd, or the client that the API server uses for it, refuses the size.
func isTooLarge(text string) bool {
	return containsAny(text, "etcdserver: request is too large", "trying to send message larger than max")
}

func containsAny(text string, words ...string) bool {
	for _, w := range words {
		if strings.Contains(text, w) {
			return true
		}
	}
	return false
}

// goValue matches a value of the wrong type as a typed patch's error quotes it.
var goValue = regexp.MustCompile(`&value\.valueUnstructured\{Value:(.*)\}`)

// decoding matches what precedes the field errors of a created object, after the cut below.
var decoding = regexp.MustCompile(`^\w+: (strict decoding error: )?(json: )?`)

// gist returns the reason from an answer without structured causes. It does not repeat the object's name.
func gist(text string) string {
	if _, after, ok := strings.Cut(text, typedPatch); ok {
		_, after, _ = strings.Cut(after, "): ")
		return oneLine(inOrder(goValue.ReplaceAllString(strings.TrimPrefix(after, "errors:"), "$1")))
	}
	if strings.Contains(text, conversion) {
		_, text, _ = strings.Cut(text, "unable to convert unstructured object to ")
		_, text, _ = strings.Cut(text, ": ")
		return oneLine(strings.TrimPrefix(text, "error decoding from json: "))
	}
	if isTooLarge(text) {
		return "is too large for the cluster's store"
	}
	if _, rules, ok := strings.Cut(text, granting); ok {
		return "grants what the account that applies it may not do itself: " + oneLine(rules)
	}
	for _, begin := range []string{`" is forbidden: `, `" is invalid: `, " cannot be handled as a "} {
		if _, after, ok := strings.Cut(text, begin); ok {
			text = after
			break
		}
	}
	return oneLine(decoding.ReplaceAllString(text, ""))
}

// inOrder sorts the lines of a text. A typed patch's errors have the order of a Go map, but the same mistake must
// always give the same message.
func inOrder(text string) string {
	return strings.Join(slices.Sorted(slices.Values(linesOf(text))), "\n")
}

// oneLine joins the lines of a text.
func oneLine(text string) string { return strings.Join(linesOf(text), "; ") }

// linesOf returns the non-empty lines of a text, trimmed.
func linesOf(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// unreachable returns why no answer came, without addresses and ports, which differ each time.
func unreachable(err error) string {
	var request *url.Error
	var connection *net.OpError
	switch {
	case errors.As(err, &connection):
		return connection.Err.Error()
	case errors.As(err, &request):
		return request.Err.Error()
	}
	return err.Error()
}

// isWebhookDown reports whether an admission webhook did not answer.
func isWebhookDown(err error) bool { return strings.Contains(err.Error(), "failed calling webhook ") }

// isUnanswered reports whether a request timed out, at the API server or behind it.
func isUnanswered(err error) bool {
	late := apierrors.IsTimeout(err) || isWebhookDown(err) && strings.Contains(err.Error(), context.DeadlineExceeded.Error())
	return late || errors.Is(err, context.DeadlineExceeded)
}

// fieldPath matches the beginning of a typed patch's error. Longer forms name list items by their values.
var fieldPath = regexp.MustCompile(`^\.[-.\w]+:`)

// policyDenies matches the name of the admission policy that refuses, beside text that may quote the object. A
// refusal without a binding means that the policy itself is broken. A mutating policy is only called "policy"; it
// refuses if it cannot be evaluated.
var policyDenies = regexp.MustCompile(`(ValidatingAdmissionP|p)olicy ['"]([-.\w]+)['"](?: with binding '([-.\w]+)')? denied request`)

// webhookDenies is the start of an admission webhook's refusal.
var webhookDenies = regexp.MustCompile(`admission webhook "[^"]*" denied the request`)

// isDenied reports whether an admission webhook or policy refuses, which may be lifted while the content is the same.
func isDenied(err error) bool {
	return policyDenies.MatchString(err.Error()) || webhookDenies.MatchString(err.Error())
}

// withheld returns the part of an answer about a Secret that cannot hold its values.
func withheld(text string) string {
	webhook, _, denied := strings.Cut(text, " denied the request")
	switch {
	case strings.Contains(text, typedPatch):
		if path := fieldPath.FindString(gist(text)); path != "" {
			return path + " is refused"
		}
	case strings.Contains(text, "illegal base64 data"):
		return "data is not base64"
	case isTooLarge(text):
		return gist(text)
	case denied && strings.HasPrefix(webhook, "admission webhook "):
		return webhook + " denied the request"
	case policyDenies.MatchString(text):
		return policyDenies.FindString(text)
	}
	return "its content is refused; the answer is not shown, because it may quote secret values"
}
