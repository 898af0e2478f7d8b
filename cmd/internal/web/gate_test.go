package web_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/acting"
	"berth.dev/berth/cmd/internal/login"
	"berth.dev/berth/cmd/internal/web"
)

// hall is a page in the cluster, with viewers who say by a header who they are.
type hall struct {
	*site
	*web.Gate

	mu sync.Mutex
	// may are what viewers may do, as "who verb resource name"; a name "*" is each.
	may   []string
	later time.Duration
	made  []string // the viewers for whom a page was made
	acted []string
	log   strings.Builder
	// says is the text of a refused login.
	says string
}

const publicAddress = "https://berth.example.com"

// opensHall serves the page to many viewers.
func opensHall(t *testing.T, may []string, objects ...client.Object) *hall {
	t.Helper()
	h := &hall{site: open(t, &site{boards: 2}, objects...), may: may}
	viewers, err := web.NewViewers(web.ViewersConfig{Watch: h.WithWatch, Namespace: namespace, Of: h.pageOf, Now: h.clock})
	if err != nil {
		t.Fatal(err)
	}
	address, err := url.Parse(publicAddress)
	if err != nil {
		t.Fatal(err)
	}
	h.Gate = web.NewGate(viewers, h, address, slog.New(slog.NewTextHandler(&h.log, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		viewers.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return h
}

func (h *hall) clock() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return now.Add(h.later)
}

func (h *hall) pageOf(v login.Viewer) web.Config {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.made = append(h.made, v.User)
	return web.Config{
		Client: h.WithWatch, Inspector: h.site, Logs: h.site, Actor: acts{h, v.User}, Roles: web.Roles{Operator: "berth-operator", Administrator: "admin"},
		MayRead: func(_ context.Context, verb, resource, name string) error {
			return h.check(v.User, verb, resource, name)
		},
		Explain: func(err error) error { return err },
	}
}

func (h *hall) check(user, verb, resource, name string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, at := range []string{name, "*"} {
		if slices.Contains(h.may, strings.TrimSpace(strings.Join([]string{user, verb, resource, at}, " "))) {
			return nil
		}
	}
	return apierrors.NewForbidden(schema.GroupResource{Group: "berth.dev", Resource: resource}, name, errors.New("no"))
}

// grant changes what viewers may do.
func (h *hall) grant(may ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.may = may
}

// acts writes for a viewer.
type acts struct {
	*hall
	user string
}

// May reports whether the viewer may act.
func (a acts) May(_ context.Context, verb, resource, name string) (bool, error) {
	return a.check(a.user, verb, resource, name) == nil, nil
}

// As returns the test's own client.
func (a acts) As(_ context.Context, verb, resource, name string) (acting.Actor, error) {
	a.mu.Lock()
	a.acted = append(a.acted, a.user+" "+verb)
	a.mu.Unlock()
	return acting.Actor{Client: a.WithWatch, Name: "berth-page"}, a.check(a.user, verb, resource, name)
}

// Session returns the viewer of the header X-User.
func (h *hall) Session(r *http.Request) (login.Session, error) {
	user := r.Header.Get("X-User")
	if user == "" {
		return login.Session{}, &login.Refusal{Code: http.StatusUnauthorized, Title: "You are logged out", Text: "Log in."}
	}
	return login.Session{Viewer: login.Viewer{User: user}, ID: "one", FormToken: "the token of " + user, Expires: h.clock().Add(time.Hour)}, nil
}

// Enter leads to an issuer.
func (h *hall) Enter(w http.ResponseWriter, r *http.Request) error {
	if r.URL.Query().Has("lost") {
		return &login.Refusal{Code: http.StatusBadGateway, Title: "The issuer cannot be reached", Text: cmp.Or(h.says, "Try again."), Cause: errors.New("connection refused")}
	}
	if r.URL.Path == login.CallbackPath {
		return &login.Refusal{Code: http.StatusForbidden, Title: "The issuer refused the login", Text: `access_denied: <script>alert("no")</script>`}
	}
	http.Redirect(w, r, "https://issuer.example.com/authorize", http.StatusSeeOther)
	return nil
}

// Leave ends the session.
func (h *hall) Leave(w http.ResponseWriter) string {
	http.SetCookie(w, &http.Cookie{Name: "session", MaxAge: -1})
	return "https://issuer.example.com/logout"
}

// asks returns the answer to a request of a viewer, with further headers.
func (h *hall) asks(user, method, path string, form url.Values, headers ...string) *httptest.ResponseRecorder {
	h.Helper()
	r := httptest.NewRequestWithContext(h.Context(), method, publicAddress+path, strings.NewReader(form.Encode()))
	r.Header.Set("X-User", user)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", publicAddress)
	}
	for n := 0; n < len(headers); n += 2 {
		if r.Header.Set(headers[n], headers[n+1]); headers[n] == "Host" {
			r.Host = headers[n+1]
		}
	}
	answer := httptest.NewRecorder()
	h.Gate.ServeHTTP(answer, r)
	return answer
}

// reads are the rights to read everything.
func reads(user string) []string {
	return []string{user + " list environments", user + " get environments *", user + " list repositories"}
}

func TestTheGate(t *testing.T) {
	h := opensHall(t, append(reads("ada"), "ada suspend environments *"), repository(), environment("a", v1alpha1.ReasonHealthy, ""))
	good := url.Values{"token": {"the token of ada"}}
	const act = "/env/posts.review.a/do/suspend"
	for name, test := range map[string]struct {
		user, method, path string
		form               url.Values
		headers            []string
		code               int
		says               string
	}{
		"a viewer":                           {"ada", "GET", "/", nil, nil, 200, "posts.review.a"},
		"a viewer, with the port":            {"ada", "GET", "/", nil, []string{"Host", "berth.example.com:443"}, 200, "posts.review.a"},
		"another host":                       {"ada", "GET", "/", nil, []string{"Host", "evil.example.com"}, 421, "does not serve"},
		"another port":                       {"ada", "GET", "/", nil, []string{"Host", "berth.example.com:8443"}, 421, "does not serve"},
		"no session":                         {"", "GET", "/", nil, []string{"Accept", "text/html"}, 303, ""},
		"no session, by a link":              {"", "GET", "/", nil, []string{"Sec-Fetch-Mode", "navigate"}, 303, ""},
		"no session, by a script":            {"", "GET", "/", nil, []string{"Sec-Fetch-Mode", "cors", "Accept", "text/html"}, 401, "You are logged out"},
		"no session, an event stream":        {"", "GET", "/live", nil, []string{"Accept", "text/html"}, 401, "You are logged out"},
		"no session, a form":                 {"", "POST", act, good, nil, 401, "You are logged out"},
		"no session, a file of the page":     {"", "GET", "/assets/none.css", nil, nil, 404, "no such file"},
		"a form":                             {"ada", "POST", act, good, nil, 303, ""},
		"a form without a token":             {"ada", "POST", act, url.Values{}, nil, 403, "another page"},
		"a form with the token of another":   {"ada", "POST", act, url.Values{"token": {"the token of eve"}}, nil, 403, "another page"},
		"a form of another origin":           {"ada", "POST", act, good, []string{"Origin", "https://evil.example.com"}, 403, "another page"},
		"a form of the same host, plain":     {"ada", "POST", act, good, []string{"Origin", "http://berth.example.com"}, 403, "another page"},
		"a form of a page without an origin": {"ada", "POST", act, good, []string{"Origin", "null"}, 403, "another page"},
		"a form of another site":             {"ada", "POST", act, good, []string{"Sec-Fetch-Site", "cross-site"}, 403, "another page"},
		"a script of another site":           {"ada", "GET", "/", nil, []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "cors"}, 403, "another page"},
		"a link of another site":             {"ada", "GET", "/", nil, []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, 200, "posts.review.a"},
		"a form that is too large":           {"ada", "POST", act, url.Values{"token": {"the token of ada"}, "x": {strings.Repeat("x", 1<<17)}}, nil, 403, "another page"},
		"a login that was refused":           {"", "GET", login.CallbackPath, nil, nil, 403, "access_denied: &lt;script&gt;"},
		"a login by a form":                  {"", "POST", login.Path, url.Values{}, nil, 405, "GET"},
		"a logout by a link":                 {"ada", "GET", "/logout", nil, nil, 404, "Page not found"},
		"a logout of another site":           {"ada", "POST", "/logout", url.Values{}, nil, 403, "another page"},
		"a logout":                           {"ada", "POST", "/logout", good, nil, 200, "https://issuer.example.com/logout"},
	} {
		t.Run(name, func(t *testing.T) {
			answer := h.asks(test.user, test.method, test.path, test.form, test.headers...)
			if body := answer.Body.String(); answer.Code != test.code || !strings.Contains(body, test.says) {
				t.Errorf("got %d %q", answer.Code, body)
			}
			if answer.Header().Get("Strict-Transport-Security") == "" || !strings.Contains(answer.Header().Get("Content-Security-Policy"), "default-src 'none'") {
				t.Errorf("the headers are %v", answer.Header())
			}
		})
	}
}

