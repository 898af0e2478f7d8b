package login

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/coreos/go-oidc/v3/oidc"
)

// The limits of requests to an issuer: their time, the size of an answer, and when an issuer that did not answer is asked
// again.
const (
	issuerTimeout = 10 * time.Second
	issuerBytes   = 1 << 20
	issuerPause   = 5 * time.Second
)

// maxText is how many bytes of a text of an issuer are shown or logged.
const maxText = 300

// issuer finds out where the endpoints of an issuer are.
type issuer struct {
	address string
	proxy   func(*http.Request) (*url.URL, error)
	now     func() time.Time

	mu    sync.Mutex
	known *endpoints
	// err is why the endpoints are not known, at a time.
	err error
	at  time.Time
}

// endpoints are those of an issuer, and a client for them.
type endpoints struct {
	provider    *oidc.Provider
	http        *http.Client
	endSession  string
	authorities [sha256.Size]byte
}

// discover returns the endpoints. The first login asks for them; a failure counts for some seconds, so that browsers
// without a session cannot cause many requests.
func (i *issuer) discover(ctx context.Context, authorities []byte) (*endpoints, error) {
	sum := sha256.Sum256(authorities)
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.known != nil && i.known.authorities == sum {
		return i.known, nil
	}
	if i.err != nil && i.now().Sub(i.at) < issuerPause {
		return nil, i.err
	}
	client, err := i.client(authorities)
	if err != nil {
		return nil, err
	}
	// Another browser may wait for the answer when this one is gone.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), issuerTimeout)
	defer cancel()
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, client), i.address)
	if err != nil {
		i.err, i.at = err, i.now()
		return nil, err
	}
	found := &endpoints{provider: provider, http: client, authorities: sum}
	var more struct {
		EndSession string `json:"end_session_endpoint"`
	}
	if provider.Claims(&more) == nil && strings.HasPrefix(more.EndSession, "https://") {
		found.endSession = more.EndSession
	}
	i.known, i.err = found, nil
	return found, nil
}

// endSession returns where to log out of the issuer, if that is known.
func (i *issuer) endSession() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.known == nil {
		return ""
	}
	return i.known.endSession
}

// client returns a client for requests to the issuer only.
func (i *issuer) client(authorities []byte) (*http.Client, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, err
	}
	if len(authorities) > 0 && !roots.AppendCertsFromPEM(authorities) {
		return nil, errors.New("ca.crt in the Secret of the page has no certificate in PEM")
	}
	transport := &http.Transport{
		Proxy: i.proxy, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true,
		TLSHandshakeTimeout: issuerTimeout, ResponseHeaderTimeout: issuerTimeout, MaxIdleConns: 4, IdleConnTimeout: time.Minute,
	}
	return &http.Client{Transport: bounded{transport}, Timeout: issuerTimeout, CheckRedirect: sameHost}, nil
}

func sameHost(r *http.Request, via []*http.Request) error {
	if len(via) > 3 || r.URL.Host != via[0].URL.Host || r.URL.Scheme != via[0].URL.Scheme {
		return fmt.Errorf("the issuer redirects from %s to %s", via[0].URL.Host, r.URL.Host)
	}
	return nil
}

// bounded limits the size of answers.
type bounded struct{ next http.RoundTripper }

// RoundTrip sends a request.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.next.RoundTrip(r)
	if err == nil {
		answer.Body = http.MaxBytesReader(nil, answer.Body, issuerBytes)
	}
	return answer, err
}

// verified returns the claims of the ID token that came with an access token, if the issuer signed it for this client and
// this login.
func (o *OpenID) verified(ctx context.Context, found *endpoints, token *oauth2.Token, nonce string) (map[string]json.RawMessage, error) {
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return nil, errors.New("the issuer sent no ID token; request the scope openid")
	}
	id, err := found.provider.Verifier(&oidc.Config{ClientID: o.ClientID, Now: o.Now}).Verify(ctx, raw)
	if err != nil {
		return nil, err
	}
	if id.Nonce == "" || !equal(id.Nonce, nonce) {
		return nil, errors.New("the ID token is of another login")
	}
	var party struct {
		AZP string `json:"azp"`
	}
	if err := id.Claims(&party); err != nil {
		return nil, err
	}
	if party.AZP != o.ClientID && (party.AZP != "" || len(id.Audience) > 1) {
		return nil, fmt.Errorf("the ID token was issued to %q", clip(party.AZP))
	}
	if id.AccessTokenHash != "" {
		if err := id.VerifyAccessToken(token.AccessToken); err != nil {
			return nil, err
		}
	}
	claims := map[string]json.RawMessage{}
	return claims, id.Claims(&claims)
}

// short returns an error with a text that is not too long, and that has no bodies of answers after the first line.
func short(err error) error {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return errors.New(clip(line))
}

func clip(text string) string {
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText], "") + "…"
}
