package images

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/internal/panics"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/plan"
)

// patience is much longer than anything here takes on a loaded machine.
const patience = time.Minute

// shop is a registry that counts questions, and fails as a test wants.
type shop struct {
	*httptest.Server
	t    *testing.T
	real http.Handler

	mu        sync.Mutex
	password  string // empty: everyone may pull
	fail      func(w http.ResponseWriter, r *http.Request) bool
	questions int
	logins    []string // what the token service got
}

func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{t: t, real: registry.New(registry.Logger(log.New(io.Discard, "", 0)))}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// host is the registry's host in images.
func (s *shop) host() string {
	return strings.TrimPrefix(strings.TrimPrefix(s.URL, "https://"), "http://")
}

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	password, fail := s.password, s.fail
	if r.Method == http.MethodHead {
		s.questions++
	}
	s.mu.Unlock()
	switch {
	case fail != nil && fail(w, r):
	case r.Method == http.MethodPut || password == "":
		s.real.ServeHTTP(w, r)
	case r.URL.Path == "/token":
		_, got, _ := r.BasicAuth()
		s.mu.Lock()
		s.logins = append(s.logins, r.Header.Get("Authorization"))
		s.mu.Unlock()
		if got != password {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"token": "may-pull"})
	case r.Header.Get("Authorization") != "Bearer may-pull":
		w.Header().Set("WWW-Authenticate", fmt.Sprintf("Bearer realm=%q,service=%q", s.URL+"/token", "shop"))
		w.WriteHeader(http.StatusUnauthorized)
	default:
		s.real.ServeHTTP(w, r)
	}
}

// push stores an image without layers.
func (s *shop) push(image string) {
	s.t.Helper()
	repository, tag, _ := strings.Cut(image, ":")
	request, err := http.NewRequest(http.MethodPut, s.URL+"/v2/"+repository+"/manifests/"+tag, strings.NewReader(`{"schemaVersion":2}`))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
	response, err := s.Client().Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusCreated {
		s.t.Fatalf("pushing %s: %s", image, response.Status)
	}
}

// fails makes the registry answer with a status, unless it is 0.
func (s *shop) fails(status int, header ...string) {
	s.change(func() {
		s.fail = func(w http.ResponseWriter, r *http.Request) bool {
			if status == 0 || r.Method == http.MethodPut {
				return false
			}
			for i := 0; i+1 < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			return true
		}
	})
}

func (s *shop) change(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *shop) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.questions
}

// world is a Checker, and who is requeued by it.
type world struct {
	*Checker
	t        *testing.T
	requeued chan string
	mu       sync.Mutex
	objects  map[manifest.Key]*unstructured.Unstructured // of the cluster
	reads    int
	readers  map[string]bool
}

func newWorld(t *testing.T, r Registries) *world {
	t.Helper()
	w := &world{t: t, requeued: make(chan string, 1000), objects: map[manifest.Key]*unstructured.Unstructured{}, readers: map[string]bool{}}
	w.Checker = New(Config{
		Registries: r, Requeue: func(id string) { w.requeued <- id }, UserAgent: "berth/test", Now: time.Now,
	})
	w.pace = pace{shortest: time.Millisecond, longest: 10 * time.Millisecond, late: time.Hour, firstTrouble: time.Millisecond, lastTrouble: 10 * time.Millisecond}
	return w
}

// Ask asks for an environment of the world's cluster.
func (w *world) Ask(ctx context.Context, q Query) []plan.Answer {
	q.Read = w.read
	return w.Checker.Ask(ctx, q)
}

func (w *world) read(_ context.Context, user string, key manifest.Key) (*unstructured.Unstructured, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reads++
	w.readers[user] = true
	return w.objects[key], nil
}

// at returns a Checker for registries of tests.
func at(t *testing.T, shops ...*shop) *world {
	t.Helper()
	var r Registries
	for _, s := range shops {
		r.Insecure = append(r.Insecure, s.host())
	}
	return newWorld(t, r)
}

