package web_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/inspect"
	"berth.dev/berth/health"
)

// The file is package/dist/htmx.min.js of htmx.org@4.0.1 in the npm registry: npm pack htmx.org@4.0.1.
func TestHtmxIsThePublishedFile(t *testing.T) {
	const published = "c6ca5adedf4caf32e4c1d7e8ebb2dbb2eb16faddf3d8b1b5723900f2c7985c7de45a890b4e5646acd3cd1992671c5f5aa6fdf687a43847c5d60425b8122369b4"
	text, err := os.ReadFile("assets/htmx.min.js")
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha512.Sum512(text); hex.EncodeToString(sum[:]) != published {
		t.Error("assets/htmx.min.js was changed")
	}
}

func TestBranchesShowsWhatIsWrong(t *testing.T) {
	s := open(t, &site{}, repository(), environment("main", v1alpha1.ReasonHealthy, "everything is as Git says"),
		environment("feature/login", v1alpha1.ReasonFailed, "Deployment/api: 0 of 2 ready"))
	s.shows("/", `id="production"`, "Deployment/api: 0 of 2 ready", "Add a login page",
		`href="https://gitlab.example.com/acme/posts/commit/`+commit, `href="https://feature-login.review.example.com"`)
	s.hides("/", "everything is as Git says")
}

func TestBranchesFilters(t *testing.T) {
	of := func(branch, reason, author string) *v1alpha1.Environment {
		env := environment(branch, reason, "")
		env.Status.CommitAuthor = author
		return env
	}
	s := open(t, &site{}, of("main", v1alpha1.ReasonHealthy, "Ada"), of("a", v1alpha1.ReasonFailed, "Grace"),
		of("b", v1alpha1.ReasonRolledBack, "ada"), of("c", v1alpha1.ReasonSyncing, "Grace"))
	for query, want := range map[string]string{
		"": "a b c main", "?show=failing": "a b", "?show=moving": "c", "?show=mine": "b main", "?author=Grace": "a c",
		"?q=GRACE+failed": "a", "?q=nothing": "", "?show=failing&q=grace": "a",
	} {
		t.Run(query, func(t *testing.T) {
			var shown []string
			for _, branch := range []string{"a", "b", "c", "main"} {
				row := regexp.MustCompile(`<li class="row" id="env-posts\.\w+\.` + branch + `"[^>]*>`).FindString(s.get("/" + query))
				if row == "" {
					t.Fatalf("there is no row of %s", branch)
				}
				if !strings.Contains(row, "hidden") {
					shown = append(shown, branch)
				}
			}
			if got := strings.Join(shown, " "); got != want {
				t.Errorf("it shows %q, want %q", got, want)
			}
		})
	}
}

func TestTheListNamesOtherClusters(t *testing.T) {
	env := environment("a", v1alpha1.ReasonHealthy, "")
	env.Spec.Cluster = "staging"
	s := open(t, &site{}, repository(), env, environment("b", v1alpha1.ReasonHealthy, ""))
	s.shows("/?q=staging", `</span> staging</span>`)
	if rows := regexp.MustCompile(`<li class="row" id="[^"]+"[^>]*hidden`).FindAllString(s.get("/?q=staging"), -1); len(rows) != 1 || !strings.Contains(rows[0], "posts.review.b") {
		t.Errorf("the search hides %q", rows)
	}
}

func TestBannersOfRepositories(t *testing.T) {
	blocked, unreachable := repository(), repository()
	blocked.Status.Held, blocked.Status.Confirmed = []string{"posts.review.a", "posts.review.b"}, []string{"posts.review.b"}
	blocked.Status.Conditions[0] = metav1.Condition{Type: "Ready", Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonWaiting, Message: "two would go"}
	unreachable.Name = "other"
	unreachable.Status.Conditions[0] = metav1.Condition{Type: "Ready", Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonUnreachable, Message: "no route to host"}
	unreachable.Status.Conditions = append(unreachable.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionFeedback, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonForbidden, Message: "the token needs write:issue"})
	unreachable.Status.Conditions = append(unreachable.Status.Conditions,
		metav1.Condition{Type: v1alpha1.ConditionClusterUnavailable, Status: metav1.ConditionTrue, Message: "cluster staging cannot be reached"},
		metav1.Condition{Type: v1alpha1.ConditionBranchesLeftOut, Status: metav1.ConditionTrue, Message: "3 branches are beyond the limit"})
	missed := &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: "e", Namespace: namespace}, Reason: "HookMissed", Message: "polling found that main moved",
		InvolvedObject: corev1.ObjectReference{Kind: "Repository", Name: "posts"}, LastTimestamp: ago(time.Hour)}
	old := missed.DeepCopy()
	old.Name, old.Message, old.LastTimestamp = "old", "polling found it long ago", ago(48*time.Hour)
	s := open(t, &site{}, blocked, unreachable, missed, old)
	s.shows("/", "two would go", `href="/env/posts.review.a"`, "other: Unreachable", "no route to host", "other: merge requests do not show the current state: Forbidden", "the token needs write:issue", "polling found that main moved",
		"other: a cluster cannot be used", "cluster staging cannot be reached", "other: some branches have no environment", "3 branches are beyond the limit")
	s.hides("/", `href="/env/posts.review.b"`, "long ago")
}

