package login_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/cmd/internal/login"
	"berth.dev/berth/internal/issuertest"
)

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
			b.asks("/") // without a login
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