func query(environment string, images ...string) Query {
	q := Query{Environment: environment, User: "system:serviceaccount:posts:berth-apply", Digest: "d"}
	for _, image := range images {
		q.Images = append(q.Images, plan.Image{Name: image, Of: manifest.Key{Kind: "Deployment", Namespace: "posts", Name: "web"}, Account: "default"})
	}
	return q
}

// until asks until the first answer is as wanted.
func (w *world) until(q Query, is func(plan.Answer) bool) plan.Answer {
	w.t.Helper()
	deadline := time.After(patience)
	for {
		answer := w.Ask(w.t.Context(), q)[0]
		if is(answer) {
			return answer
		}
		select {
		case <-w.requeued:
		case <-deadline:
			w.t.Fatalf("the answer is %+v", answer)
		}
	}
}

func isThere(a plan.Answer) bool    { return a.Presence == plan.There }
func isMissing(a plan.Answer) bool  { return a.Presence == plan.Missing }
func isTroubled(a plan.Answer) bool { return a.Trouble != "" }

func TestAnImageIsThereOnceItIsPushed(t *testing.T) {
	s := newShop(t)
	w, q := at(t, s), query("a", s.host()+"/acme/app:1")
	w.until(q, isMissing)
	s.push("acme/app:1")
	w.until(q, isThere)
	before := s.asked()
	w.until(q, isThere)
	if s.asked() != before {
		t.Error("an image that is there is asked for again")
	}
}