// The answer is the same for each page, and the pages wait for each other's.
func TestEventsThatMayNotBeReadAreNotListedForEachPage(t *testing.T) {
	lists := 0
	s := open(t, &site{calls: interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, o ...client.ListOption) error {
		if _, ok := list.(*corev1.EventList); ok {
			lists++
			return forbidden("events")
		}
		return c.List(ctx, list, o...)
	}}}, repository())
	for range 3 {
		s.get("/")
	}
	if lists != 1 {
		t.Errorf("three pages list the events %d times", lists)
	}
}

func forbidden(resource string) error {
	return apierrors.NewForbidden(schema.GroupResource{Group: "berth.dev", Resource: resource}, "", errors.New("no"))
}

func TestWhatMayNotBeReadIsNotShownAsEmpty(t *testing.T) {
	deny := func(repositories, environments error) interceptor.Funcs {
		return interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, o ...client.ListOption) error {
			switch list.(type) {
			case *v1alpha1.RepositoryList:
				if repositories != nil {
					return repositories
				}
			case *v1alpha1.EnvironmentList:
				if environments != nil {
					return environments
				}
			}
			return c.List(ctx, list, o...)
		}}
	}
	t.Run("environments", func(t *testing.T) {
		s := open(t, &site{calls: deny(nil, forbidden("environments"))})
		s.shows("/", "Environments are not shown", "explained: environments.berth.dev is forbidden")
		s.hides("/", "no environments yet")
		s.shows("/env/posts.review.a", "explained: environments.berth.dev is forbidden")
	})
	t.Run("repositories", func(t *testing.T) {
		s := open(t, &site{calls: deny(forbidden("repositories"), nil)}, environment("a", v1alpha1.ReasonHealthy, ""))
		s.shows("/", "Repositories are not shown", "posts.review.a")
	})
	t.Run("objects", func(t *testing.T) {
		s := open(t, &site{description: inspect.Description{Notes: []string{"pods cannot be listed, because you lack the right"}}}, environment("a", v1alpha1.ReasonHealthy, ""))
		s.shows("/env/posts.review.a", "Not shown", "pods cannot be listed, because you lack the right")
	})
}

func TestEnvironmentShowsObjectsAndTheirTrouble(t *testing.T) {
	api := deployment("api", health.Failed, "0 of 1 ready")
	api.Pods = []inspect.Pod{{Name: "api-1-a", Health: health.Failed, Message: "exited with code 2", Restarts: 3}}
	env := environment("feature/login", v1alpha1.ReasonFailed, "Deployment/api: 0 of 1 ready")
	env.Status.Feedback = &v1alpha1.EnvironmentFeedback{Commit: commit, State: "Running", Notes: []v1alpha1.MergeRequestNote{{MergeRequest: 7, ID: 1}}, Error: "the forge took too long"}
	s := open(t, &site{places: map[string]string{"apps/Deployment//api": "k8s/api.yaml:7"}, description: inspect.Description{
		Objects: []inspect.Object{api, {Kind: "Service", Name: "gone", Health: health.Unknown, Message: "it is not there"}},
		Logs:    []inspect.Log{{Object: "Deployment/api", Pod: "api-1-a", Container: "main", Previous: true, Lines: []string{"out of <memory>"}}},
		Events:  []inspect.Event{{Time: ago(time.Minute), Type: "Normal", Reason: "Corrected", Message: "api: replicas changed by kubectl-edit", Object: "Deployment/api"}},
	}}, repository(), env)
	s.shows("/env/posts.review.feature-login", "Running on commit 1a2b3c4d, a note in merge request 7", "the forge took too long", "0 of 1 ready", "api-1-a", "exited with code 2", "3 restarts", "before it crashed", "out of &lt;memory&gt;",
		`/-/blob/`+commit+`/k8s/api.yaml#L7" target="_blank" rel="noopener">k8s/api.yaml:7<`, `class="drift">api: replicas changed by kubectl-edit`, "Not in the cluster", "it is not there", "posts-feature-login",
		"https://gitlab.example.com/acme/posts/-/tree/feature/login", "https://gitlab.example.com/acme/posts/-/merge_requests?state=all&amp;source_branch=feature%2Flogin")
}

