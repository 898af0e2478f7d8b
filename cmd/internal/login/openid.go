package login

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/coreos/go-oidc/v3/oidc"
)

// The addresses of a login, below the page's.
const (
	Path         = "/login"
	CallbackPath = "/login/callback"
)

// tripLife is how long a login at the issuer may take.
const tripLife = 15 * time.Minute

// maxPath is the longest address that a login leads back to.
const maxPath = 1000

// exchangesAtOnce is how many logins ask the issuer at the same time.
const exchangesAtOnce = 8

// OpenIDConfig configures an OpenID.
type OpenIDConfig struct {
	// Issuer is the address of the issuer, and ClientID what it knows the page as.
	Issuer, ClientID string
	// Scopes are requested from the issuer.
	Scopes []string
	Claims Claims
	Names  Names
	// Page is the address at which browsers reach the page.
	Page *url.URL
	// Key is shared by all replicas.
	Key     []byte
	Secrets ReadSecrets
	// Life is how long a session lasts. Until it ends, changes of groups at the issuer do not count.
	Life time.Duration
	// Entered is called for each viewer who has logged in; nil: nothing is.
	Entered func(Viewer)
	// Proxy returns the proxy of a request to the issuer; nil: none.
	Proxy func(*http.Request) (*url.URL, error)
	Now   func() time.Time
}

// OpenID logs viewers in at an issuer, by the authorization code flow with PKCE.
type OpenID struct {
	OpenIDConfig
	issuer    issuer
	exchanges chan struct{}
}

// NewOpenID returns an OpenID. It asks the issuer for nothing before the first login.
func NewOpenID(c OpenIDConfig) *OpenID {
	return &OpenID{OpenIDConfig: c, issuer: issuer{address: c.Issuer, proxy: c.Proxy, now: c.Now}, exchanges: make(chan struct{}, exchangesAtOnce)}
}

// kept is a session in a cookie.
type kept struct {
	User    string   `json:"u"`
	Groups  []string `json:"g,omitempty"`
	Expires int64    `json:"e"`
	ID      string   `json:"i"`
}

// trip is a browser's way to the issuer and back, in a cookie.
type trip struct {
	State    string `json:"s"`
	Nonce    string `json:"n"`
	Verifier string `json:"v"`
	Path     string `json:"p"`
	Expires  int64  `json:"e"`
}

// The purposes of cookies.
const (
	forSession = "session"
	forTrip    = "login"
)

// Session returns whose request it is.
func (o *OpenID) Session(r *http.Request) (Session, error) {
	s, err := o.sealer(r.Context())
	if err != nil {
		return Session{}, unavailable(err)
	}
	none := &Refusal{Code: http.StatusUnauthorized, Title: "You are logged out", Text: "Log in to see the page."}
	cookie, err := r.Cookie(o.cookieName(forSession))
	if err != nil {
		return Session{}, none
	}
	var k kept
	expires := func() time.Time { return time.Unix(k.Expires, 0) }
	now := o.Now()
	if s.open(forSession, cookie.Value, &k) != nil || k.User == "" || !now.Before(expires()) || expires().Sub(now) > o.Life {
		return Session{}, none
	}
	return Session{Viewer: Viewer{User: k.User, Groups: k.Groups}, ID: k.ID, FormToken: s.formToken(k.ID), Expires: expires()}, nil
}

// Enter leads a browser to the issuer, or from there back to the page that it asked for.
func (o *OpenID) Enter(w http.ResponseWriter, r *http.Request) error {
	s, err := o.sealer(r.Context())
	if err != nil {
		return unavailable(err)
	}
	if r.URL.Path == CallbackPath {
		return o.finish(w, r, s)
	}
	return o.begin(w, r, s)
}

// Leave ends the session of a browser, and returns where to log out of the issuer, if that is known.
func (o *OpenID) Leave(w http.ResponseWriter) (issuer string) {
	http.SetCookie(w, o.cookie(forSession, "", -1))
	return o.issuer.endSession()
}

func (o *OpenID) begin(w http.ResponseWriter, r *http.Request, s sealer) error {
	found, err := o.found(r.Context())
	if err != nil {
		return err
	}
	t := trip{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Path: returnPath(r), Expires: o.Now().Add(tripLife).Unix()}
	sealed, err := s.seal(forTrip, t)
	if err != nil {
		return err
	}
	http.SetCookie(w, o.cookie(forTrip, sealed, int(tripLife.Seconds())))
	client := o.client(found, "")
	http.Redirect(w, r, client.AuthCodeURL(t.State, oidc.Nonce(t.Nonce), oauth2.S256ChallengeOption(t.Verifier)), http.StatusSeeOther)
	return nil
}

// finish checks the answer of the issuer, and begins a session that nobody else knows.
func (o *OpenID) finish(w http.ResponseWriter, r *http.Request, s sealer) error {
	http.SetCookie(w, o.cookie(forTrip, "", -1)) // each counts once
	t, err := o.returned(r, s)
	if err != nil {
		return err
	}
	v, err := o.exchange(r.Context(), r.URL.Query().Get("code"), t)
	if err != nil {
		return err
	}
	life := o.Life.Truncate(time.Second)
	sealed, err := s.seal(forSession, kept{User: v.User, Groups: v.Groups, Expires: o.Now().Add(life).Unix(), ID: rand.Text()})
	switch {
	case errors.Is(err, errTooLong):
		return refusedNames("You have more groups than fit into a cookie: have the issuer send fewer, or choose a claim with fewer.")
	case err != nil:
		return err
	}
	if o.Entered != nil {
		o.Entered(v)
	}
	http.SetCookie(w, o.cookie(forSession, sealed, int(life.Seconds())))
	http.Redirect(w, r, t.Path, http.StatusSeeOther)
	return nil
}