func TestAnImageByItsDigest(t *testing.T) {
	s := newShop(t)
	s.push("acme/app:1")
	request, err := http.NewRequest(http.MethodHead, s.URL+"/v2/acme/app/manifests/1", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := s.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	digest := response.Header.Get("Docker-Content-Digest")
	w := at(t, s)
	w.until(query("a", s.host()+"/acme/app@"+digest), isThere)
	w.until(query("b", s.host()+"/acme/app:other@"+digest), isThere)
	w.until(query("c", s.host()+"/acme/app@sha256:"+strings.Repeat("0", 64)), isMissing)
}

func TestManyEnvironmentsAskOnce(t *testing.T) {
	s := newShop(t)
	s.push("acme/app:1")
	w := at(t, s)
	for i := range 200 {
		q := query(fmt.Sprint("env", i), s.host()+"/acme/app:1")
		w.until(q, isThere)
		if i%2 == 0 {
			w.Forget(q.Environment)
		}
	}
	if got := s.asked(); got != 1 {
		t.Errorf("200 environments asked %d times", got)
	}
}

func TestNobodyAsksAfterTheLastEnvironmentIsForgotten(t *testing.T) {
	s := newShop(t)
	w, q := at(t, s), query("a", s.host()+"/acme/app:1")
	w.until(q, isMissing)
	w.Forget("a")
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Checker.mu.Lock()
	defer w.Checker.mu.Unlock()
	for _, p := range w.probes {
		if !p.busy {
			t.Errorf("%s is still asked for", p.key)
		}
	}
}

func TestAnotherCommitAsksForItsOwnImages(t *testing.T) {
	s := newShop(t)
	s.push("acme/app:2")
	w := at(t, s)
	w.until(query("a", s.host()+"/acme/app:1"), isMissing)
	newer := query("a", s.host()+"/acme/app:2")
	newer.Digest = "e"
	w.until(newer, isThere)
}

func TestTroubleOfRegistries(t *testing.T) {
	for _, row := range []struct {
		rule    string
		status  int
		header  []string
		want    string
		refused bool
	}{
		{rule: "a registry that is broken is asked again", status: 500, want: "answers 500; look at the registry"},
		{rule: "and one that is not ready", status: 503, want: "answers 503; look at the registry"},
		{rule: "and one that limits the rate", status: 429, header: []string{"Retry-After", "3600"}, want: "limits the rate of requests; wait, or use a pull Secret of its own, because limits count per account"},
		{rule: "one that wants other credentials is not", status: 401, want: "refuses a pull without credentials (401); if the image is private, name a Secret in imagePullSecrets", refused: true},
		{rule: "nor one that forbids", status: 403, want: "refuses a pull without credentials (403); if the image is private, name a Secret in imagePullSecrets", refused: true},
		{rule: "nor a web site without a registry", status: 404, want: "does not answer like a registry (404); correct the image's name", refused: true},
	} {
		t.Run(row.rule, func(t *testing.T) {
			s := newShop(t)
			s.fails(row.status, row.header...)
			w, q := at(t, s), query("a", s.host()+"/acme/app:1")
			answer := w.until(q, isTroubled)
			if want := s.host() + " " + row.want; answer.Trouble != want || answer.Refused != row.refused || answer.Presence != "" {
				t.Errorf("the answer is %+v, want %q", answer, want)
			}
			if !row.refused && answer.Since.IsZero() {
				t.Error("it is not known since when")
			}
		})
	}
}

func TestAMissingImageStaysMissingDuringTrouble(t *testing.T) {
	s := newShop(t)
	w, q := at(t, s), query("a", s.host()+"/acme/app:1")
	w.until(q, isMissing)
	s.fails(502)
	if answer := w.until(q, isTroubled); answer.Presence != plan.Missing {
		t.Errorf("the answer is %+v", answer)
	}
	s.push("acme/app:1")
	s.fails(0)
	if answer := w.until(q, isThere); answer.Trouble != "" {
		t.Errorf("the trouble is over, and still told: %+v", answer)
	}
}

func TestARegistryThatLimitsIsLeftAlone(t *testing.T) {
	s := newShop(t)
	s.fails(429, "Retry-After", "3600")
	w := at(t, s)
	w.until(query("a", s.host()+"/acme/app:1"), isTroubled)
	s.fails(0)
	before := s.asked()
	w.until(query("b", s.host()+"/acme/other:1"), isTroubled)
	if s.asked() != before {
		t.Error("another image of the registry was asked for")
	}
}

func TestUnreachableRegistries(t *testing.T) {
	closed := newShop(t)
	closed.Close()
	secure := &shop{t: t, real: registry.New(registry.Logger(log.New(io.Discard, "", 0)))}
	secure.Server = httptest.NewTLSServer(secure)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(secure.Close)
	for _, row := range []struct {
		rule, image string
		registries  Registries
		want        string
		refused     bool
	}{
		{rule: "nothing listens", image: closed.host() + "/app:1", registries: Registries{Insecure: []string{closed.host()}}, want: closed.host() + " cannot be reached; check that the agent's pod may reach it"},
		{rule: "a loopback address", image: closed.host() + "/app:1", want: closed.host() + ": its address is one of this machine, its link or a metadata server; correct the image's name", refused: true},
		{rule: "a metadata server", image: "169.254.169.254/latest/meta-data:1", want: "169.254.169.254: its address is one of this machine, its link or a metadata server; correct the image's name", refused: true},
		{rule: "a name of this machine", image: "localhost:1/app:1", want: "localhost:1: its address is one of this machine, its link or a metadata server; correct the image's name", refused: true},
		{rule: "a certificate of a stranger", image: secure.host() + "/app:1", registries: Registries{Mirrors: map[string][]string{"docker.io": {secure.host()}}}, want: secure.host() + " has a certificate that the agent does not trust; see --registry-ca"},
		{rule: "a registry that is not allowed", image: "evil.example.com/app:1", registries: Registries{Allowed: []string{"registry.example.com", "*.corp.example.com"}}, want: "the agent may not ask evil.example.com: its --registry-allow does not have it; add it there", refused: true},
		{rule: "no name of an image", image: "NOT AN IMAGE", want: "its name is not valid; correct it in Git", refused: true},
	} {
		t.Run(row.rule, func(t *testing.T) {
			answer := newWorld(t, row.registries).until(query("a", row.image), isTroubled)
			if answer.Trouble != row.want || answer.Refused != row.refused {
				t.Errorf("the answer is %+v, want %q", answer, row.want)
			}
		})
	}
}

func TestAMirrorIsAskedFirst(t *testing.T) {
	mirror, origin := newShop(t), newShop(t)
	mirror.push("acme/app:1")
	origin.push("acme/app:2")
	w := newWorld(t, Registries{Insecure: []string{mirror.host(), origin.host()}, Mirrors: map[string][]string{origin.host(): {mirror.host()}}})
	w.until(query("a", origin.host()+"/acme/app:1"), isThere)
	if origin.asked() != 0 {
		t.Error("the registry was asked although its mirror has the image")
	}
	w.until(query("b", origin.host()+"/acme/app:2"), isThere)
	w.until(query("c", origin.host()+"/acme/app:3"), isMissing)
	origin.Close()
	w.until(query("d", origin.host()+"/acme/app:4"), isMissing)
}

// pullSecret is a pull secret as Git or the cluster has it.
func pullSecret(name string, auths map[string]string) *unstructured.Unstructured {
	entries := map[string]any{}
	for host, password := range auths {
		entries[host] = map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte("berth:" + password))}
	}
	text, _ := json.Marshal(map[string]any{"auths": entries})
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": name, "namespace": "posts"},
		"type": "kubernetes.io/dockerconfigjson", "data": map[string]any{".dockerconfigjson": base64.StdEncoding.EncodeToString(text)},
	}}
}

