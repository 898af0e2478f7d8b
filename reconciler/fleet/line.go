package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/connrotation"

	"berth.dev/berth/reconciler/apply"
	"berth.dev/berth/reconciler/remote"
)

const (
	// requestTime is how long a request may take, except a watch.
	requestTime = 30 * time.Second
	// slowTime is after what time without an answer it is doubtful whether the cluster still answers.
	slowTime = 5 * time.Second
)

// line sends the requests to one cluster. While it is shut, it sends none, and they fail at once.
type line struct {
	config *rest.Config
	dialer *connrotation.Dialer
	// next sends requests; fenced sends only those that this agent may still make.
	next, fenced http.RoundTripper
	suspect      func()

	mu     sync.Mutex
	closed error // why it is shut
}

var (
	errNotConnected = errors.New("the cluster is not connected yet")
	errNoAnswer     = fmt.Errorf("no answer within %s", requestTime)
)

// newLine returns the line of a link, which is shut.
func newLine(l *link) (*line, error) {
	f := l.member.fleet
	config := rest.CopyConfig(l.config.REST)
	config.UserAgent = f.UserAgent
	config.WarningHandlerWithContext = apply.Warnings{}
	dial := config.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: answerTime}).DialContext
	}
	dialer := connrotation.NewDialer(dial)
	config.Dial = dialer.DialContext
	next, err := rest.TransportFor(config)
	if err != nil {
		return nil, err
	}
	return &line{config: config, dialer: dialer, next: next, fenced: f.Fence(next), suspect: l.suspect, closed: errNotConnected}, nil
}

func (l *line) client() *http.Client { return over(l) }

// over returns a client of a transport that follows no redirect: credentials would follow it, too.
func over(transport http.RoundTripper) *http.Client {
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// open lets requests pass, and reports whether it was shut before.
func (l *line) open() bool {
	was := l.why()
	l.shut(nil)
	return was != nil
}

// shut makes all later requests fail with an error.
func (l *line) shut(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = why
}

func (l *line) why() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// probe asks the cluster for its identity, also while the line is shut. Then it also asks whether the agent may list its
// namespaces, and for its version.
func (l *line) probe(ctx context.Context) (types.UID, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	core, err := typedcorev1.NewForConfigAndClient(l.config, over(apply.Unretried(l.next)))
	if err != nil {
		return "", err
	}
	identity, err := remote.Identity(ctx, core)
	if err != nil || l.why() == nil {
		return identity, err
	}
	if _, err := core.Namespaces().List(ctx, metav1.ListOptions{Limit: 1}); err != nil {
		return identity, err
	}
	return identity, supported(ctx, core)
}

// supported returns an error if the cluster is too old. A cluster that does not show its version is used.
func supported(ctx context.Context, core typedcorev1.CoreV1Interface) error {
	server, err := remote.Version(ctx, core)
	if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if minor, known := remote.Minor(server); known && minor < remote.OldestMinor {
		return &tooOldError{server.GitVersion}
	}
	return nil
}

// RoundTrip sends a request, unless the line is shut.
func (l *line) RoundTrip(r *http.Request) (*http.Response, error) {
	if why := l.why(); why != nil {
		if r.Body != nil {
			_ = r.Body.Close() // as a transport does, whatever comes of the request
		}
		return nil, why
	}
	parent := r.Context()
	ctx, cancel := context.WithCancelCause(parent)
	slow, limit := time.AfterFunc(slowTime, l.suspect), time.AfterFunc(requestTime, func() { cancel(errNoAnswer) })
	if lasts(r) {
		limit.Stop()
	}
	answer, err := l.fenced.RoundTrip(r.WithContext(ctx))
	slow.Stop()
	if err != nil {
		limit.Stop()
		cause := context.Cause(ctx)
		cancel(nil)
		return nil, l.failed(parent, err, cause)
	}
	if isDoubtful(answer.StatusCode) {
		l.suspect()
	}
	answer.Body = &limited{ReadCloser: answer.Body, end: func() { limit.Stop(); cancel(nil) }}
	return answer, nil
}

// failed returns the error of a request that got no answer. It is none that client-go retries by itself: the watches and the
// passes decide when to try again.
func (l *line) failed(parent context.Context, err, cause error) error {
	if parent.Err() != nil {
		return err
	}
	l.suspect()
	if cause != nil {
		err = cause
	}
	return errors.New(causeOf(err))
}

// lasts reports whether a request is answered bit by bit, for as long as its sender wants.
func lasts(r *http.Request) bool {
	query := r.URL.Query()
	return query.Has("watch") || query.Has("follow")
}

// isDoubtful reports whether an answer may not be that of the cluster's API server, or may mean that it accepts no credentials.
func isDoubtful(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// limited is the body of an answer. Closing it ends what limits the request.
type limited struct {
	io.ReadCloser
	end func()
}

// Close closes the body.
func (l *limited) Close() error {
	defer l.end()
	return l.ReadCloser.Close()
}
