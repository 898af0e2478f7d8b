package web_test

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"berth.dev/berth/api/v1alpha1"
)

const older = "9f8e7d6c5e6f1a2b3c4d5e6f1a2b3c4d5e6f1a2b"

// post sends a form, and returns the status and where the answer leads.
func (s *site) post(path string, form url.Values) (code int, location string) {
	s.Helper()
	request := httptest.NewRequestWithContext(s.Context(), http.MethodPost, path, strings.NewReader(form.Encode()))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer := httptest.NewRecorder()
	s.ServeHTTP(answer, request)
	return answer.Code, answer.Header().Get("Location")
}

// shownField matches the field of a form that identifies what the viewer has seen.
var shownField = regexp.MustCompile(`name="shown" value="(\w+)"`)

// completed returns the fields of a form with those that its page adds.
func (s *site) completed(path string, form url.Values) url.Values {
	s.Helper()
	all := url.Values{}
	maps.Copy(all, form)
	if field := shownField.FindStringSubmatch(s.get(path + "?" + form.Encode())); field != nil {
		all.Set("shown", field[1])
	}
	return all
}

// stored returns an Environment as the cluster has it.
func (s *site) stored(name string) *v1alpha1.Environment {
	s.Helper()
	env := &v1alpha1.Environment{}
	if err := s.Get(s.Context(), client.ObjectKey{Namespace: namespace, Name: name}, env); err != nil {
		s.Fatal(err)
	}
	return env
}

func TestActionsSayWhatTheyDoAndDoIt(t *testing.T) {
	failing := func() *v1alpha1.Environment { return environment("a", v1alpha1.ReasonFailed, "Job/migrate failed") }
	annotated := func(key string) func(*v1alpha1.Environment) bool {
		return func(env *v1alpha1.Environment) bool { return strings.HasPrefix(env.Annotations[key], "ui-") }
	}
	for name, test := range map[string]struct {
		prepare func(*v1alpha1.Environment)
		form    url.Values
		says    []string
		done    func(*v1alpha1.Environment) bool
	}{
		"sync":  {nil, nil, []string{"lists the branches of posts now", "berth sync posts.review.a"}, annotated(v1alpha1.AnnotationRequested)},
		"retry": {nil, nil, []string{"failed Jobs run once more", "berth retry posts.review.a"}, annotated(v1alpha1.AnnotationRetry)},
		"confirm": {
			func(e *v1alpha1.Environment) {
				e.Status.Conditions[0].Message = "7 of 9 objects would be deleted; to allow it: berth confirm posts.review.a"
				e.Status.BlockedDeletions = &v1alpha1.BlockedDeletions{Total: 7, Objects: []string{"Deployment/a", "Service/a"}, Digest: "1a2b"}
			}, nil,
			[]string{"7 of 9 objects would be deleted", "<li>Deployment/a</li>", "<li>Service/a</li>", "<li>and 5 more</li>", "berth confirm posts.review.a"},
			func(e *v1alpha1.Environment) bool {
				id := e.Annotations[v1alpha1.AnnotationConfirmed]
				return strings.HasPrefix(id, "ui-") && strings.HasSuffix(id, "@1a2b") // what was shown
			},
		},
		"pin": {
			nil, url.Values{"commit": {older}}, []string{"runs commit 9f8e7d6c", "berth pin posts.review.a 9f8e7d6c"},
			func(e *v1alpha1.Environment) bool { return e.Spec.Pin == older },
		},
		"unpin": {
			func(e *v1alpha1.Environment) { e.Spec.Pin = older }, nil, []string{"follows a again", "berth pin posts.review.a --unpin"},
			func(e *v1alpha1.Environment) bool { return e.Spec.Pin == "" },
		},
		"suspend": {nil, nil, []string{"pushes are not applied", "berth suspend posts.review.a"}, func(e *v1alpha1.Environment) bool { return e.Spec.Suspend }},
		"resume": {
			func(e *v1alpha1.Environment) { e.Spec.Suspend = true }, nil, []string{"applies commit 1a2b3c4d", "berth resume posts.review.a"},
			func(e *v1alpha1.Environment) bool { return !e.Spec.Suspend },
		},
		"keep": {
			func(e *v1alpha1.Environment) { e.Status.ExpiresAt = &metav1.Time{Time: now} }, nil,
			[]string{"does not expire", "kubectl annotate --overwrite env -n berth posts.review.a berth.dev/keep=true"},
			func(e *v1alpha1.Environment) bool { return e.Annotations[v1alpha1.AnnotationKeep] == "true" },
		},
		"expire": {
			func(e *v1alpha1.Environment) { e.Annotations = map[string]string{v1alpha1.AnnotationKeep: "true"} }, nil,
			[]string{"expires again", "kubectl annotate --overwrite env -n berth posts.review.a berth.dev/keep-"},
			func(e *v1alpha1.Environment) bool { _, kept := e.Annotations[v1alpha1.AnnotationKeep]; return !kept },
		},
	} {
		t.Run(name, func(t *testing.T) {
			env := failing()
			if test.prepare != nil {
				test.prepare(env)
			}
			s := open(t, &site{}, repository(), env)
			path := "/env/posts.review.a/do/" + name
			if name != "pin" { // that is offered by the history
				s.shows("/env/posts.review.a", `href="`+path+`"`)
			}
			s.shows(path+"?"+test.form.Encode(), append(test.says, `name="token" value="the token"`)...)
			code, to := s.post(path, s.completed(path, test.form))
			if code != http.StatusSeeOther || !strings.HasPrefix(to, "/env/posts.review.a?did="+name) {
				t.Errorf("it answers %d, and leads to %q", code, to)
			}
			if env := s.stored("posts.review.a"); !test.done(env) {
				t.Errorf("it is not done: %+v, %+v", env.Annotations, env.Spec)
			}
		})
	}
}