func account(name string, secrets ...string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": map[string]any{"name": name, "namespace": "posts"}}}
	var references []any
	for _, secret := range secrets {
		references = append(references, map[string]any{"name": secret})
	}
	if references != nil {
		o.Object["imagePullSecrets"] = references
	}
	return o
}

func TestPullSecrets(t *testing.T) {
	const password = "s3cret"
	for _, row := range []struct {
		rule    string
		secrets []string                                       // of the pod
		git     func(host string) []*unstructured.Unstructured // the commit's objects
		cluster func(host string) []*unstructured.Unstructured // those of the cluster
		want    string                                         // empty: it is there
		reads   int
	}{
		{rule: "of the pod, from the commit", secrets: []string{"pull"}, git: func(host string) []*unstructured.Unstructured {
			return []*unstructured.Unstructured{pullSecret("pull", map[string]string{host: password})}
		}},
		{rule: "of the pod, from the cluster", secrets: []string{"pull"}, reads: 1, cluster: func(host string) []*unstructured.Unstructured {
			return []*unstructured.Unstructured{pullSecret("pull", map[string]string{"https://" + host + "/v2/": password})}
		}},
		{rule: "the commit's before the cluster's", secrets: []string{"pull"}, git: func(host string) []*unstructured.Unstructured {
			return []*unstructured.Unstructured{pullSecret("pull", map[string]string{host: password})}
		}, cluster: func(host string) []*unstructured.Unstructured {
			return []*unstructured.Unstructured{pullSecret("pull", map[string]string{host: "old"})}
		}},
		{rule: "of the ServiceAccount, which another client gave it", reads: 2, git: func(string) []*unstructured.Unstructured {
			return []*unstructured.Unstructured{account("default")}
		}, cluster: func(host string) []*unstructured.Unstructured {
			return []*unstructured.Unstructured{account("default", "pull"), pullSecret("pull", map[string]string{host: password})}
		}},
		{rule: "of the ServiceAccount, as the commit says", git: func(host string) []*unstructured.Unstructured {
			return []*unstructured.Unstructured{account("default", "pull"), pullSecret("pull", map[string]string{host: password})}
		}},
		{rule: "not those of the ServiceAccount if the pod has some", secrets: []string{"other"}, want: "refuses a pull without credentials (401); if the image is private, name a Secret in imagePullSecrets", git: func(host string) []*unstructured.Unstructured {
			return []*unstructured.Unstructured{account("default", "pull"), pullSecret("pull", map[string]string{host: password}), pullSecret("other", map[string]string{"other.example.com": password})}
		}},
		{rule: "each of several", secrets: []string{"wrong", "pull"}, git: func(host string) []*unstructured.Unstructured {
			return []*unstructured.Unstructured{pullSecret("wrong", map[string]string{host: "wrong"}), pullSecret("pull", map[string]string{host: password})}
		}},
		{rule: "only those for the image's path", secrets: []string{"pull"}, want: "refuses a pull without credentials (401); if the image is private, name a Secret in imagePullSecrets", git: func(host string) []*unstructured.Unstructured {
			return []*unstructured.Unstructured{pullSecret("pull", map[string]string{host + "/other": password})}
		}},
		{rule: "wrong ones are named", secrets: []string{"pull"}, want: "refuses the credentials in Secret/pull (401); correct that Secret", git: func(host string) []*unstructured.Unstructured {
			return []*unstructured.Unstructured{pullSecret("pull", map[string]string{host: "wrong"})}
		}},
		{rule: "one that does not exist counts as empty", secrets: []string{"pull"}, reads: 1, want: "refuses a pull without credentials (401); if the image is private, name a Secret in imagePullSecrets"},
	} {
		t.Run(row.rule, func(t *testing.T) {
			s := newShop(t)
			s.push("acme/app:1")
			s.password = password
			w := at(t, s)
			q := query("a", s.host()+"/acme/app:1")
			q.Images[0].Secrets = row.secrets
			if row.git != nil {
				for _, o := range row.git(s.host()) {
					q.Set.Objects = append(q.Set.Objects, manifest.Object{Unstructured: o})
				}
			}
			if row.cluster != nil {
				for _, o := range row.cluster(s.host()) {
					w.objects[manifest.KeyOf(o)] = o
				}
			}
			answer := w.until(q, func(a plan.Answer) bool { return isThere(a) || isTroubled(a) })
			if want := strings.TrimSpace(s.host() + " " + row.want); row.want == "" && !isThere(answer) || row.want != "" && answer.Trouble != want {
				t.Errorf("the answer is %+v, want %q", answer, want)
			}
			if row.reads > 0 && (w.reads != row.reads || len(w.readers) != 1 || !w.readers[q.User]) {
				t.Errorf("%d reads as %v, want %d as the environment's account", w.reads, w.readers, row.reads)
			}
		})
	}
}

