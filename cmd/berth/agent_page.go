package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/flowcontrol"

	"berth.dev/berth/cmd/internal/access"
	"berth.dev/berth/cmd/internal/inspect"
	"berth.dev/berth/cmd/internal/login"
	"berth.dev/berth/cmd/internal/web"
	"berth.dev/berth/reconciler/agent"
)

// pageOptions are the flags for the page that the agent serves.
type pageOptions struct {
	address, url, secret               string
	issuer, clientID                   string
	scopes                             []string
	userClaim, groupsClaim             string
	userPrefix, groupsPrefix           string
	proxyUserHeader, proxyGroupsHeader string
	session                            time.Duration
}

// The rate of the page's requests to the API server. It is apart from that of the agent, which open pages do not delay.
const (
	pageQPS   = 50
	pageBurst = 200
	// pageTailBytes is how much of logs one request reads into memory.
	pageTailBytes = 8 << 20
	// secretsAge is how old the known content of the page's Secret may be, secretsPause how long a failure counts, and
	// secretsTimeout how long one request may take.
	secretsAge     = 30 * time.Second
	secretsPause   = 2 * time.Second
	secretsTimeout = 5 * time.Second
)

func (o *pageOptions) addTo(f *pflag.FlagSet) {
	f.StringVar(&o.address, "page-address", "0", "address of the page for people, such as :8090; 0 disables it")
	f.StringVar(&o.url, "page-url", "", "address at which browsers reach the page, such as https://berth.example.com")
	f.StringVar(&o.secret, "page-secret", "berth-page", "Secret of the page in the agent's namespace, with the entries clientSecret and ca.crt for the issuer, or proxySecret for a proxy")
	f.StringVar(&o.issuer, "page-issuer", "", "address of the issuer of OpenID Connect that logs in the viewers of the page, such as https://gitlab.example.com")
	f.StringVar(&o.clientID, "page-client-id", "", "client id of the page at the issuer")
	f.StringSliceVar(&o.scopes, "page-scopes", []string{"openid", "email"}, "scopes that the page requests from the issuer")
	f.StringVar(&o.userClaim, "page-user-claim", "email", "claim of the ID token with the name of the user")
	f.StringVar(&o.groupsClaim, "page-groups-claim", "groups", "claim of the ID token with the groups of the user; empty: groups do not count")
	f.StringVar(&o.userPrefix, "page-user-prefix", "oidc:", "prefix of the names of users in RBAC")
	f.StringVar(&o.groupsPrefix, "page-groups-prefix", "oidc:", "prefix of the names of groups in RBAC")
	f.DurationVar(&o.session, "page-session", 8*time.Hour, "how long a login lasts; until it ends, changes of a user's groups at the issuer do not count")
	f.StringVar(&o.proxyUserHeader, "page-proxy-user-header", "", "header in which a proxy that authenticates names the user, instead of an issuer; requests also need the proxySecret in "+login.SecretHeader)
	f.StringVar(&o.proxyGroupsHeader, "page-proxy-groups-header", "", "header in which the proxy names the groups of the user")
}

// check returns an error for a page that no viewer could use, or that would need no login.
func (o *pageOptions) check() error {
	if o.address == "0" {
		return nil
	}
	switch {
	case o.issuer == "" && o.proxyUserHeader == "":
		return errors.New("--page-address needs a login: name an issuer with --page-issuer, or the header of a proxy with --page-proxy-user-header; the page is never served without one")
	case o.issuer != "" && o.proxyUserHeader != "":
		return errors.New("--page-issuer and --page-proxy-user-header exclude each other: choose one login")
	case o.issuer != "" && o.clientID == "":
		return errors.New("--page-issuer needs --page-client-id")
	case o.issuer != "" && o.userClaim == "":
		return errors.New("--page-user-claim is empty: users need a name")
	case o.issuer != "" && !slices.Contains(o.scopes, "openid"):
		return errors.New("--page-scopes lacks openid, without which an issuer sends no ID token")
	case o.session < time.Minute || o.session > 7*24*time.Hour:
		return fmt.Errorf("--page-session %s is not between a minute and seven days", o.session)
	}
	if _, err := addressOfPage("--page-url", o.url); err != nil {
		return err
	}
	if o.issuer != "" {
		if _, err := safeAddress("--page-issuer", o.issuer); err != nil {
			return err
		}
	}
	return login.Names{UserPrefix: o.userPrefix, GroupsPrefix: o.groupsPrefix}.Check()
}

