package login_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/cmd/internal/login"
)

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

// returnsAgain logs in another user in a browser with a session.
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
