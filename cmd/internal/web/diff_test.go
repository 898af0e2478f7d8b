package web_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/inspect"
	"berth.dev/berth/reconciler/fields"
)

func TestDiffShowsWhatASyncWouldDo(t *testing.T) {
	env := environment("a", v1alpha1.ReasonHealthy, "")
	env.Status.History = []v1alpha1.SyncStatus{{Commit: older, Outcome: "Failed"}}
	s := open(t, &site{unread: []string{"secrets cannot be listed"}, steps: map[string][]inspect.Step{
		commit: {
			{Action: "change", Object: "Deployment/api", Origin: "k8s/api.yaml:12", Reason: "Git changed", Fields: []fields.Change{{Path: "spec.replicas", Old: int64(1), New: int64(3)}, {Path: "data.text", Old: "a\nb\n", New: "a\n<c>\n"}}},
			{Action: "replace", Object: "Job/migrate", Origin: "k8s/migrate.yaml:1"},
			{Action: "delete", Object: "Service/old", Refused: "it is protected"},
		},
		older + ".." + commit: {{Action: "create", Object: "ConfigMap/new"}},
	}}, repository(), env)
	s.shows("/env/posts.review.a/diff", "1 is changed, 1 is replaced, 1 is deleted, 1 Job will run", "Git changed", "~ spec.replicas: 1 -&gt; 3", `class="bad">    - b<`, `class="good">    &#43; &lt;c&gt;<`,
		"it is protected", "secrets cannot be listed", "https://gitlab.example.com/acme/posts/-/blob/"+commit+"/k8s/api.yaml#L12")
	s.shows("/env/posts.review.a/diff?from="+older, "1 is created", "ConfigMap/new", `value="`+older+`" selected`)
	s.shows("/env/posts.review.a/diff?to="+older, "There is nothing to do")
}

func TestDiffSaysWhyItCannotCompare(t *testing.T) {
	s := open(t, &site{differs: errors.New("cannot read commit 1a2b3c4d: go to a clone")}, environment("a", v1alpha1.ReasonHealthy, ""))
	s.shows("/env/posts.review.a/diff", "Nothing could be compared", "cannot read commit 1a2b3c4d: go to a clone")
	s.hides("/env/posts.review.a/diff", "nothing to do")
}

func TestOnlyCommitsAreCompared(t *testing.T) {
	s := open(t, &site{}, environment("a", v1alpha1.ReasonHealthy, ""))
	for _, query := range []string{"from=--output=x", "to=main", "to=" + strings.ToUpper(commit), "from=1a2b3c4d"} {
		answer := httptest.NewRecorder()
		s.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/env/posts.review.a/diff?"+query, nil))
		if answer.Code != http.StatusBadRequest {
			t.Errorf("%s is answered with %d", query, answer.Code)
		}
	}
}

func TestLongDiffsAreCutOff(t *testing.T) {
	long := strings.Repeat("line\n", 1000)
	s := open(t, &site{steps: map[string][]inspect.Step{commit: {{Action: "create", Object: "ConfigMap/long", Fields: []fields.Change{{Path: "data", New: long}}}}}}, environment("a", v1alpha1.ReasonHealthy, ""))
	s.shows("/env/posts.review.a/diff", "601 more")
}

// Without a clone, each look at an environment would try to read its commit.
func TestACommitThatCannotBeReadIsNotTriedAtOnceAgain(t *testing.T) {
	s := open(t, &site{differs: errors.New("no clone"), description: inspect.Description{Objects: []inspect.Object{deployment("api", "Healthy", "")}}}, environment("a", v1alpha1.ReasonHealthy, ""))
	for range 3 {
		s.shows("/env/posts.review.a", "api")
	}
	if s.asked != 1 {
		t.Errorf("it was tried %d times", s.asked)
	}
}