// addressOfPage returns the public address of the page. The page is served at the root of its host.
func addressOfPage(flag, text string) (*url.URL, error) {
	u, err := safeAddress(flag, text)
	if err != nil {
		return nil, err
	}
	if strings.Trim(u.Path, "/") != "" {
		return nil, fmt.Errorf("%s %s has a path: give the page a host of its own, such as https://berth.example.com", flag, text)
	}
	u.Path, u.Host = "", strings.ToLower(u.Host)
	if port := u.Port(); u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80" {
		u.Host = strings.TrimSuffix(u.Host, ":"+port)
	}
	return u, nil
}

// safeAddress returns an address whose traffic nobody on the way can read.
func safeAddress(flag, text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%s %q is not an address such as https://berth.example.com", flag, text)
	}
	ip := net.ParseIP(u.Hostname())
	isLocal := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	if u.Scheme != "https" && !(u.Scheme == "http" && isLocal) {
		return nil, fmt.Errorf("%s %s is not encrypted: others on the network could read logins; use https", flag, text)
	}
	return u, nil
}

// publicAddress returns where people reach the page, or nothing if it is not served.
func (o *pageOptions) publicAddress() string {
	if o.address == "0" {
		return ""
	}
	return o.url
}

// serve returns what makes the page, or nil if there is none.
func (o *pageOptions) serve(cluster *rest.Config, namespace string, log *slog.Logger) func([]byte) (agent.Page, error) {
	if o.address == "0" {
		return nil
	}
	return func(key []byte) (agent.Page, error) {
		address, err := addressOfPage("--page-url", o.url)
		if err != nil {
			return nil, err
		}
		config := rest.CopyConfig(cluster)
		config.UserAgent = "berth/" + version + " page"
		config.RateLimiter = flowcontrol.NewTokenBucketRateLimiter(pageQPS, pageBurst) // of all clients together
		config.WarningHandler = rest.NoWarnings{}
		v, err := newViewer(config, namespace)
		if err != nil {
			return nil, err
		}
		secrets := (&pageSecret{secrets: v.core.Secrets(namespace), name: o.secret}).read
		p := &agentPage{kinds: memory.NewMemCacheClient(v.discovery)}
		shown := shownTo{viewer: v, kinds: p.kinds, reviews: access.NewReviews(v.kubernetes.AuthorizationV1().SubjectAccessReviews(), time.Now), log: log}
		if p.viewers, err = web.NewViewers(web.ViewersConfig{Watch: v, Namespace: namespace, Of: shown.config, Now: time.Now}); err != nil {
			return nil, err
		}
		p.Gate = web.NewGate(p.viewers, o.door(address, key, secrets, log), address, log)
		return p, nil
	}
}

// door returns how viewers log in.
func (o *pageOptions) door(page *url.URL, key []byte, secrets login.ReadSecrets, log *slog.Logger) web.Door {
	names := login.Names{UserPrefix: o.userPrefix, GroupsPrefix: o.groupsPrefix}
	if o.proxyUserHeader != "" {
		return login.NewProxy(login.ProxyConfig{UserHeader: o.proxyUserHeader, GroupsHeader: o.proxyGroupsHeader, Names: names, Key: key, Secrets: secrets})
	}
	return login.NewOpenID(login.OpenIDConfig{
		Issuer: o.issuer, ClientID: o.clientID, Scopes: o.scopes, Claims: login.Claims{User: o.userClaim, Groups: o.groupsClaim}, Names: names,
		Page: page, Key: key, Secrets: secrets, Life: o.session, Proxy: http.ProxyFromEnvironment, Now: time.Now,
		Entered: func(v login.Viewer) {
			log.Info("a viewer of the page logs in", "user", v.User, "groups", len(v.Groups))
		},
	})
}