func TestTheHistoryOffersItsCommits(t *testing.T) {
	env := environment("a", v1alpha1.ReasonHealthy, "")
	env.Status.History = []v1alpha1.SyncStatus{{Commit: commit, Outcome: "Healthy"}, {Commit: older, Outcome: "Healthy"}}
	s := open(t, &site{}, env)
	s.shows("/env/posts.review.a/history", "/env/posts.review.a/do/pin?commit="+older)
	s.hides("/env/posts.review.a/history", "/env/posts.review.a/do/pin?commit="+commit)
}

func TestTheHistorySaysWhoActed(t *testing.T) {
	env := environment("a", v1alpha1.ReasonHealthy, "")
	env.Status.History = []v1alpha1.SyncStatus{
		{Commit: commit, Outcome: "Healthy", RequestedBy: &v1alpha1.Requester{Action: v1alpha1.ActionPin, User: "ada <b>\x1b\u202e"}},
		{Commit: older, Outcome: "Healthy"},
	}
	s := open(t, &site{}, env)
	s.shows("/env/posts.review.a/history", `<span class="by">pin by ada &lt;b&gt;??</span>`)
	if n := strings.Count(s.get("/env/posts.review.a/history"), `class="by"`); n != 1 {
		t.Errorf("%d syncs name a user", n)
	}
}

func TestAnActOnTheOwnPageSaysWhoActs(t *testing.T) {
	s := open(t, &site{}, environment("a", v1alpha1.ReasonFailed, ""))
	if code, _ := s.post("/env/posts.review.a/do/retry", nil); code != http.StatusSeeOther {
		t.Fatalf("it answers %d", code)
	}
	if by := s.stored("posts.review.a").Annotations[v1alpha1.AnnotationRequestedBy]; !strings.HasPrefix(by, "ui-") || !strings.HasSuffix(by, " retry ada") {
		t.Errorf("the annotation is %q", by)
	}
}

func TestOnlyCommitsCanBePinned(t *testing.T) {
	s := open(t, &site{}, environment("a", v1alpha1.ReasonHealthy, ""))
	for _, wrong := range []string{"", "main", "1a2b3c4d", commit + "0", strings.ToUpper(commit)} {
		if code, _ := s.post("/env/posts.review.a/do/pin", url.Values{"commit": {wrong}}); code != http.StatusBadRequest {
			t.Errorf("%q is answered with %d", wrong, code)
		}
	}
	if code, _ := s.post("/env/posts.review.a/do/delete", nil); code != http.StatusNotFound {
		t.Errorf("an unknown action is answered with %d", code)
	}
}

