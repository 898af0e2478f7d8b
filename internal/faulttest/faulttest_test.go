package faulttest

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

// patience is how long a test waits for what must happen.
const patience = time.Minute

// place is a server, and a client that reaches it through a link.
type place struct {
	t      *testing.T
	link   *Link
	config *rest.Config
	client *http.Client
}

func settle(t *testing.T) *place {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	t.Cleanup(server.Close)
	certificate := pemOf(server.Certificate())
	config := &rest.Config{Host: server.URL, TLSClientConfig: rest.TLSClientConfig{CAData: certificate}}
	p := &place{t: t, link: To(t, config)}
	p.config = p.link.Config(config)
	var err error
	if p.client, err = rest.HTTPClientFor(p.config); err != nil {
		t.Fatal(err)
	}
	return p
}

// get sends a request through the link.
func (p *place) get(ctx context.Context) (status int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.config.Host, nil)
	if err != nil {
		return 0, err
	}
	response, err := p.client.Do(request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

// answers expects an answer. A connection that a change of the fault closed may fail one request.
func (p *place) answers(want int) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	got, err := p.get(ctx)
	for err != nil && ctx.Err() == nil {
		got, err = p.get(ctx)
	}
	if err != nil || got != want {
		p.t.Errorf("the answer is %d, %v, want %d", got, err, want)
	}
}

func TestALinkThatIsCutRefuses(t *testing.T) {
	p := settle(t)
	p.answers(http.StatusNoContent)
	p.link.Cut()
	if status, err := p.get(t.Context()); err == nil {
		t.Errorf("a request through a link that is cut has the answer %d", status)
	}
	p.link.Mend()
	p.answers(http.StatusNoContent)
}

func TestALinkThatBreaksWorksAgain(t *testing.T) {
	p := settle(t)
	p.answers(http.StatusNoContent)
	p.link.Break()
	p.answers(http.StatusNoContent)
}

func TestALinkThatHangsDeliversLater(t *testing.T) {
	p := settle(t)
	p.answers(http.StatusNoContent)
	p.link.Hang()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { _, err := p.get(ctx); ended <- err }()
	go func() { _, err := p.get(t.Context()); ended <- err }()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("a request through a link that hangs ended with %v", err)
	}
	p.link.Mend()
	if err := <-ended; err != nil {
		t.Errorf("a request that waited for the link ended with %v", err)
	}
}

func TestALinkCanBeSlow(t *testing.T) {
	p := settle(t)
	const delay = 50 * time.Millisecond
	p.link.Delay(delay)
	began := time.Now()
	p.answers(http.StatusNoContent)
	if took := time.Since(began); took < 2*delay {
		t.Errorf("a request took %s, although each direction takes %s", took, delay)
	}
}

func TestAnotherServerAnswers(t *testing.T) {
	p := settle(t)
	p.answers(http.StatusNoContent)
	p.link.Answer(http.StatusServiceUnavailable)
	p.answers(http.StatusServiceUnavailable)
	p.link.Answer(http.StatusTooManyRequests)
	p.answers(http.StatusTooManyRequests)
	p.link.Mend()
	p.answers(http.StatusNoContent)
}

func TestACertificateExpires(t *testing.T) {
	p := settle(t)
	p.answers(http.StatusNoContent)
	p.link.Expire()
	_, err := p.get(t.Context())
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); !ok || invalid.Reason != x509.Expired {
		t.Errorf("a request to a server with an expired certificate ended with %v", err)
	}
	p.link.Mend()
	p.answers(http.StatusNoContent)
}

func pemOf(certificate *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})
}