// agentPage is the page that the agent serves.
type agentPage struct {
	*web.Gate
	viewers *web.Viewers
	kinds   discovery.CachedDiscoveryInterface
}

// Run keeps the page current until the context ends.
func (p *agentPage) Run(ctx context.Context) {
	var both sync.WaitGroup
	both.Go(func() { forget(ctx, p.kinds) })
	both.Go(func() { p.viewers.Run(ctx) })
	both.Wait()
}

// shownTo makes the pages of viewers. They read and write with the rights of the agent, after the API server has said that
// the viewer may.
type shownTo struct {
	viewer  *viewer
	kinds   discovery.DiscoveryInterface
	reviews *access.Reviews
	log     *slog.Logger
}

// config returns the page of one viewer. It has no diff, which needs the keys and the rights of the viewer.
func (s shownTo) config(who login.Viewer) web.Config {
	v, subject := s.viewer, s.reviews.Of(who.User, who.Groups)
	reader := access.Reader{Subject: subject, Own: v}
	inspector := inspect.New(inspect.Config{
		Client: reader, Discovery: s.kinds, TailBytes: pageTailBytes, Now: time.Now,
		Logs: subject.Logs(v.logs), Stream: subject.Stream(inspect.StreamOf(v.kubernetes.CoreV1())),
	})
	return web.Config{
		Client: reader, Inspector: inspector, Logs: inspector, MayRead: subject.MayRead(v.namespace),
		Actor:   &access.Actor{Subject: subject, Own: v, Namespace: v.namespace, Events: v.kubernetes.EventsV1().Events(v.namespace), Now: time.Now, Log: s.log},
		Roles:   web.Roles{Operator: "berth-operator", Administrator: "admin"},
		Explain: func(err error) error { return explainOnPage(err, v.namespace) },
	}
}

// explainOnPage adds the next step to an error.
func explainOnPage(err error, namespace string) error {
	switch {
	case err == nil || errors.Is(err, inspect.ErrNotOurs):
		return err
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%w; ask an administrator for the ClusterRole berth-viewer or berth-operator in the namespace %s", err, namespace)
	}
	return err
}

// pageSecret reads the page's Secret, and knows it for a while.
type pageSecret struct {
	secrets typedcorev1.SecretInterface
	name    string

	mu    sync.Mutex
	known login.Secrets
	at    time.Time // zero: they are not known
	// failed is when the Secret could not be read, and err why; nil if the known entries count. It counts for a moment, so
	// that people who are not logged in cannot cause many requests.
	err    error
	failed time.Time
}

// read returns the entries. If the API server does not answer, the last known ones count, unless the Secret was gone since.
func (p *pageSecret) read(ctx context.Context) (login.Secrets, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.at.IsZero() && time.Since(p.at) < secretsAge:
		return p.known, nil
	case time.Since(p.failed) < secretsPause:
		return p.known, p.err
	}
	// Other browsers wait for the answer, too: it does not depend on one that leaves.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), secretsTimeout)
	defer cancel()
	secret, err := p.secrets.Get(ctx, p.name, metav1.GetOptions{})
	switch {
	case err == nil:
		// Files and pipes often end with a line feed that is not part of the value.
		entry := func(name string) string { return strings.TrimRight(string(secret.Data[name]), "\r\n") }
		p.known, p.at = login.Secrets{Client: entry("clientSecret"), Proxy: entry("proxySecret"), Authorities: secret.Data["ca.crt"]}, time.Now()
		p.err = nil
	case !p.at.IsZero() && !apierrors.IsNotFound(err):
		p.failed, p.err = time.Now(), nil
	default:
		p.known, p.at = login.Secrets{}, time.Time{}
		p.failed, p.err = time.Now(), fmt.Errorf("reading the Secret of the page: %w", err)
	}
	return p.known, p.err
}