func TestEachViewerSeesWhatThatViewerMay(t *testing.T) {
	h := opensHall(t, append(reads("ada"), "eve get environments posts.review.a"), repository(), environment("a", v1alpha1.ReasonHealthy, ""), environment("b", v1alpha1.ReasonHealthy, ""))
	for path, tests := range map[string]map[string]string{
		"/":                         {"ada": "posts.review.b", "eve": "Environments are not shown", "bob": "Environments are not shown"},
		"/env/posts.review.a":       {"ada": "posts-a", "eve": "posts-a", "bob": "Environments cannot be read"},
		"/env/posts.review.b":       {"ada": "posts-b", "eve": "Environments cannot be read"},
		"/env/nothing":              {"ada": "There is no environment", "eve": "Environments cannot be read"},
		"/repo/posts/confirm":       {"ada": "Confirm deletions", "eve": "Repositories cannot be read"},
		"/rows?name=posts.review.a": {"ada": "posts.review.a", "eve": "forbidden"},
	} {
		for user, want := range tests {
			body := h.asks(user, "GET", path, nil).Body.String()
			if !strings.Contains(body, want) {
				t.Errorf("%s of %s lacks %q:\n%s", path, user, want, body)
			}
			if other := user != "ada" && strings.Contains(body, "Add a login page") && want != "posts-a"; other {
				t.Errorf("%s of %s shows an environment", path, user)
			}
		}
	}
}

