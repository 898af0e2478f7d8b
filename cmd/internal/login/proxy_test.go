package login_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"berth.dev/berth/cmd/internal/login"
)

const proxySecret = "what only the proxy knows"

func behind(secret string) *login.Proxy {
	return login.NewProxy(login.ProxyConfig{
		UserHeader: "X-Forwarded-Email", GroupsHeader: "X-Forwarded-Groups", Names: login.Names{UserPrefix: "sso:", GroupsPrefix: "sso:"}, Key: []byte("a key"),
		Secrets: func(context.Context) (login.Secrets, error) { return login.Secrets{Proxy: secret}, nil },
	})
}

func asked(t *testing.T, headers map[string][]string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	for name, values := range headers {
		for _, value := range values {
			r.Header.Add(name, value)
		}
	}
	return r
}

func TestAProxySaysWhoAsks(t *testing.T) {
	session, err := behind(proxySecret).Session(asked(t, map[string][]string{
		login.SecretHeader: {proxySecret}, "X-Forwarded-Email": {"ada@example.com"}, "X-Forwarded-Groups": {"acme/dev, acme", "ops"},
	}))
	if err != nil || session.User != "sso:ada@example.com" || !slices.Equal(session.Groups, []string{"sso:acme/dev", "sso:acme", "sso:ops"}) || session.FormToken == "" {
		t.Errorf("got %+v, %v", session, err)
	}
}

// Whoever reaches the page without the proxy can send the same headers.
func TestOnlyTheProxySaysWhoAsks(t *testing.T) {
	user, groups := []string{"ada@example.com"}, []string{"acme"}
	for name, test := range map[string]struct {
		secret  string
		headers map[string][]string
		says    string
	}{
		"no secret":               {proxySecret, map[string][]string{"X-Forwarded-Email": user, "X-Forwarded-Groups": groups}, "only through its proxy"},
		"another secret":          {proxySecret, map[string][]string{login.SecretHeader: {"another"}, "X-Forwarded-Email": user}, "only through its proxy"},
		"the secret twice":        {proxySecret, map[string][]string{login.SecretHeader: {proxySecret, "another"}, "X-Forwarded-Email": user}, "only through its proxy"},
		"an empty secret":         {proxySecret, map[string][]string{login.SecretHeader: {""}, "X-Forwarded-Email": user}, "only through its proxy"},
		"an empty secret, stored": {"", map[string][]string{login.SecretHeader: {""}, "X-Forwarded-Email": user}, "only through its proxy"},
		"no user":                 {proxySecret, map[string][]string{login.SecretHeader: {proxySecret}, "X-Forwarded-Groups": groups}, "sends no user, or several"},
		"two users":               {proxySecret, map[string][]string{login.SecretHeader: {proxySecret}, "X-Forwarded-Email": {"a", "b"}}, "sends no user, or several"},
		"an empty user":           {proxySecret, map[string][]string{login.SecretHeader: {proxySecret}, "X-Forwarded-Email": {""}, "X-Forwarded-Groups": groups}, "is empty"},
		"an empty group":          {proxySecret, map[string][]string{login.SecretHeader: {proxySecret}, "X-Forwarded-Email": user, "X-Forwarded-Groups": {"acme,,ops"}}, "is empty"},
	} {
		if session, err := behind(test.secret).Session(asked(t, test.headers)); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %+v, %v", name, session, err)
		}
	}
}