func TestWithoutTheRightThereAreNoButtons(t *testing.T) {
	env := environment("a", v1alpha1.ReasonFailed, "")
	env.Status.History = []v1alpha1.SyncStatus{{Commit: older, Outcome: "Healthy"}}
	s := open(t, &site{denied: []string{"environments", "repositories"}}, repository(), env)
	s.shows("/env/posts.review.a", "ask for the role edit in the namespace berth")
	s.hides("/env/posts.review.a", "/do/")
	s.hides("/env/posts.review.a/history", "/do/")
	s.hides("/env/posts.review.a/do/retry", "<button class=\"button primary\"")
	s.shows("/repo/posts/confirm", "ask for the role admin in the namespace berth")
}

func TestTheAPIServerDecides(t *testing.T) {
	s := open(t, &site{calls: interceptor.Funcs{Patch: func(context.Context, client.WithWatch, client.Object, client.Patch, ...client.PatchOption) error {
		return forbidden("environments")
	}}}, environment("a", v1alpha1.ReasonFailed, ""))
	if code, _ := s.post("/env/posts.review.a/do/retry", nil); code != http.StatusForbidden {
		t.Errorf("it answers %d", code)
	}
}

func TestWithoutTheRightToListASyncTakesTheLastListing(t *testing.T) {
	s := open(t, &site{calls: interceptor.Funcs{Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, options ...client.PatchOption) error {
		if _, ok := o.(*v1alpha1.Repository); ok {
			return forbidden("repositories")
		}
		return c.Patch(ctx, o, p, options...)
	}}}, repository(), environment("a", v1alpha1.ReasonHealthy, ""))
	if code, _ := s.post("/env/posts.review.a/do/sync", nil); code != http.StatusSeeOther || s.stored("posts.review.a").Annotations[v1alpha1.AnnotationRequested] == "" {
		t.Errorf("it answers %d", code)
	}
}

func TestProgressOfAnAction(t *testing.T) {
	env := environment("a", v1alpha1.ReasonHealthy, "")
	env.Status.HandledRetry, env.Status.ObservedGeneration = "ui-1", 4
	s := open(t, &site{}, env)
	for query, text := range map[string]string{
		"did=retry&id=ui-1":    "Retry: done",
		"did=retry&id=ui-2":    "Retry: waiting for the agent",
		"did=pin&generation=4": "Run this commit: done",
		"did=pin&generation=5": "Run this commit: waiting for the agent",
		"did=keep&id=":         "Keep: done",
	} {
		s.shows("/env/posts.review.a?"+query, text)
	}
	s.hides("/env/posts.review.a?did=%3Cscript%3E", "waiting for the agent", ": done")
}

func TestConfirmingForARepositoryNamesWhatIsDeleted(t *testing.T) {
	repo := repository()
	repo.Status.Held = []string{"posts.review.b", "posts.review.c"}
	s := open(t, &site{}, repo)
	s.shows("/", `href="/repo/posts/confirm"`)
	s.shows("/repo/posts/confirm", "posts.review.b", "posts.review.c", "berth confirm --repository posts")
	if code, to := s.post("/repo/posts/confirm", s.completed("/repo/posts/confirm", nil)); code != http.StatusSeeOther || to != "/" {
		t.Errorf("it answers %d, and leads to %q", code, to)
	}
	if err := s.Get(t.Context(), client.ObjectKeyFromObject(repo), repo); err != nil || !strings.HasPrefix(repo.Annotations[v1alpha1.AnnotationConfirmed], "ui-") {
		t.Errorf("it is not confirmed: %v, %v", repo.Annotations, err)
	}
}

// A dialog may stay open while more deletions are blocked. They need a confirmation of their own.
func TestAConfirmationCountsForWhatWasShown(t *testing.T) {
	for name, change := range map[string]func(*v1alpha1.RepositoryStatus){
		"more is blocked":      func(st *v1alpha1.RepositoryStatus) { st.Held = append(st.Held, "posts.review.c") },
		"other ones":           func(st *v1alpha1.RepositoryStatus) { st.Held = []string{"posts.review.c"} },
		"it was confirmed":     func(st *v1alpha1.RepositoryStatus) { st.Confirmed = st.Held },
		"nothing is blocked":   func(st *v1alpha1.RepositoryStatus) { st.Held = nil },
		"the form is not ours": nil,
	} {
		t.Run(name, func(t *testing.T) {
			repo := repository()
			repo.Status.Held = []string{"posts.review.b"}
			s := open(t, &site{}, repo)
			form := s.completed("/repo/posts/confirm", nil)
			if change == nil {
				form.Del("shown")
			} else {
				before := s.get("/")
				if err := s.Get(t.Context(), client.ObjectKeyFromObject(repo), repo); err != nil {
					t.Fatal(err)
				}
				change(&repo.Status)
				if err := s.Update(t.Context(), repo); err != nil {
					t.Fatal(err)
				}
				for deadline := time.Now().Add(time.Minute); s.get("/") == before; runtime.Gosched() { // the page has a watch
					if time.Now().After(deadline) {
						t.Fatal("the page does not show the change")
					}
				}
			}
			if code, _ := s.post("/repo/posts/confirm", form); code != http.StatusConflict {
				t.Errorf("it answers %d", code)
			}
			if err := s.Get(t.Context(), client.ObjectKeyFromObject(repo), repo); err != nil || repo.Annotations[v1alpha1.AnnotationConfirmed] != "" {
				t.Errorf("it is confirmed: %v, %v", repo.Annotations, err)
			}
		})
	}
}

