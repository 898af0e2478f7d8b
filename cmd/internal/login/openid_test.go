package login_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
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

func TestCookiesAreForThePageOnly(t *testing.T) {
	s := opens(t, func(c *login.OpenIDConfig) { c.Page = &url.URL{Scheme: "https", Host: "berth.example.com"} })
	answer := httptest.NewRecorder()
	if err := s.door.Enter(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://berth.example.com/", nil)); err != nil {
		t.Fatal(err)
	}
	for _, cookie := range answer.Result().Cookies() {
		if !strings.HasPrefix(cookie.Name, "__Host-") || !cookie.Secure || !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || cookie.Path != "/" || cookie.Domain != "" {
			t.Errorf("the cookie is %s", cookie)
		}
	}
	if n := len(answer.Result().Cookies()); n != 1 {
		t.Errorf("there are %d cookies", n)
	}
}

// Whatever a token says, it counts only if the issuer signed it, for this page and this login, and if it names the user.
func TestTokensThatAreRefused(t *testing.T) {
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	signed := func(key any) func(map[string]any) string {
		return func(claims map[string]any) string {
			text, err := issuertest.Sign(key, claims)
			if err != nil {
				t.Error(err)
			}
			return text
		}
	}
	unsigned := func(header string) func(map[string]any) string {
		return func(claims map[string]any) string {
			text, _ := json.Marshal(claims)
			return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString(text) + "."
		}
	}
	set := func(name string, value any) func(map[string]any) {
		return func(claims map[string]any) { claims[name] = value }
	}
	without := func(name string) func(map[string]any) { return func(claims map[string]any) { delete(claims, name) } }
	huge := make([]string, 600)
	for n := range huge {
		huge[n] = rand.Text()
	}
	for name, test := range map[string]struct {
		change func(map[string]any)
		forge  func(map[string]any) string
		says   string
	}{
		"signed by another key":        {nil, signed(other), "failed to verify"},
		"signed by a shared secret":    {nil, signed([]byte(issuertest.ClientSecret)), "unexpected signature algorithm"},
		"not signed":                   {nil, unsigned(`{"alg":"none"}`), "unexpected signature algorithm"},
		"not signed, in other letters": {nil, unsigned(`{"alg":"NonE"}`), "unexpected signature algorithm"},
		"no token":                     {nil, func(map[string]any) string { return "" }, "malformed jwt"},
		"expired":                      {set("exp", time.Now().Add(-time.Minute).Unix()), nil, "token is expired"},
		"for another client":           {set("aud", "another"), nil, "expected audience"},
		"for two clients":              {set("aud", []string{issuertest.ClientID, "another"}), nil, "was issued to"},
		"issued to another":            {set("azp", "another"), nil, `was issued to "another"`},
		"of another issuer":            {set("iss", "https://issuer.example.com"), nil, "issued by a different provider"},
		"of another login":             {set("nonce", "another"), nil, "of another login"},
		"without a nonce":              {without("nonce"), nil, "of another login"},
		"without a user":               {without("email"), nil, "he claim email is not a name"},
		"an empty user":                {set("email", ""), nil, "he claim email is not a name"},
		"a user of spaces":             {set("email", "  "), nil, "he name of a user is empty"},
		"a number as user":             {set("email", 42), nil, "he claim email is not a name"},
		"null as user":                 {set("email", nil), nil, "he claim email is not a name"},
		"an unverified address":        {set("email_verified", false), nil, "not verified"},
		"a verified address in words":  {set("email_verified", "true"), nil, "not verified"},
		"without groups":               {without("groups"), nil, "has no claim groups"},
		"null as groups":               {set("groups", nil), nil, "not a list of names"},
		"an object as groups":          {set("groups", map[string]any{"acme": true}), nil, "not a list of names"},
		"a number as group":            {set("groups", []any{"acme", 1}), nil, "not a list of names"},
		"null as group":                {set("groups", []any{"acme", nil}), nil, "not a list of names"},
		"an empty group":               {set("groups", []string{"acme", ""}), nil, "he name of a group is empty"},
		"an empty text as groups":      {set("groups", ""), nil, "he name of a group is empty"},
		"a group with a line feed":     {set("groups", []string{"acme\nsystem:masters"}), nil, "cannot be seen"},
		"a user that is reversed":      {set("email", "a\u202edb@example.com"), nil, "cannot be seen"},
		"a very long name":             {set("email", strings.Repeat("a", 300)), nil, "more than 256"},
		"very many groups":             {set("groups", huge), nil, "more than 500"},
		"more groups than a cookie":    {set("groups", huge[:300]), nil, "fit into a cookie"},
	} {
		t.Run(name, func(t *testing.T) {
			s := opens(t)
			s.issuer.Change(test.change)
			s.issuer.Forge(test.forge)
			b := s.browser()
			code, body, _ := b.logsIn("/", "ada")
			if code < 400 {
				t.Fatalf("got %d %q", code, body)
			}
			if why, _ := s.cause.Load().(error); !strings.Contains(why.Error(), test.says) {
				t.Errorf("it is refused because: %v", why)
			}
			b.asks("/") // nobody is logged in
		})
	}
}

