package login_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"berth.dev/berth/cmd/internal/login"
	"berth.dev/berth/internal/issuertest"
)

// site is a page with a login at an issuer.
type site struct {
	*testing.T
	issuer *issuertest.Issuer
	server *httptest.Server
	door   *login.OpenID
	// later is how much the clock of the page is ahead.
	later atomic.Int64
	// secret is the client secret in the page's Secret.
	secret atomic.Value
	cause  atomic.Value // why the last browser was refused
}

// ada is a user as an issuer describes her.
func ada() map[string]any {
	return map[string]any{"email": "ada@example.com", "email_verified": true, "groups": []string{"acme/dev", "acme"}}
}

// opens starts an issuer, and a page with a login there.
func opens(t *testing.T, adjust ...func(*login.OpenIDConfig)) *site {
	t.Helper()
	s := &site{T: t, issuer: issuertest.New(t)}
	s.issuer.SetUser("ada", ada())
	s.secret.Store(issuertest.ClientSecret)
	s.server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.server.Close)
	address, err := url.Parse(s.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := login.OpenIDConfig{
		Issuer: s.issuer.URL, ClientID: issuertest.ClientID, Scopes: []string{"openid", "email"}, Claims: login.Claims{User: "email", Groups: "groups"},
		Names: login.Names{UserPrefix: "oidc:", GroupsPrefix: "oidc:"}, Page: address, Key: []byte("the key of the installation"), Life: 8 * time.Hour,
		Secrets: func(context.Context) (login.Secrets, error) {
			return login.Secrets{Client: s.secret.Load().(string)}, nil
		},
		Now: func() time.Time { return time.Now().Add(time.Duration(s.later.Load())) },
	}
	for _, change := range adjust {
		change(&c)
	}
	s.door = login.NewOpenID(c)
	return s
}

// serve shows who is logged in, and leads everybody else to the login.
func (s *site) serve(w http.ResponseWriter, r *http.Request) {
	session, err := s.door.Session(r)
	if err == nil && r.URL.Path != login.CallbackPath && r.URL.Path != login.Path {
		fmt.Fprintf(w, "%s is %s, one of %s", r.URL, session.User, strings.Join(session.Groups, " and "))
		return
	}
	if err = s.door.Enter(w, r); err == nil {
		return
	}
	s.cause.Store(err)
	refusal, ok := errors.AsType[*login.Refusal](err)
	if !ok {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	http.Error(w, refusal.Title+": "+refusal.Text, refusal.Code)
}

// browser is a browser that keeps cookies.
type browser struct {
	*site
	*http.Client
}

func (s *site) browser() *browser {
	s.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.Fatal(err)
	}
	return &browser{s, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// gets returns the status and the body of an address, and where it leads.
func (b *browser) gets(address string) (code int, body, location string) {
	b.Helper()
	request, err := http.NewRequestWithContext(b.Context(), http.MethodGet, address, nil)
	if err != nil {
		b.Fatal(err)
	}
	response, err := b.Do(request)
	if err != nil {
		b.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		b.Fatal(err)
	}
	return response.StatusCode, string(text), response.Header.Get("Location")
}

// asks opens a path of the page, and returns the address of the issuer that it leads to.
func (b *browser) asks(path string) string {
	b.Helper()
	code, body, location := b.gets(b.server.URL + path)
	if code != http.StatusSeeOther || !strings.HasPrefix(location, b.issuer.URL+"/authorize?") {
		b.Fatalf("%s answers %d %q, and leads to %q", path, code, body, location)
	}
	return location
}

// returns logs a user in at the issuer, and returns the address that leads back to the page.
func (b *browser) returns(path, user string) string {
	b.Helper()
	_, body, location := b.gets(b.asks(path) + "&login=" + user)
	if !strings.HasPrefix(location, b.server.URL+login.CallbackPath+"?") {
		b.Fatalf("the issuer says %q, and leads to %q", body, location)
	}
	return location
}

// logsIn logs a user in on the way to a path, and returns what the last address of the login answers.
func (b *browser) logsIn(path, user string) (code int, body, location string) {
	b.Helper()
	return b.gets(b.returns(path, user))
}

func TestALoginLeadsToThePageThatWasAskedFor(t *testing.T) {
	s := opens(t)
	b := s.browser()
	code, body, location := b.logsIn("/env/posts.review.a/logs?level=warn", "ada")
	if code != http.StatusSeeOther || location != "/env/posts.review.a/logs?level=warn" {
		t.Fatalf("got %d %q, to %q", code, body, location)
	}
	if _, body, _ = b.gets(s.server.URL + location); body != "/env/posts.review.a/logs?level=warn is oidc:ada@example.com, one of oidc:acme/dev and oidc:acme" {
		t.Errorf("the page says %q", body)
	}
}

// An attacker who logs in, and gives the address that leads back to another user, would have that person act as the
// attacker.
func TestALoginOfAnotherBrowserDoesNotCount(t *testing.T) {
	s := opens(t)
	attacker, victim := s.browser(), s.browser()
	back := attacker.returns("/", "ada")
	if code, body, _ := victim.gets(back); code != http.StatusBadRequest || !strings.Contains(body, "out of date") {
		t.Errorf("a browser that asked for no login gets %d %q", code, body)
	}
	victim.asks("/") // which begins a login of its own
	if code, _, _ := victim.gets(back); code != http.StatusBadRequest {
		t.Errorf("a browser with another login gets %d", code)
	}
}

func TestALoginCountsOnce(t *testing.T) {
	s := opens(t)
	b := s.browser()
	back := b.returns("/", "ada")
	if code, body, _ := b.gets(back); code != http.StatusSeeOther {
		t.Fatalf("got %d %q", code, body)
	}
	if code, _, _ := b.gets(back); code != http.StatusBadRequest {
		t.Errorf("the second time it answers %d", code)
	}
}

func TestAnswersOfIssuersThatAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		change func(url.Values)
		code   int
		says   string
	}{
		"another state":  {func(q url.Values) { q.Set("state", "another") }, http.StatusBadRequest, "out of date"},
		"no state":       {func(q url.Values) { q.Del("state") }, http.StatusBadRequest, "out of date"},
		"no code":        {func(q url.Values) { q.Del("code") }, http.StatusBadRequest, "out of date"},
		"another code":   {func(q url.Values) { q.Set("code", "another") }, http.StatusBadGateway, "did not accept the code"},
		"another issuer": {func(q url.Values) { q.Set("iss", "https://issuer.example.com") }, http.StatusBadRequest, "Another issuer answered"},
		"an error":       {func(q url.Values) { q.Set("error", "access_denied"); q.Set("error_description", "You said no") }, http.StatusForbidden, "access_denied: You said no"},
	} {
		s := opens(t)
		b := s.browser()
		back, err := url.Parse(b.returns("/", "ada"))
		if err != nil {
			t.Fatal(err)
		}
		q := back.Query()
		test.change(q)
		back.RawQuery = q.Encode()
		if code, body, _ := b.gets(back.String()); code != test.code || !strings.Contains(body, test.says) {
			t.Errorf("%s: got %d %q", name, code, body)
		}
		b.asks("/")
	}
}