func TestViewersActWithVerbsOfTheirOwn(t *testing.T) {
	h := opensHall(t, slices.Concat(reads("ada"), reads("eve"), []string{"ada retry environments posts.review.a"}), repository(), environment("a", v1alpha1.ReasonFailed, "no"))
	body := h.asks("ada", "GET", "/env/posts.review.a", nil).Body.String()
	if !strings.Contains(body, "/do/retry") || strings.Contains(body, "/do/suspend") || strings.Contains(body, "/do/sync") {
		t.Errorf("ada's buttons:\n%s", body)
	}
	if body := h.asks("eve", "GET", "/env/posts.review.a", nil).Body.String(); strings.Contains(body, "/do/") || !strings.Contains(body, "berth-operator") {
		t.Errorf("eve's buttons:\n%s", body)
	}
	for user, tests := range map[string]map[string]int{"ada": {"retry": 303, "suspend": 403, "sync": 403}, "eve": {"retry": 403}} {
		for name, want := range tests {
			if code := h.asks(user, "POST", "/env/posts.review.a/do/"+name, url.Values{"token": {"the token of " + user}}).Code; code != want {
				t.Errorf("%s, %s: got %d", user, name, code)
			}
		}
	}
	if env := h.stored("posts.review.a"); env.Spec.Suspend || !strings.HasPrefix(env.Annotations[v1alpha1.AnnotationRetry], "page-") {
		t.Errorf("the environment is %+v", env.Annotations)
	}
}

var tokenField = regexp.MustCompile(`name="token" value="([^"]+)"`)

// The pages of two sessions of a viewer are one in memory, and the forms belong to the session.
func TestFormsBelongToTheSession(t *testing.T) {
	h := opensHall(t, append(reads("ada"), "ada suspend environments *"), environment("a", v1alpha1.ReasonHealthy, ""))
	body := h.asks("ada", "GET", "/env/posts.review.a/do/suspend", nil).Body.String()
	for _, field := range tokenField.FindAllStringSubmatch(body, -1) {
		if field[1] != "the token of ada" {
			t.Errorf("a form has the token %q", field[1])
		}
	}
	if !strings.Contains(body, "Log out") || !strings.Contains(body, ">ada<") {
		t.Errorf("the page does not say who is logged in:\n%s", body)
	}
}

func TestADiffNamesTheCommand(t *testing.T) {
	h := opensHall(t, reads("ada"), environment("a", v1alpha1.ReasonHealthy, ""))
	if body := h.asks("ada", "GET", "/env/posts.review.a/diff", nil).Body.String(); !strings.Contains(body, "berth diff posts.review.a") || strings.Contains(body, "<select") {
		t.Errorf("it says\n%s", body)
	}
}

// The Git server knows what the viewer may read there.
func TestADiffLinksToTheGitServer(t *testing.T) {
	env := environment("a", v1alpha1.ReasonHealthy, "")
	env.Status.History = []v1alpha1.SyncStatus{{Commit: older, Outcome: "Healthy"}}
	h := opensHall(t, reads("ada"), repository(), env)
	body := h.asks("ada", "GET", "/env/posts.review.a/diff?from="+older, nil).Body.String()
	if !strings.Contains(body, `href="https://gitlab.example.com/acme/posts/-/compare/`+older+"..."+commit) || !strings.Contains(body, "<select") {
		t.Errorf("it says\n%s", body)
	}
}

