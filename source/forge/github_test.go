package forge_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"berth.dev/berth/source/forge"
)

func (s *githubServer) config(c forge.Credentials) forge.Config {
	return forge.Config{Provider: forge.GitHub, URL: s.URL, RepositoryURL: s.URL + "/acme/posts.git", Credentials: c}
}

func TestGitHubStatuses(t *testing.T) {
	for _, test := range []struct {
		rule string
		send forge.Status
		want string
	}{
		{"a running sync is pending", status(forge.Running, forge.Blocking, "Syncing"), "pending Syncing"},
		{"a failure that blocks fails", status(forge.Failed, forge.Blocking, "Failed: no image"), "failure Failed: no image"},
		{"a failure that is informative does not", status(forge.Failed, forge.Informative, "Failed: no image"), "success Failed, not blocking: Failed: no image"},
		{"a queue is pending, whatever it weighs", status(forge.Pending, forge.Informative, "Queued"), "pending Queued"},
		{"what was superseded is an error, because there is no such state", status(forge.Canceled, forge.Blocking, "superseded"), "error superseded"},
		{"a text has 140 characters", status(forge.Success, forge.Blocking, strings.Repeat("a", 200)), "success " + strings.Repeat("a", 137) + "…"},
	} {
		t.Run(test.rule, func(t *testing.T) {
			s := serveGitHub(t)
			set(t, client(t, s.config(forge.Credentials{Token: "ghp_right"})), test.send)
			if got := s.statuses[0]["state"] + " " + s.statuses[0]["description"]; got != test.want || s.statuses[0]["context"] != "berth/review" {
				t.Errorf("the status is %q %v, want %q", got, s.statuses[0], test.want)
			}
		})
	}
}

func TestGitHubPullRequestsAndComments(t *testing.T) {
	s := serveGitHub(t)
	side := func(ref, repo string) map[string]any {
		return map[string]any{"ref": ref, "sha": "sha-of-" + ref, "repo": map[string]any{"full_name": repo}}
	}
	for range 100 {
		s.pulls = append(s.pulls, map[string]any{"number": 1, "head": side("main", "eve/posts"), "base": side("main", "acme/posts")})
	}
	s.pulls = append(s.pulls, map[string]any{"number": 2, "head": map[string]any{"ref": "main", "repo": nil}, "base": side("main", "acme/posts")},
		map[string]any{"number": 3, "head": side("side", "Acme/posts"), "base": side("main", "acme/posts")})
	c := client(t, s.config(forge.Credentials{Token: "ghp_right"}))
	list, err := c.MergeRequests(t.Context())
	want := []forge.MergeRequest{{Number: 1, Branch: "main", Target: "main", Head: "sha-of-main", Fork: true}, {Number: 2, Branch: "main", Target: "main", Fork: true}, {Number: 3, Branch: "side", Target: "main", Head: "sha-of-side"}}
	if diff := cmp.Diff(want, slices.CompactFunc(list, func(a, b forge.MergeRequest) bool { return a == b })); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	first, err1 := c.PutNote(t.Context(), 3, 0, "<!-- m -->", "<!-- m -->one")
	again, err2 := c.PutNote(t.Context(), 3, 0, "<!-- m -->", "<!-- m -->two")
	known, err3 := c.PutNote(t.Context(), 3, first, "<!-- m -->", "<!-- m -->three")
	if err1 != nil || err2 != nil || err3 != nil || first != again || first != known || len(s.comments) != 1 || s.comments[0].Body != "<!-- m -->three" {
		t.Errorf("the comments are %v (%v, %v, %v)", s.comments, err1, err2, err3)
	}
}

func TestProbesOfGitHub(t *testing.T) {
	s := serveGitHub(t)
	for _, use := range []forge.Use{forge.UseStatuses, forge.UseNotes, forge.UseDeployments} {
		if err := client(t, s.config(forge.Credentials{Token: "ghp_right"})).Probe(t.Context(), use); err != nil {
			t.Errorf("%s: %v", use, err)
		}
	}
	if len(s.statuses)+len(s.comments)+len(s.deployed) > 0 {
		t.Errorf("the probes left %v %v %v", s.statuses, s.comments, s.deployed)
	}
}