func TestAConfirmationOfAnEnvironmentCountsForWhatWasShown(t *testing.T) {
	env := environment("a", v1alpha1.ReasonFailed, "7 of 9 objects would be deleted; to allow it: berth confirm posts.review.a")
	path := "/env/posts.review.a/do/confirm"
	form := open(t, &site{}, env).completed(path, nil)
	for message, blocked := range map[string]*v1alpha1.BlockedDeletions{
		env.Status.Conditions[0].Message:                                             {Total: 7, Objects: []string{"Deployment/a"}, Digest: "others"},
		"9 of 9 objects would be deleted; to allow it: berth confirm posts.review.a": nil,
		"it failed": nil,
	} {
		env.ResourceVersion, env.Status.Conditions[0].Message, env.Status.BlockedDeletions = "", message, blocked
		s := open(t, &site{}, env)
		if code, _ := s.post(path, form); code != http.StatusConflict || s.stored(env.Name).Annotations[v1alpha1.AnnotationConfirmed] != "" {
			t.Errorf("%s: it answers %d", message, code)
		}
	}
}

// blocked is an Environment whose deletion guard blocks objects.
func blocked(branch, object string) *v1alpha1.Environment {
	env := environment(branch, v1alpha1.ReasonWaiting, "6 of 9 objects would be deleted; to allow it: berth confirm posts.review."+branch)
	env.Status.BlockedDeletions = &v1alpha1.BlockedDeletions{Total: 6, Objects: []string{object}, Digest: object}
	return env
}

func TestBannersNameTheObjectsWhoseDeletionIsBlocked(t *testing.T) {
	s := open(t, &site{}, repository(), blocked("a", "Deployment/api"))
	s.shows("/", "posts.review.a: deletions are blocked", "<li>Deployment/api</li>", "<li>and 5 more</li>", `href="/env/posts.review.a/do/confirm"`)
	s.shows("/env/posts.review.a", "Deletions are blocked", "<li>Deployment/api</li>")
	s.shows("/env/posts.review.a/history", "Deletions are blocked")
	env := blocked("a", "Deployment/api")
	env.Status.HandledConfirmation = "ui-1@others"
	open(t, &site{}, env).shows("/env/posts.review.a?did=confirm&id=ui-1@others", "other objects are blocked now")
	many := open(t, &site{}, repository(), blocked("a", "Deployment/a"), blocked("b", "Deployment/b"), blocked("c", "Deployment/c"), blocked("d", "Deployment/d"))
	many.shows("/", "Deletions are blocked in 4 environments", `<li><a href="/env/posts.review.d">posts.review.d (6 objects)</a></li>`)
	many.hides("/", "Deployment/a")
}

// The banner is above the rows that a browser asks for by name.
func TestABrowserHearsOfBlockedDeletions(t *testing.T) {
	env := environment("a", v1alpha1.ReasonHealthy, "")
	s := open(t, &site{}, env)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	events := s.listen(server, "/live?shown="+s.version("/"))
	if err := s.Get(t.Context(), client.ObjectKeyFromObject(env), env); err != nil {
		t.Fatal(err)
	}
	env.Status = blocked("a", "Deployment/api").Status
	if err := s.Update(t.Context(), env); err != nil {
		t.Fatal(err)
	}
	if event := <-events; !strings.Contains(event, `"whole":true`) {
		t.Errorf("it hears %s", event)
	}
}