func TestIdleViewersAreForgotten(t *testing.T) {
	h := opensHall(t, nil)
	for range 3 {
		h.asks("ada", "GET", "/", nil)
	}
	h.later = 20 * time.Minute
	h.asks("eve", "GET", "/", nil)
	h.asks("ada", "GET", "/", nil)
	for n := range 500 {
		h.later += time.Second
		h.asks(fmt.Sprint("user ", n), "GET", "/", nil)
	}
	if h.asks("ada", "GET", "/", nil); len(h.made) != 3+500+1 {
		t.Errorf("pages were made for %d viewers", len(h.made))
	}
}

// streams opens an event stream, and returns what it says when a function has changed something.
func (h *hall) streams(user, path string) (*http.Response, func()) {
	h.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Host = "berth.example.com"
		r.Header.Set("X-User", user)
		h.Gate.ServeHTTP(w, r)
	}))
	h.Cleanup(server.Close)
	ctx, cancel := context.WithCancel(h.Context())
	h.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+path, nil)
	if err != nil {
		h.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		h.Fatal(err)
	}
	return answer, cancel
}

func TestAViewerHasABoundedNumberOfEventStreams(t *testing.T) {
	h := opensHall(t, reads("ada"))
	var first func()
	for n := range 30 {
		answer, leave := h.streams("ada", "/live")
		if answer.StatusCode != http.StatusOK {
			t.Fatalf("stream %d: %s", n, answer.Status)
		}
		if first == nil {
			first = leave
		}
	}
	if answer, _ := h.streams("ada", "/live"); answer.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("one more: %s", answer.Status)
	}
	if answer, _ := h.streams("eve", "/live"); answer.StatusCode != http.StatusOK {
		t.Errorf("another viewer: %s", answer.Status)
	}
	first()
	deadline := time.After(time.Minute)
	for {
		answer, _ := h.streams("ada", "/live")
		if answer.StatusCode == http.StatusOK {
			return
		}
		select {
		case <-deadline:
			t.Fatal("a stream that ended still counts")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Nobody learns the names of environments from the event stream without the right to list them.
func TestTheEventStreamFollowsTheRights(t *testing.T) {
	h := opensHall(t, reads("ada"), environment("a", v1alpha1.ReasonHealthy, ""))
	h.asks("ada", "GET", "/", nil) // the listing is over
	answer, _ := h.streams("ada", "/live?shown=-1")
	said := make(chan string, 100)
	go func() {
		part := make([]byte, 4096)
		for {
			n, err := answer.Body.Read(part)
			if n > 0 {
				said <- string(part[:n])
			}
			if err != nil {
				close(said)
				return
			}
		}
	}()
	awaits := func(text string) string {
		t.Helper()
		var all strings.Builder
		for deadline := time.After(time.Minute); ; {
			select {
			case part := <-said:
				if all.WriteString(part); strings.Contains(all.String(), text) {
					return all.String()
				}
			case <-deadline:
				t.Fatalf("it says %q, not %q", all.String(), text)
			}
		}
	}
	changes := func(message string) {
		t.Helper()
		env := h.stored("posts.review.a")
		env.Status.Conditions[0].Message = message
		if err := h.Update(t.Context(), env); err != nil {
			t.Fatal(err)
		}
	}
	awaits(`"whole":true`)
	changes("one")
	awaits("posts.review.a")
	h.grant()
	changes("two")
	if text := awaits(`"whole":true`); strings.Contains(text, "posts.review.a") {
		t.Errorf("without the right it says %q", text)
	}
	h.grant(reads("ada")...)
	changes("three")
	awaits(`"names":["posts.review.a"],"whole":true`) // the browser shows nothing yet
}

// Everybody can reach the login, and fill the log.
func TestTheSameFailureIsLoggedOnce(t *testing.T) {
	h := opensHall(t, nil)
	for range 20 {
		if answer := h.asks("", "GET", "/login?lost", nil); answer.Code != http.StatusBadGateway || !strings.Contains(answer.Body.String(), "Try again") {
			t.Errorf("got %d %q", answer.Code, answer.Body)
		}
	}
	h.later = time.Minute
	h.asks("", "GET", "/login?lost", nil)
	if n := strings.Count(h.log.String(), "connection refused"); n != 2 {
		t.Errorf("it is logged %d times", n)
	}
}