// GitHub names the missing permission in a header, and has two limits of requests:
// https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
func TestErrorsOfGitHub(t *testing.T) {
	for _, test := range []struct {
		rule    string
		status  int
		headers map[string]string
		text    string
		reason  forge.Reason
		wait    time.Duration
		want    string
	}{
		{"a missing permission", 403, map[string]string{"X-Accepted-GitHub-Permissions": "statuses=write"}, "Resource not accessible by personal access token", forge.Forbidden, 0,
			"the token needs the permission Commit statuses: write (GitHub asks for statuses=write)"},
		{"the hourly limit", 403, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": fmt.Sprint(noon.Add(10 * time.Minute).Unix())}, "API rate limit exceeded", forge.RateLimited, 10 * time.Minute, "API rate limit exceeded"},
		{"the limit for bursts", 403, map[string]string{"Retry-After": "60"}, "You have exceeded a secondary rate limit", forge.RateLimited, time.Minute, "secondary rate limit"},
		{"an unknown commit", 422, nil, "No commit found for SHA", forge.Refused, 0, "422 Unprocessable Entity: No commit found for SHA"},
	} {
		t.Run(test.rule, func(t *testing.T) {
			s := serveGitHub(t)
			s.answer = func(w http.ResponseWriter, _ *http.Request) bool {
				for name, value := range test.headers {
					w.Header().Set(name, value)
				}
				refuse(w, test.status, `{"message": "`+test.text+`"}`)
				return true
			}
			_, err := client(t, s.config(forge.Credentials{Token: "ghp_right"})).SetStatus(t.Context(), forge.Status{Commit: head})
			if forge.ReasonOf(err) != test.reason || forge.WaitOf(err) != test.wait || err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s %s %v, want %s %s %q", forge.ReasonOf(err), forge.WaitOf(err), err, test.reason, test.wait, test.want)
			}
		})
	}
}

func TestAGitHubApp(t *testing.T) {
	s := serveGitHub(t)
	app := appOf(t, s)
	config := s.config(forge.Credentials{App: app})
	now := noon
	config.Now = func() time.Time { return now }
	c, err := forge.New(config)
	if err != nil {
		t.Fatal(err)
	}
	send := func(wantTokens int) {
		t.Helper()
		if _, err := c.SetStatus(t.Context(), forge.Status{Commit: head, State: forge.Success}); err != nil || s.tokens != wantTokens {
			t.Errorf("%d tokens (%v), want %d", s.tokens, err, wantTokens)
		}
	}
	send(1)
	send(1)
	now = now.Add(56 * time.Minute) // soon after, the token would expire
	send(2)

	s.tokens++ // the forge revokes the last token
	if _, err := c.SetStatus(t.Context(), forge.Status{Commit: head, State: forge.Success}); forge.ReasonOf(err) != forge.Unauthorized {
		t.Errorf("with a revoked token: %v", err)
	}
	send(4)
	send(4)

	app.ID = "8"
	if _, err := client(t, s.config(forge.Credentials{App: app})).SetStatus(t.Context(), forge.Status{Commit: head}); forge.ReasonOf(err) != forge.Unauthorized {
		t.Errorf("another App: %v", err)
	}
	for _, app := range []forge.App{{}, {ID: "7", Installation: "42", Key: []byte("no key")}} {
		if _, err := forge.New(s.config(forge.Credentials{App: app})); forge.ReasonOf(err) != forge.Invalid {
			t.Errorf("%v: %v", app.ID, err)
		}
	}
}

// The token goes to the forge's own host alone.
func TestCredentialsStayAtTheForge(t *testing.T) {
	got := ""
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = "Authorization: " + r.Header.Get("Authorization") }))
	t.Cleanup(elsewhere.Close)
	for _, code := range []int{301, 302, 307, 308} {
		s := serveGitHub(t)
		s.answer = func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, elsewhere.URL, code)
			return true
		}
		c := client(t, s.config(forge.Credentials{Token: "ghp_right"}))
		_, err := c.SetStatus(t.Context(), forge.Status{Commit: head})
		if got != "" || err == nil || !strings.Contains(err.Error(), "where the token is not sent") {
			t.Errorf("%d: %q %v", code, got, err)
		}
		if _, err := c.MergeRequests(t.Context()); got != "" || err == nil {
			t.Errorf("%d: %q %v", code, got, err)
		}
	}
}