func TestOnlyEnvironmentsWithTheSameCredentialsShareAnAnswer(t *testing.T) {
	s := newShop(t)
	s.push("acme/private:1")
	s.password = "s3cret"
	w := at(t, s)
	mine, theirs := query("mine", s.host()+"/acme/private:1"), query("theirs", s.host()+"/acme/private:1")
	mine.Images[0].Secrets = []string{"pull"}
	mine.Set.Objects = []manifest.Object{{Unstructured: pullSecret("pull", map[string]string{s.host(): "s3cret"})}}
	w.until(mine, isThere)
	if answer := w.until(theirs, isTroubled); answer.Presence != "" {
		t.Errorf("an environment without credentials learns that the image is there: %+v", answer)
	}
}

func TestCredentialsStayWithTheirHost(t *testing.T) {
	thief := newShop(t)
	s := newShop(t)
	s.push("acme/app:1")
	s.password = "s3cret"
	s.fail = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodHead {
			http.Redirect(w, r, thief.URL+r.URL.Path, http.StatusTemporaryRedirect)
			return true
		}
		return false
	}
	var got bytes.Buffer
	thief.fail = func(w http.ResponseWriter, r *http.Request) bool {
		thief.change(func() { got.WriteString(r.Header.Get("Authorization")) })
		w.WriteHeader(http.StatusOK)
		return true
	}
	w, q := at(t, s, thief), query("a", s.host()+"/acme/app:1")
	q.Images[0].Secrets = []string{"pull"}
	q.Set.Objects = []manifest.Object{{Unstructured: pullSecret("pull", map[string]string{s.host(): "s3cret"})}}
	w.until(q, isThere)
	if thief.change(func() {}); got.Len() > 0 {
		t.Errorf("the other host got %q", got.String())
	}
}

