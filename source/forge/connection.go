package forge

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// requestTimeout bounds one request with its answer.
	requestTimeout = 20 * time.Second
	// maxAnswer bounds an answer. A page of a hundred pull requests of GitHub has about 2.5 MB.
	maxAnswer = 16 << 20
	// maxResponseHeader bounds the headers of an answer.
	maxResponseHeader = 64 << 10
)

// connection sends requests to the API of one forge.
type connection struct {
	Config
	place
	client *http.Client
	app    *appTokens
}

func connect(c Config, at place) (*connection, error) {
	connection := &connection{Config: c, place: at}
	transport := c.Transport
	if transport == nil {
		tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12}
		if len(c.Credentials.CA) > 0 {
			pool, err := x509.SystemCertPool()
			if err != nil {
				pool = x509.NewCertPool() // a minimal image has none
			}
			if !pool.AppendCertsFromPEM(c.Credentials.CA) {
				return nil, &Error{Reason: Invalid, Op: "connect to the forge", Cause: "ca.crt holds no certificate", Hint: "it must be PEM"}
			}
			tlsConfig.RootCAs = pool
		}
		transport = &http.Transport{
			Proxy: c.Proxy, TLSClientConfig: tlsConfig, TLSHandshakeTimeout: 10 * time.Second, ForceAttemptHTTP2: true,
			IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: c.Provider.AtOnce(), MaxResponseHeaderBytes: maxResponseHeader,
		}
	}
	if c.Wrap != nil {
		transport = c.Wrap(transport)
	}
	connection.client = &http.Client{Transport: transport, CheckRedirect: connection.checkRedirect}
	if c.Provider == GitHub && c.Credentials.Token == "" {
		var err error
		if connection.app, err = newAppTokens(connection, c.Credentials.App); err != nil {
			return nil, err
		}
	}
	return connection, nil
}

func (c *connection) close() { c.client.CloseIdleConnections() }

// checkRedirect follows redirects only on the forge's own host, so that no other host gets the token. GitHub and GitLab
// redirect like this when a project was renamed.
func (c *connection) checkRedirect(next *http.Request, via []*http.Request) error {
	switch {
	case len(via) > 5:
		return &Error{Reason: Unreachable, Cause: "the forge redirects in circles"}
	case next.URL.Scheme != c.api.Scheme || !strings.EqualFold(next.URL.Host, c.api.Host):
		to := url.URL{Scheme: next.URL.Scheme, Host: next.URL.Host}
		return &Error{Reason: NotFound, Cause: "the forge redirects to " + clean(to.String(), maxQuote) + ", where the token is not sent",
			Hint: "put the address that it redirects to into spec.url or spec.feedback.url, if you trust it"}
	case next.Method != via[0].Method:
		return http.ErrUseLastResponse // net/http made a GET of it
	}
	return nil
}

// send sends a request to the API, and decodes the answer unless into is nil.
func (c *connection) send(ctx context.Context, op operation, r request) (http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	token, err := c.token(ctx)
	if err != nil {
		return nil, err
	}
	header, err := c.do(ctx, op, r, token)
	if c.app != nil && ReasonOf(err) == Unauthorized {
		c.app.forget(token)
	}
	return header, err
}

// request is a request to the API.
type request struct {
	method, path string // the path is escaped, and may have a query
	body, into   any    // nil: none
}

// do sends a request with a token. A request that is cancelled is not counted, because the forge is not the reason.
func (c *connection) do(ctx context.Context, op operation, r request, token string) (http.Header, error) {
	if c.Sent == nil {
		return c.exchange(ctx, op, r, token)
	}
	began := c.Now()
	header, err := c.exchange(ctx, op, r, token)
	if !errors.Is(ctx.Err(), context.Canceled) {
		c.Sent(ReasonOf(err), c.Now().Sub(began))
	}
	return header, err
}

// exchange sends a request with a token, and decodes the answer.
func (c *connection) exchange(ctx context.Context, does operation, r request, token string) (http.Header, error) {
	op := attempt{does, token}
	var content io.Reader
	if r.body != nil {
		encoded, err := json.Marshal(r.body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(encoded)
	}
	asked, err := http.NewRequestWithContext(ctx, r.method, c.api.String()+r.path, content)
	if err != nil {
		return nil, c.unsent(op, err)
	}
	asked.Header.Set("User-Agent", c.UserAgent)
	asked.Header.Set("Accept", "application/json")
	asked.Header.Set("Content-Type", "application/json")
	asked.Header.Set("Authorization", "Bearer "+token)
	response, err := c.client.Do(asked)
	if err != nil {
		return nil, c.unsent(op, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err == nil && len(text) > maxAnswer {
		err = errors.New("the answer is too large")
	}
	if err != nil {
		return nil, c.unsent(op, err)
	}
	if err := c.answered(op, response, text); err != nil {
		return response.Header, err
	}
	if r.into != nil && json.Unmarshal(text, r.into) != nil {
		return nil, &Error{Reason: NotFound, Op: op.does, Cause: "the answer is not that of " + string(c.Provider) + "'s API", Hint: "check spec.feedback.provider and spec.feedback.url"}
	}
	return response.Header, nil
}

// token returns the token to send.
func (c *connection) token(ctx context.Context) (string, error) {
	if c.app != nil {
		return c.app.token(ctx)
	}
	return c.Credentials.Token, nil
}

// hasNext reports whether the headers of an answer name a next page.
func hasNext(h http.Header) bool {
	return h.Get("X-Next-Page") != "" || strings.Contains(h.Get("Link"), `rel="next"`)
}