// No issuer can name a user or a group of Kubernetes itself.
func TestReservedNamesAreRefused(t *testing.T) {
	for name, change := range map[string]func(map[string]any){
		"group": func(c map[string]any) { c["groups"] = []string{"acme", "system:masters"} },
		"user":  func(c map[string]any) { c["email"] = "system:serviceaccount:berth:berth" },
	} {
		t.Run(name, func(t *testing.T) {
			s := opens(t, func(c *login.OpenIDConfig) { c.Names = login.Names{} })
			s.issuer.Change(change)
			if code, body, _ := s.browser().logsIn("/", "ada"); code != http.StatusForbidden || !strings.Contains(body, "reserved for Kubernetes") {
				t.Errorf("without a prefix it answers %d %q", code, body)
			}
		})
	}
	if err := (login.Names{UserPrefix: "oidc:", GroupsPrefix: "system:"}).Check(); err == nil {
		t.Error("a prefix may be reserved")
	}
}

func TestAUserWithoutGroupsHasNone(t *testing.T) {
	for name, groups := range map[string]any{"an empty list": []string{}, "one name": "acme"} {
		s := opens(t)
		s.issuer.Change(func(c map[string]any) { c["groups"] = groups })
		if code, body, _ := s.browser().logsIn("/", "ada"); code != http.StatusSeeOther {
			t.Errorf("%s: got %d %q", name, code, body)
		}
	}
}

// An attacker who logs in, and gives the address that leads back to somebody else, would have that person act as the
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

func TestSessionsEnd(t *testing.T) {
	for name, end := range map[string]func(*site, *browser){
		"with time":               func(s *site, _ *browser) { s.later.Store(int64(8*time.Hour + time.Second)) },
		"with the client secret":  func(s *site, _ *browser) { s.secret.Store("another") },
		"when the viewer leaves":  func(s *site, b *browser) { b.leaves() },
		"with other prefixes":     func(s *site, _ *browser) { s.door.Names.GroupsPrefix = "gitlab:" },
		"with another claim":      func(s *site, _ *browser) { s.door.Claims.Groups = "groups_direct" },
		"with a shorter life":     func(s *site, _ *browser) { s.door.Life = time.Hour },
		"with the key of a login": func(s *site, b *browser) { b.takes(s.otherInstallation()) },
	} {
		t.Run(name, func(t *testing.T) {
			s := opens(t)
			b := s.browser()
			b.logsIn("/", "ada")
			if _, body, _ := b.gets(s.server.URL + "/"); !strings.Contains(body, "oidc:ada@example.com") {
				t.Fatalf("it begins with %q", body)
			}
			end(s, b)
			b.asks("/")
		})
	}
}

// leaves does what the answer to a logout says.
func (b *browser) leaves() {
	answer := httptest.NewRecorder()
	b.door.Leave(answer)
	b.takes(answer.Result().Cookies())
}

