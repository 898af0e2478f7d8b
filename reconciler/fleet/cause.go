package fleet

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"
	"unicode"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"berth.dev/berth/reconciler/remote"
)

// isAnswer reports whether an error is an answer of the API server.
func isAnswer(err error) bool {
	var answer apierrors.APIStatus
	_, old := errors.AsType[*tooOldError](err)
	return old || errors.As(err, &answer)
}

// tooOldError reports the version of a cluster that Berth does not support.
type tooOldError struct{ version string }

// Error says which version is needed.
func (e *tooOldError) Error() string {
	return fmt.Sprintf("Kubernetes %s is too old: Berth needs 1.%d or newer", e.version, remote.OldestMinor)
}

// text returns what users see of an outage, after its newest error.
func (o outage) text(cluster string, newest error) string {
	since, renew := o.since.UTC().Format(time.RFC3339), fmt.Sprintf("berth cluster add %s --context CONTEXT", cluster)
	switch {
	case apierrors.IsUnauthorized(newest):
		return fmt.Sprintf("cluster %s refuses the agent's credentials since %s: %s; renew them: %s", cluster, since, causeOf(newest), renew)
	case apierrors.IsForbidden(newest):
		return fmt.Sprintf("cluster %s refuses the agent since %s: %s; grant it its rights: %s", cluster, since, causeOf(newest), renew)
	}
	if old, ok := errors.AsType[*tooOldError](newest); ok {
		return fmt.Sprintf("cluster %s cannot be used since %s: %s; upgrade the cluster", cluster, since, causeOf(old))
	}
	return fmt.Sprintf("cluster %s cannot be reached since %s: %s", cluster, since, o.cause)
}

// maxCause is the length of the longest cause, in bytes. A status shows what users can do after the cause, and is cut at its end.
const maxCause = 300

// causeOf returns the cause of an error, without what differs from one attempt to the next, such as ports and the time. The
// server may have chosen the text, so it is bounded, and all in one line.
func causeOf(err error) string {
	text := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, rawCause(err))
	if len(text) <= maxCause {
		return text
	}
	const dots = "..."
	return strings.ToValidUTF8(text[:maxCause-len(dots)], "") + dots
}

func rawCause(err error) string {
	if answer := apierrors.APIStatus(nil); errors.As(err, &answer) {
		return answer.Status().Message
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired && invalid.Cert != nil {
		return fmt.Sprintf("the certificate of its server is not valid now, but from %s to %s", invalid.Cert.NotBefore.UTC().Format(time.RFC3339), invalid.Cert.NotAfter.UTC().Format(time.RFC3339))
	}
	if failed, ok := errors.AsType[*net.OpError](err); ok {
		if failed.Op == "dial" && failed.Addr != nil {
			return fmt.Sprintf("cannot connect to %s: %v", failed.Addr, failed.Err)
		}
		return fmt.Sprintf("the connection broke: %v", failed.Err)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "its API server does not answer"
	}
	if request, ok := errors.AsType[*url.Error](err); ok {
		return request.Err.Error()
	}
	return err.Error()
}