func TestAnswersWithoutEnd(t *testing.T) {
	s := newShop(t)
	s.password = "s3cret"
	s.fail = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/token" {
			return false
		}
		for range 1 << 12 {
			if _, err := w.Write(bytes.Repeat([]byte(" "), 1<<10)); err != nil {
				break
			}
		}
		return true
	}
	w := at(t, s)
	answer := w.until(query("a", s.host()+"/acme/app:1"), isTroubled)
	if want := s.host() + " cannot be reached; check that the agent's pod may reach it"; answer.Trouble != want {
		t.Errorf("the answer is %+v, want %q", answer, want)
	}
}

func TestASlowRegistryDelaysOnlyItsOwnImages(t *testing.T) {
	slow, quick := newShop(t), newShop(t)
	quick.push("acme/app:1")
	release := make(chan struct{})
	slow.fail = func(http.ResponseWriter, *http.Request) bool { <-release; return false }
	t.Cleanup(func() { close(release) }) // before the server closes
	w := at(t, slow, quick)
	for i := range 4 * atOncePerOne {
		w.Ask(t.Context(), query(fmt.Sprint("slow", i), fmt.Sprintf("%s/acme/app:%d", slow.host(), i)))
	}
	w.until(query("quick", quick.host()+"/acme/app:1"), isThere)
}

func TestAfterTheWaitAnImageIsAskedForSeldom(t *testing.T) {
	s := newShop(t)
	w, q := at(t, s), query("a", s.host()+"/acme/app:1")
	w.until(q, isMissing)
	w.Until("a", time.Now().Add(-time.Second))
	late := func() bool {
		w.Checker.mu.Lock()
		defer w.Checker.mu.Unlock()
		for _, p := range w.probes {
			return p.late && !p.busy
		}
		return false
	}
	for deadline := time.Now().Add(patience); !late(); {
		if time.Now().After(deadline) {
			t.Fatal("it is still asked for often")
		}
	}
	s.push("acme/app:1")
	w.Until("a", time.Now().Add(time.Hour)) // a user asks for a retry
	w.until(q, isThere)
}

// What a registry answers, and what is in a pull Secret, does not end the agent.
func TestAQuestionThatPanics(t *testing.T) {
	s := newShop(t)
	w, q := at(t, s), query("a", "registry.example.com/acme/app:1")
	panicked := make(chan *panics.Error, 1000)
	w.Panicked = func(p *panics.Error) { panicked <- p }
	good := w.transport
	w.transport = trip(func(*http.Request) (*http.Response, error) { panic("an answer") })
	if got := w.until(q, isTroubled); got.Refused || !strings.Contains(got.Trouble, "a mistake in Berth") {
		t.Errorf("got %+v", got)
	}
	if p := <-panicked; !strings.Contains(p.Stack, "images_test.go") {
		t.Errorf("the stack is %s", p.Stack)
	}
	w.transport = good
	s.push("acme/app:1")
	w.until(query("another", s.host()+"/acme/app:1"), isThere)
}

func TestCredentialsThatPanic(t *testing.T) {
	w := at(t)
	panicked := make(chan *panics.Error, 1)
	w.Panicked = func(p *panics.Error) { panicked <- p }
	q := query("a", "registry.example.com/acme/app:1")
	q.Read = func(context.Context, string, manifest.Key) (*unstructured.Unstructured, error) { panic("a Secret") }
	before := w.Checker.Ask(t.Context(), q)
	<-panicked
	if after := w.Checker.Ask(t.Context(), q); after[0] != before[0] || after[0].Since.IsZero() {
		t.Errorf("got %+v, then %+v", before, after)
	}
}

type trip func(*http.Request) (*http.Response, error)

func (f trip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