// GitHub redirects a renamed repository to its number, with 307 for requests that change something.
func TestARenamedRepository(t *testing.T) {
	s := serveGitHub(t)
	config := s.config(forge.Credentials{Token: "ghp_right"})
	redirect := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path, old := strings.CutPrefix(r.URL.Path, "/api/v3/repos/acme/old"); old {
			http.Redirect(w, r, "/api/v3/repos/acme/posts"+path, http.StatusTemporaryRedirect)
			return
		}
		s.Config.Handler.ServeHTTP(w, r)
	})
	renamed := httptest.NewServer(redirect)
	t.Cleanup(renamed.Close)
	config.URL, config.RepositoryURL = renamed.URL, renamed.URL+"/acme/old"
	if _, err := client(t, config).SetStatus(t.Context(), forge.Status{Commit: head, State: forge.Success}); err != nil || len(s.statuses) != 1 {
		t.Errorf("%v, %v", s.statuses, err)
	}
}

func TestACertificateOfAPrivateAuthority(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusCreated, map[string]any{}) }))
	t.Cleanup(s.Close)
	s.Config.ErrorLog = nil
	config := forge.Config{Provider: forge.Gitea, RepositoryURL: s.URL + "/acme/posts.git", Credentials: forge.Credentials{Token: "right"}}
	if _, err := client(t, config).SetStatus(t.Context(), forge.Status{Commit: head}); err == nil || !strings.Contains(err.Error(), "as ca.crt to the Secret") {
		t.Errorf("without its certificate: %v", err)
	}
	config.Credentials.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if _, err := client(t, config).SetStatus(t.Context(), forge.Status{Commit: head}); err != nil {
		t.Errorf("with its certificate: %v", err)
	}
	config.Credentials.CA = []byte("no certificate")
	if _, err := forge.New(config); forge.ReasonOf(err) != forge.Invalid {
		t.Errorf("with a certificate that is none: %v", err)
	}
}

// appOf returns a GitHub App that the server knows.
func appOf(t *testing.T, s *githubServer) forge.App {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s.app = &key.PublicKey
	return forge.App{ID: "7", Installation: "42", Key: pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})}
}