func (b *browser) takes(cookies []*http.Cookie) {
	at, err := url.Parse(b.server.URL)
	if err != nil {
		b.Fatal(err)
	}
	b.Jar.SetCookies(at, cookies)
}

func (b *browser) cookies() []*http.Cookie {
	at, err := url.Parse(b.server.URL)
	if err != nil {
		b.Fatal(err)
	}
	return b.Jar.Cookies(at)
}

// otherInstallation returns the session cookie of a page with another key.
func (s *site) otherInstallation() []*http.Cookie {
	other := opens(s.T, func(c *login.OpenIDConfig) { c.Key = []byte("another key") })
	b := other.browser()
	b.logsIn("/", "ada")
	cookies := b.cookies()
	for n := range cookies { // both pages are at loopback addresses, with the port in the name
		cookies[n].Name = s.browserCookie()
	}
	return cookies
}

// browserCookie returns the name of the session cookie.
func (s *site) browserCookie() string {
	b := s.browser()
	b.logsIn("/", "ada")
	return b.cookies()[0].Name
}

// A login gives the browser a session that nobody could know before.
func TestEachLoginHasASessionOfItsOwn(t *testing.T) {
	s := opens(t)
	b := s.browser()
	b.logsIn("/", "ada")
	first := b.cookies()[0].Value
	s.issuer.SetUser("eve", map[string]any{"email": "eve@example.com", "groups": []string{}})
	b.returnsAgain("eve")
	if second := b.cookies()[0].Value; second == first {
		t.Error("the session stays the same")
	}
	if _, body, _ := b.gets(s.server.URL + "/"); !strings.Contains(body, "oidc:eve@example.com") {
		t.Errorf("the page says %q", body)
	}
}

// returnsAgain logs in somebody else in a browser with a session.
func (b *browser) returnsAgain(user string) {
	b.Helper()
	_, _, back := b.gets(b.asks(login.Path) + "&login=" + user)
	if code, body, _ := b.gets(back); code != http.StatusSeeOther {
		b.Fatalf("got %d %q", code, body)
	}
}

func TestCookiesThatWereChangedDoNotCount(t *testing.T) {
	s := opens(t)
	b := s.browser()
	b.logsIn("/", "ada")
	good := b.cookies()[0]
	values := map[string]string{
		"empty": "", "not encoded": "%%%", "short": "YQ", "text": base64.RawURLEncoding.EncodeToString([]byte(`{"u":"oidc:root","e":9999999999,"i":"x"}`)),
		"long": strings.Repeat("A", 4000), "cut off": good.Value[:len(good.Value)-4],
	}
	raw, err := base64.RawURLEncoding.DecodeString(good.Value)
	if err != nil {
		t.Fatal(err)
	}
	for n := range raw {
		raw[n] ^= 1
		values[fmt.Sprintf("byte %d", n)] = base64.RawURLEncoding.EncodeToString(raw)
		raw[n] ^= 1
	}
	// What a login on its way has is sealed with the same key.
	other := s.browser()
	other.asks("/")
	values["a login on its way"] = other.cookies()[0].Value
	for name, value := range values {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, s.server.URL+"/", nil)
		request.AddCookie(&http.Cookie{Name: good.Name, Value: value})
		if session, err := s.door.Session(request); err == nil {
			t.Errorf("%s: it is the session of %s", name, session.User)
		}
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

func TestARefusedTokenIsNotShown(t *testing.T) {
	s := opens(t)
	var token string
	s.issuer.Forge(func(claims map[string]any) string {
		all := maps.Clone(claims)
		all["aud"] = "another"
		token, _ = issuertest.Sign(s.issuer.Key, all)
		return token
	})
	_, body, _ := s.browser().logsIn("/", "ada")
	why, _ := s.cause.Load().(error)
	for _, text := range []string{body, why.Error()} {
		if strings.Contains(text, token) || strings.Contains(text, issuertest.ClientSecret) {
			t.Errorf("it says %q", text)
		}
	}
}