// A pod's reason is often the one of its workload, which is below.
func TestAReasonIsShownOnce(t *testing.T) {
	api := deployment("api", health.Failed, "0 of 1 ready; pod api-1-a: exited with code 2")
	api.Pods = []inspect.Pod{{Name: "api-1-a", Health: health.Failed, Message: "exited with code 2", Restarts: 1}}
	s := open(t, &site{description: inspect.Description{Objects: []inspect.Object{api}}}, environment("a", v1alpha1.ReasonFailed, ""))
	if body := s.get("/env/posts.review.a"); strings.Count(body, "exited with code 2") != 1 {
		t.Errorf("the page says\n%s", body)
	}
	s.shows("/env/posts.review.a", `<span class="hidden">Failed:</span>`, "1 restart,", `href="/env/posts.review.a/logs?workload=Deployment%2Fapi"`)
}

func TestTheStripCounts(t *testing.T) {
	going, ended := environment("a", v1alpha1.ReasonSyncing, ""), environment("b", v1alpha1.ReasonHealthy, "")
	times := func(apply, rollout time.Duration) *v1alpha1.SyncProgress {
		return &v1alpha1.SyncProgress{Commit: commit, StartedAt: ago(2 * time.Minute), Render: metav1.Duration{Duration: 120 * time.Millisecond}, Apply: metav1.Duration{Duration: apply}, Rollout: metav1.Duration{Duration: rollout}}
	}
	going.Status.Sync, ended.Status.Sync = times(55*time.Second, 0), times(time.Second, 7*time.Second)
	s := open(t, &site{description: inspect.Description{Objects: []inspect.Object{deployment("api", health.Healthy, "")}}}, going, ended)
	s.shows("/env/posts.review.a", `Render<span class="hidden">: Done</span><span class="took">120ms</span>`, `Rollout<span class="hidden">: Going</span><time class="took" datetime="2026-05-04T11:58:55Z"`, "data-counts>1m5s</time>")
	s.shows("/env/posts.review.b", `Rollout<span class="hidden">: Done</span><span class="took">7s</span>`)
	s.hides("/env/posts.review.b", "data-counts")
}

func TestHistoryShowsEachSync(t *testing.T) {
	env := environment("feature/login", v1alpha1.ReasonHealthy, "")
	env.Status.History = []v1alpha1.SyncStatus{
		{Commit: commit, Outcome: "Healthy", Time: ago(time.Minute), Took: metav1.Duration{Duration: 3 * time.Second}},
		{Commit: strings.Repeat("9", 40), Outcome: "Failed", Time: ago(time.Hour), Reason: "Job/migrate failed"},
	}
	s := open(t, &site{}, repository(), env)
	s.shows("/env/"+env.Name+"/history", "runs now", "took 3s", "/diff?from="+strings.Repeat("9", 40)+"&amp;to="+commit, "Job/migrate failed", "posts/commit/"+strings.Repeat("9", 40))
}

func TestUnknownAddresses(t *testing.T) {
	s := open(t, &site{})
	for path, text := range map[string]string{"/env/nobody": "There is no environment nobody", "/nothing": "There is no such page"} {
		answer := httptest.NewRecorder()
		s.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))
		if answer.Code != http.StatusNotFound || !strings.Contains(answer.Body.String(), text) {
			t.Errorf("%s: %d, %s", path, answer.Code, answer.Body)
		}
	}
}

func TestChangesArrive(t *testing.T) {
	env := environment("feature/login", v1alpha1.ReasonSyncing, "")
	s := open(t, &site{}, env)
	s.get("/") // until it is listed
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	events := s.listen(server, "/live?shown="+s.version("/"))
	env.Status.Conditions[0].Reason = v1alpha1.ReasonHealthy
	if err := s.Update(t.Context(), env); err != nil {
		t.Fatal(err)
	}
	if got, want := <-events, `{"names":["posts.review.feature-login"],"versions":"1000."}`; got != want {
		t.Errorf("the change is %s, want %s", got, want)
	}
	s.shows("/rows?name="+env.Name, `hx-swap-oob="outerMorph"`, "Healthy")
	if err := s.Create(t.Context(), environment("new", v1alpha1.ReasonQueued, "")); err != nil {
		t.Fatal(err)
	}
	if got, want := <-events, `{"names":["posts.review.new"],"whole":true,"versions":"1000."}`; got != want {
		t.Errorf("the new environment is %s, want %s", got, want)
	}
}