// returned returns the trip of a browser that comes back from the issuer. Without one, another site sent the browser
// here, to log it in as another user.
func (o *OpenID) returned(r *http.Request, s sealer) (trip, error) {
	old := &Refusal{Code: http.StatusBadRequest, Title: "This login is out of date", Text: "It took too long, or was begun in another tab or not at all in this browser. Log in again."}
	cookie, err := r.Cookie(o.cookieName(forTrip))
	if err != nil {
		return trip{}, old
	}
	var t trip
	q := r.URL.Query()
	if s.open(forTrip, cookie.Value, &t) != nil || t.State == "" || !equal(q.Get("state"), t.State) || o.Now().Unix() >= t.Expires {
		return trip{}, old
	}
	switch {
	case q.Has("iss") && q.Get("iss") != o.Issuer:
		return trip{}, &Refusal{Code: http.StatusBadRequest, Title: "Another issuer answered", Text: "The answer is from " + clip(q.Get("iss")) + ", not from " + o.Issuer + "."}
	case q.Get("error") != "":
		return trip{}, &Refusal{Code: http.StatusForbidden, Title: "The issuer refused the login", Text: clip(strings.TrimSpace(q.Get("error") + ": " + q.Get("error_description")))}
	case q.Get("code") == "":
		return trip{}, old
	}
	return t, nil
}

// exchange gets the ID token for a code, and returns who it is about.
func (o *OpenID) exchange(ctx context.Context, code string, t trip) (Viewer, error) {
	select {
	case o.exchanges <- struct{}{}:
		defer func() { <-o.exchanges }()
	case <-ctx.Done():
		return Viewer{}, context.Cause(ctx)
	}
	found, err := o.found(ctx)
	if err != nil {
		return Viewer{}, err
	}
	secrets, err := o.Secrets(ctx)
	if err != nil {
		return Viewer{}, unavailable(err)
	}
	ctx = oidc.ClientContext(ctx, found.http)
	token, err := o.client(found, secrets.Client).Exchange(ctx, code, oauth2.VerifierOption(t.Verifier))
	if err != nil {
		return Viewer{}, &Refusal{Code: http.StatusBadGateway, Title: "The login failed", Text: "The issuer did not accept the code of this login. Log in again; if that fails too, check the client id and the client secret.", Cause: short(err)}
	}
	claims, err := o.verified(ctx, found, token, t.Nonce)
	if err != nil {
		return Viewer{}, &Refusal{Code: http.StatusForbidden, Title: "The login failed", Text: "The ID token of the issuer is not valid. The agent's log says why.", Cause: short(err)}
	}
	v, err := o.Claims.viewer(claims, o.Names)
	if err != nil {
		return Viewer{}, refusedNames(err.Error())
	}
	return v, nil
}

func (o *OpenID) client(found *endpoints, secret string) *oauth2.Config {
	endpoint := found.provider.Endpoint()
	if secret == "" {
		endpoint.AuthStyle = oauth2.AuthStyleInParams // a public client
	}
	return &oauth2.Config{ClientID: o.ClientID, ClientSecret: secret, Endpoint: endpoint, RedirectURL: o.Page.JoinPath(CallbackPath).String(), Scopes: o.Scopes}
}

func (o *OpenID) found(ctx context.Context) (*endpoints, error) {
	secrets, err := o.Secrets(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	found, err := o.issuer.discover(ctx, secrets.Authorities)
	if err != nil {
		return nil, &Refusal{Code: http.StatusBadGateway, Title: "The issuer cannot be reached", Text: o.Issuer + " does not answer as an issuer of OpenID Connect. Try again; the agent's log says what is wrong.", Cause: short(err)}
	}
	return found, nil
}

// sealer returns the sealer of the configuration. With other names or claims, earlier sessions could name others than their
// viewers.
func (o *OpenID) sealer(ctx context.Context) (sealer, error) {
	secrets, err := o.Secrets(ctx)
	if err != nil {
		return sealer{}, err
	}
	return newSealer(o.Key, secrets.Client, fmt.Sprintf("%q", []string{o.Issuer, o.ClientID, o.Claims.User, o.Claims.Groups, o.Names.UserPrefix, o.Names.GroupsPrefix}))
}

// cookie returns a cookie of the page. Browsers have to send it when a link of another site leads here, such as the
// issuer's on the way back, and therefore SameSite is Lax. Nothing changes by following a link: forms need a token.
func (o *OpenID) cookie(purpose, value string, seconds int) *http.Cookie {
	return &http.Cookie{Name: o.cookieName(purpose), Value: value, Path: "/", MaxAge: seconds, Secure: o.isSecure(), HttpOnly: true, SameSite: http.SameSiteLaxMode}
}

// cookieName returns the name of a cookie. The prefix __Host- keeps other hosts of the same domain from setting it. On
// loopback, where there is no TLS, the port distinguishes the pages.
func (o *OpenID) cookieName(purpose string) string {
	if o.isSecure() {
		return "__Host-berth-" + purpose
	}
	return "berth-" + purpose + "-" + o.Page.Port()
}

func (o *OpenID) isSecure() bool { return o.Page.Scheme == "https" }

// returnPath returns where a login leads back to: the page that was asked for. It is always a path of this page, because a
// browser reads "//host/" as another host.
func returnPath(r *http.Request) string {
	if r.Method != http.MethodGet || r.URL.Path == Path || r.URL.Path == CallbackPath {
		return "/"
	}
	path := (&url.URL{Path: "/" + strings.TrimLeft(r.URL.Path, `/\`), RawQuery: r.URL.RawQuery}).String()
	if len(path) > maxPath || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") {
		return "/"
	}
	return path
}
