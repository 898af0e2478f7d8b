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

// This file alone matches the texts of others, where they say what their codes do not. Each is tried
// against a real API server.

// immutable are the words with which validations of Kubernetes say that a field cannot be changed.
var immutable = []string{
	"is immutable",            // most kinds, and CRDs by custom
	"may not change once set", // Service
	"may not be changed",      // PriorityClass
	"cannot change roleRef",   // RoleBinding
	"are forbidden",           // "updates to parameters are forbidden": StatefulSet, StorageClass
	"may not change fields other than",
	"field can not be less than", // PersistentVolumeClaim, whose size cannot shrink
}

// saysImmutable says whether the cause of a 422 is that a field cannot be changed.
func saysImmutable(cause string) bool {
	for _, words := range immutable {
		if strings.Contains(cause, words) {
			return words != "are forbidden" || strings.Contains(cause, "updates to")
		}
	}
	return false
}

// isQuota says whether a 403 comes from a ResourceQuota.
func isQuota(err error) bool {
	return apierrors.IsForbidden(err) && containsAny(err.Error(), "exceeded quota: ", "failed quota: ", "insufficient quota to consume: ") ||
		isUncountedQuota(err)
}

// isUncountedQuota says whether a 403 only says that a new ResourceQuota has not been counted yet.
func isUncountedQuota(err error) bool {
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), "status unknown for quota: ")
}

// isPodSecurity says whether a 403 comes from the level of Pod Security that the namespace's labels set.
func isPodSecurity(err error) bool {
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), `violates PodSecurity "`)
}

// isWithoutDryRun says whether a webhook that has side effects could not be asked without having them.
func isWithoutDryRun(err error) bool {
	return apierrors.IsBadRequest(err) && strings.Contains(err.Error(), "does not support dry run")
}

// missing is how admission says that what an object names is not there: its account, priority or runtime class.
var missing = regexp.MustCompile(`error looking up service account |no PriorityClass with name \S+ was found|RuntimeClass "\S+" not found`)

// isMissing says whether a 403 only says that what the object names is not there.
func isMissing(err error) bool { return apierrors.IsForbidden(err) && missing.MatchString(err.Error()) }

// rights is RBAC's refusal: `configmaps "c" is forbidden: User "u" cannot patch resource "configmaps" in API group "" in
// the namespace "n"`. The name is left out for a creation, the namespace for what has none.
var rights = regexp.MustCompile(`(?:"([^"]*)" is forbidden: )?User "([^"]*)" cannot (\S+) resource "([^"]*)" in API group "([^"]*)"(?: in the namespace "([^"]*)")?`)

// denialOf returns who lacks which right, if that is why a request was refused.
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

// isRights says whether a 403 comes from RBAC, and not from an admission plugin, webhook or policy.
func isRights(err error) bool {
	return apierrors.IsForbidden(err) && rights.MatchString(err.Error()) || isGranting(err)
}

// isGranting says whether a 403 is about a Role, or a binding, that grants more than its author holds.
func isGranting(err error) bool {
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), granting)
}

// granting stands between who is refused a Role, with all groups, and the rules that are too much.
const granting = " is attempting to grant RBAC permissions not currently held:"

// typedPatch begins, after a word that is cut off, the 500 with which the API server answers an apply of what does not fit the kind's
// schema: unknown fields, wrong types, duplicate keys of a list.
const typedPatch = "to create typed patch object "

// conversion begins, likewise, the 500 for what fits the schema and cannot be read for all that: a quantity that
// is none, Base64 that is none.
const conversion = "to convert new object "

// isAuthors says whether a 500 is the fault of who wrote the object, and not of the server.
func isAuthors(err error) bool {
	return containsAny(err.Error(), typedPatch, conversion) || isTooLarge(err.Error())
}

// isTooLarge says whether etcd, or the client that the API server uses for it, refuses the size.
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

// goValue is how a typed patch's error quotes a value of the wrong type.
var goValue = regexp.MustCompile(`&value\.valueUnstructured\{Value:(.*)\}`)

// decoding begins, after the cut below, what is wrong with the fields of a created object.
var decoding = regexp.MustCompile(`^\w+: (strict decoding error: )?(json: )?`)

// gist returns what an answer without structured causes says, without naming the object again.
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

// inOrder sorts the lines of a text: a typed patch's errors come in the order of a Go map, and the same
// mistake must not read differently every time.
func inOrder(text string) string {
	return strings.Join(slices.Sorted(slices.Values(linesOf(text))), "\n")
}

// oneLine joins the lines of a text.
func oneLine(text string) string { return strings.Join(linesOf(text), "; ") }

// linesOf returns what stands on the lines of a text.
func linesOf(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// unreachable returns why no answer came, without addresses and ports that differ every time.
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

// isWebhookDown says whether an admission webhook did not answer; it is then named, and not what it was
// asked about.
func isWebhookDown(err error) bool { return strings.Contains(err.Error(), "failed calling webhook ") }

// isUnanswered says whether nobody answered in time: the API server us, or something else the API server.
func isUnanswered(err error) bool {
	late := apierrors.IsTimeout(err) || isWebhookDown(err) && strings.Contains(err.Error(), context.DeadlineExceeded.Error())
	return late || errors.Is(err, context.DeadlineExceeded)
}

// fieldPath begins an error of a typed patch; longer forms name list items by their values.
var fieldPath = regexp.MustCompile(`^\.[-.\w]+:`)

// policyDenies finds which admission policy refuses, beside what may quote what is refused. Without a binding, the policy
// itself is wrong; one that mutates is called "policy" only, and refuses where it cannot be evaluated.
var policyDenies = regexp.MustCompile(`(ValidatingAdmissionP|p)olicy ['"]([-.\w]+)['"](?: with binding '([-.\w]+)')? denied request`)

// webhookDenies is how the API server begins what an admission webhook has against an object.
var webhookDenies = regexp.MustCompile(`admission webhook "[^"]*" denied the request`)

// isDenied says whether an admission webhook or policy refuses, which may be lifted while the content is the same.
func isDenied(err error) bool {
	return policyDenies.MatchString(err.Error()) || webhookDenies.MatchString(err.Error())
}

// withheld returns of an answer about a Secret what surely holds none of its values.
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
	return "its content is refused; the answer may quote it and is not shown"
}