// A browser opens the stream after it has loaded the page.
func TestAChangeBetweenThePageAndItsStreamArrives(t *testing.T) {
	env := environment("feature/login", v1alpha1.ReasonSyncing, "")
	s := open(t, &site{}, env)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	before := s.version("/")
	env.Status.Conditions[0].Reason = v1alpha1.ReasonHealthy
	if err := s.Update(t.Context(), env); err != nil {
		t.Fatal(err)
	}
	if got, want := <-s.listen(server, "/live?shown="+before), `{"whole":true,"versions":"1000."}`; got != want && !strings.Contains(got, `"names":["posts.review.feature-login"]`) {
		t.Errorf("the change is %s, want %s", got, want)
	}
	if got, want := <-s.listen(server, "/live"), `{"whole":true,"versions":"1000."}`; got != want {
		t.Errorf("a page without a version gets %s, want %s", got, want)
	}
}

// client-go returns an empty watch, and no error, if the connection ends before the server answers.
func TestAClusterThatAnswersNothingIsReported(t *testing.T) {
	var lost atomic.Bool
	watching := make(chan *watch.FakeWatcher, 10)
	s := open(t, &site{calls: interceptor.Funcs{Watch: func(ctx context.Context, c client.WithWatch, list client.ObjectList, o ...client.ListOption) (watch.Interface, error) {
		if lost.Load() {
			return watch.NewEmptyWatch(), nil
		}
		w := watch.NewFake()
		watching <- w
		return w, nil
	}}}, environment("feature/login", v1alpha1.ReasonHealthy, ""))
	s.hides("/", "cannot be reached")
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	events := s.listen(server, "/live?shown="+s.version("/"))
	lost.Store(true)
	for range 2 { // Environments and Repositories
		(<-watching).Stop()
	}
	for got := range events {
		if strings.Contains(s.get("/"), "The cluster cannot be reached") {
			break
		}
		t.Logf("no banner after %s", got)
	}
	s.shows("/", "The cluster cannot be reached", "the connection ended before the API server answered", "feature/login")
}

// version returns the version that a page shows.
func (s *site) version(path string) string {
	s.Helper()
	found := regexp.MustCompile(`data-shown="([\w.]+)"`).FindStringSubmatch(s.get(path))
	if found == nil {
		s.Fatalf("%s has no version", path)
	}
	return found[1]
}

// listen returns the events of the stream, from its first line on. The stream ends after a minute.
func (s *site) listen(server *httptest.Server, path string) <-chan string {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
	s.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+path, nil)
	if err != nil {
		s.Fatal(err)
	}
	answer, err := server.Client().Do(request)
	if err != nil {
		s.Fatal(err)
	}
	lines := bufio.NewScanner(answer.Body)
	lines.Scan() // the stream is open, and its subscriber is there
	events := make(chan string, 10)
	go func() {
		defer close(events)
		defer answer.Body.Close()
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				events <- data
			}
		}
	}()
	return events
}

// The budget is that of the whole page with its files, as a browser receives it.
func TestAThousandEnvironmentsAreSmall(t *testing.T) {
	objects := []client.Object{repository()}
	for n := range 1000 {
		env := environment(fmt.Sprintf("feature/%d-story", n), v1alpha1.ReasonHealthy, "")
		sum := sha512.Sum512([]byte(env.Name))
		env.Spec.Commit = hex.EncodeToString(sum[:20])
		env.Status.ShortCommit = env.Spec.Commit[:8]
		env.Status.CommitSubject = "Change " + hex.EncodeToString(sum[20:24]) + " in a way that takes some words"
		objects = append(objects, env)
	}
	s := open(t, &site{}, objects...)
	total := s.zipped("/")
	for _, asset := range regexp.MustCompile(`"(/assets/[^"]+)"`).FindAllStringSubmatch(s.get("/"), -1) {
		total += s.zipped(asset[1])
	}
	if t.Logf("the page has %d bytes", total); total > 100_000 {
		t.Errorf("the page has %d bytes, more than 100 kB", total)
	}
}