// An agent that no longer leads sends nothing that changes anything.
func TestAWrappedTransport(t *testing.T) {
	s := serveGitHub(t)
	config := s.config(forge.Credentials{Token: "ghp_right"})
	config.Wrap = func(next http.RoundTripper) http.RoundTripper {
		return carrier(func(r *http.Request) (*http.Response, error) {
			if r.Method != http.MethodGet {
				return nil, errors.New("another may lead")
			}
			return next.RoundTrip(r)
		})
	}
	c := client(t, config)
	if _, err := c.SetStatus(t.Context(), forge.Status{Commit: head}); forge.ReasonOf(err) != forge.Unreachable || !strings.Contains(err.Error(), "another may lead") || len(s.asked) > 0 {
		t.Errorf("%v, asked %v", err, s.asked)
	}
	if _, err := c.MergeRequests(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestWhereTheAPIIs(t *testing.T) {
	for _, test := range []struct{ provider, url, repository, want string }{
		{"GitLab", "", "https://gitlab.com/acme/group/posts.git", "https://gitlab.com/api/v4/projects/acme%2Fgroup%2Fposts"},
		{"GitLab", "", "ssh://git@gitlab.example.com:2222/acme/posts.git", "https://gitlab.example.com/api/v4/projects/acme%2Fposts"},
		{"GitLab", "https://example.com/gitlab/", "https://example.com/gitlab/acme/posts.git", "https://example.com/gitlab/api/v4/projects/acme%2Fposts"},
		{"GitHub", "", "https://github.com/acme/posts", "https://api.github.com/repos/acme/posts"},
		{"GitHub", "", "https://acme.ghe.com/acme/posts", "https://api.acme.ghe.com/repos/acme/posts"},
		{"GitHub", "", "https://github.example.com/acme/posts.git", "https://github.example.com/api/v3/repos/acme/posts"},
		{"Gitea", "", "http://git.example.com:3000/acme/posts.git/", "http://git.example.com:3000/api/v1/repos/acme/posts"},
		{"Gitea", "", "https://git.example.com/sub/acme/posts.git", "error"},
		{"Gitea", "https://a:b@git.example.com", "https://git.example.com/acme/posts.git", "error"},
		{"GitLab", "", "file:///srv/posts.git", "error"},
		{"Bitbucket", "", "https://bitbucket.org/acme/posts.git", "error"},
	} {
		var asked string
		got := "error"
		c, err := forge.New(forge.Config{
			Provider: forge.Provider(test.provider), URL: test.url, RepositoryURL: test.repository, Credentials: forge.Credentials{Token: "x"}, Now: func() time.Time { return noon },
			Transport: carrier(func(r *http.Request) (*http.Response, error) {
				asked = r.URL.String()
				return nil, http.ErrServerClosed
			}),
		})
		if err == nil {
			_ = c.Probe(t.Context(), forge.UseStatuses)
			got = asked
		}
		if got != test.want {
			t.Errorf("%s of %s (%s) is asked at %s (%v), want %s", test.provider, test.repository, test.url, got, err, test.want)
		}
	}
}

type carrier func(*http.Request) (*http.Response, error)

func (c carrier) RoundTrip(r *http.Request) (*http.Response, error) { return c(r) }

func TestAForgeWithoutAKnownAPI(t *testing.T) {
	for provider, want := range map[forge.Provider]string{"": "the name of its host does not say which API it has", "Bitbucket": "its API is not known: Bitbucket"} {
		_, err := forge.New(forge.Config{Provider: provider, RepositoryURL: "https://git.example.com/acme/posts.git"})
		if forge.ReasonOf(err) != forge.Invalid || !strings.Contains(err.Error(), want+"; set spec.feedback.provider to GitLab, GitHub or Gitea") {
			t.Errorf("%q: %v, want %q", provider, err, want)
		}
	}
}

func TestProviderOf(t *testing.T) {
	for address, want := range map[string]forge.Provider{
		"https://gitlab.example.com/a/b": forge.GitLab, "ssh://git@GitHub.com/a/b": forge.GitHub, "https://codeberg.org/a/b": forge.Gitea, "https://git.example.com/gitlab/b": "", "%": "",
	} {
		if got := forge.ProviderOf(address); got != want {
			t.Errorf("%s has the API of %q, want %q", address, got, want)
		}
	}
}

// GitHub makes the merge commit when it is asked for the pull request, and may need some time.
func TestMergesOfGitHub(t *testing.T) {
	s := serveGitHub(t)
	c := client(t, s.config(forge.Credentials{Token: "ghp_right"}))
	for _, test := range []struct {
		rule string
		pull map[string]any
		want forge.Merge
	}{
		{"it computes", map[string]any{"number": 3, "mergeable": nil, "merge_commit_sha": nil}, forge.Merge{State: forge.Computing}},
		{"an old commit is none", map[string]any{"number": 3, "mergeable": nil, "merge_commit_sha": head}, forge.Merge{State: forge.Computing}},
		{"conflicts", map[string]any{"number": 3, "mergeable": false, "merge_commit_sha": head}, forge.Merge{State: forge.Conflicting}},
		{"merged", map[string]any{"number": 3, "mergeable": true, "merge_commit_sha": head}, forge.Merge{Commit: head, Parent: "pushed", State: forge.Mergeable}},
	} {
		s.pull = test.pull
		if got, err := c.Merge(t.Context(), forge.MergeRequest{Number: 3, Head: "pushed"}); err != nil || got != test.want {
			t.Errorf("%s: %v %v, want %v", test.rule, got, err, test.want)
		}
	}
}

// Gitea merges nothing beforehand: its list says where the branch began.
func TestMergesOfGitea(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, []map[string]any{{"number": 3, "merge_base": "base", "mergeable": true, "merge_commit_sha": nil,
			"head": map[string]any{"ref": "side", "sha": "head", "repo": map[string]any{"full_name": "acme/posts"}}, "base": map[string]any{"ref": "main", "sha": "target", "repo": map[string]any{"full_name": "acme/posts"}}}})
	}))
	t.Cleanup(s.Close)
	c := client(t, forge.Config{Provider: forge.Gitea, RepositoryURL: s.URL + "/acme/posts.git", Credentials: forge.Credentials{Token: "right"}})
	list, err := c.MergeRequests(t.Context())
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	if got, err := c.Merge(t.Context(), list[0]); err != nil || got != (forge.Merge{Commit: "head", Base: "base", State: forge.Mergeable}) {
		t.Errorf("%v %v", got, err)
	}
}