func TestALoginThatTakesTooLongIsRefused(t *testing.T) {
	s := opens(t)
	b := s.browser()
	back := b.returns("/", "ada")
	s.later.Store(int64(time.Hour))
	if code, _, _ := b.gets(back); code != http.StatusBadRequest {
		t.Errorf("got %d", code)
	}
}

// A login leads to no other site.
func TestALoginLeadsToThisPageOnly(t *testing.T) {
	s := opens(t)
	for asked, want := range map[string]string{
		"//evil.example.com/":              "/evil.example.com/",
		"///evil.example.com":              "/evil.example.com",
		`/\evil.example.com`:               "/evil.example.com",
		"/%2F/evil.example.com":            "/evil.example.com",
		"/?next=https://evil.example.com":  "/?next=https://evil.example.com",
		"/" + strings.Repeat("long", 1000): "/",
		"/login":                           "/",
		"/login?to=//evil.example.com":     "/",
	} {
		b := s.browser()
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		var err error
		if request.URL, err = url.ParseRequestURI(asked); err != nil {
			t.Fatal(err)
		}
		answer := httptest.NewRecorder()
		if err := s.door.Enter(answer, request); err != nil {
			t.Fatal(err)
		}
		b.takes(answer.Result().Cookies())
		_, _, back := b.gets(answer.Header().Get("Location") + "&login=ada")
		if _, _, location := b.gets(back); location != want {
			t.Errorf("%s leads to %q, want %q", asked, location, want)
		}
	}
}

func TestAnIssuerThatDoesNotAnswer(t *testing.T) {
	asked := atomic.Int64{}
	closed := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer closed.Close()
	s := opens(t, func(c *login.OpenIDConfig) { c.Issuer = closed.URL })
	for range 20 {
		if code, body, _ := s.browser().gets(s.server.URL + "/"); code != http.StatusBadGateway || !strings.Contains(body, "cannot be reached") {
			t.Errorf("got %d %q", code, body)
		}
	}
	if n := asked.Load(); n > 2 {
		t.Errorf("it is asked %d times", n)
	}
}

func TestAnIssuerThatAnswersWithoutEnd(t *testing.T) {
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		part := []byte(strings.Repeat(" ", 1<<16))
		for range 1000 {
			if _, err := w.Write(part); err != nil {
				return
			}
		}
	}))
	defer endless.Close()
	s := opens(t, func(c *login.OpenIDConfig) { c.Issuer = endless.URL })
	if code, _, _ := s.browser().gets(s.server.URL + "/"); code != http.StatusBadGateway {
		t.Errorf("got %d", code)
	}
	if why, _ := s.cause.Load().(error); !strings.Contains(why.Error(), "too large") {
		t.Errorf("it is refused because: %v", why)
	}
}