// zipped returns the size of an answer as it is sent, which has to be compressed.
func (s *site) zipped(path string) int {
	s.Helper()
	request := httptest.NewRequest(http.MethodGet, path, nil)
	request.Header.Set("Accept-Encoding", "gzip")
	answer := httptest.NewRecorder()
	s.ServeHTTP(answer, request)
	size := answer.Body.Len()
	unzipped, err := gzip.NewReader(answer.Body)
	if err != nil {
		s.Fatalf("%s: %v", path, err)
	}
	if _, err := io.Copy(io.Discard, unzipped); err != nil {
		s.Fatalf("%s: %v", path, err)
	}
	return size
}

// What cannot be read is never shown as empty.
func TestObjectsThatCannotBeReadAreNotCalledMissing(t *testing.T) {
	denied := open(t, &site{description: inspect.Description{Notes: []string{"pods cannot be listed, because you lack the right"}}}, environment("a", v1alpha1.ReasonHealthy, ""))
	denied.hides("/env/posts.review.a", "nothing to order")
	denied.shows("/env/posts.review.a", "No objects are shown", "pods cannot be listed, because you lack the right")
	open(t, &site{}, environment("a", v1alpha1.ReasonHealthy, "")).shows("/env/posts.review.a", "There are no objects in the cluster")
}

// Rows are drawn once for all viewers, and again when what they show has changed or grown old.
func TestRowsAreDrawnAgainWhenTheyChange(t *testing.T) {
	env := environment("a", v1alpha1.ReasonHealthy, "")
	s := open(t, &site{rotates: true}, env, repository()) // its clock runs
	for _, reason := range []string{v1alpha1.ReasonFailed, v1alpha1.ReasonDegraded} {
		changed := s.stored(env.Name)
		changed.Status.Conditions[0].Reason, changed.Status.Conditions[0].Message = reason, "now it is "+reason
		if err := s.Update(t.Context(), changed); err != nil {
			t.Fatal(err)
		}
		deadline := time.Now().Add(time.Minute)
		for !strings.Contains(s.get("/"), "now it is "+reason) {
			if time.Now().After(deadline) {
				t.Fatalf("the list does not say that it is %s:\n%s", reason, s.get("/"))
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	s.shows("/rows?name="+env.Name, "now it is Degraded", `hx-swap-oob="outerMorph"`)
	s.hides("/", "hx-swap-oob")
}

// Logs and comparisons are not loaded with each change. What is above them is.
func TestTheHeadOfAScreenComesAlone(t *testing.T) {
	s := open(t, &site{}, repository(), environment("a", v1alpha1.ReasonFailed, "Job/migrate failed"))
	s.shows("/env/posts.review.a/head?tab=logs", `<div id="head"`, "Job/migrate failed", "/do/retry", `<a href="/env/posts.review.a/logs" aria-current="page">`)
	s.hides("/env/posts.review.a/head?tab=logs", "<html", `id="main"`)
	s.shows("/env/nobody/head", "There is no environment nobody")
}

// A row has two lines for the reason. What the pod says is the cause.
func TestARowBeginsWithTheCause(t *testing.T) {
	for reason, want := range map[string]string{
		"Deployment/worker: 0 of 1 ready, until then 1 old pod kept; pod worker-db7dbd8bd-t4l4m: container worker exited with code 137, restarted again and again": "Deployment/worker: container worker exited with code 137, restarted again and again",
		"not ready after 5m0s: StatefulSet/db: 1 of 3 ready; pod db-1: container db: image postgres:99 cannot be pulled; Job/a: runs":                              "not ready after 5m0s: StatefulSet/db: container db: image postgres:99 cannot be pulled; Job/a: runs",
		"Deployment/api, Deployment/worker: its controller has not seen the newest version":                                                                        "Deployment/api, Deployment/worker: its controller has not seen the newest version",
		"k8s/pod.yaml:3: pod a: this is not a message about a pod":                                                                                                 "k8s/pod.yaml:3: pod a: this is not a message about a pod",
	} {
		s := open(t, &site{}, environment("a", v1alpha1.ReasonFailed, reason))
		s.shows("/", `title="`+reason+`">`+want+`</span>`)
		s.shows("/env/posts.review.a", ">"+reason+"</p>")
	}
}

func TestAFilterByAuthorIsNamedAndCanBeRemoved(t *testing.T) {
	s := open(t, &site{}, environment("a", v1alpha1.ReasonHealthy, ""))
	s.shows("/?author=Ada+%3Cb%3E&q=x+y&show=failing", "Author: Ada &lt;b&gt;", `href="/?q=x&#43;y&amp;show=failing"`)
	s.hides("/", "Author: ")
}
