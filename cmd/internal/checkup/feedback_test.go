package checkup_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
)

// The forge is asked for what it would let the token do. Gitea's texts are those of version 1.26.
func TestFeedback(t *testing.T) {
	namespace := shared(t).Namespace(t)
	put(t, namespace, secret("forge", "token=right\n"), secret("expired", "token=wrong"), secret("empty", "notes=x"))
	gitea := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := func(status int, text string) { w.WriteHeader(status); _, _ = w.Write([]byte(text)) }
		switch {
		case r.Header.Get("Authorization") != "Bearer right":
			answer(http.StatusUnauthorized, `{"message": "user does not exist [uid: 0, name: ]"}`)
		case strings.HasSuffix(r.URL.Path, "/pulls"):
			answer(http.StatusOK, "[]")
		case r.Method == http.MethodGet:
			answer(http.StatusOK, "{}")
		case strings.Contains(r.URL.Path, "/statuses/"):
			answer(http.StatusInternalServerError, `{"message": ""}`)
		default:
			answer(http.StatusForbidden, `{"message": "token does not have at least one of required scope(s), required=[write:issue], token scope=write:repository"}`)
		}
	}))
	t.Cleanup(gitea.Close)
	for _, test := range []struct {
		rule, secret, url string
		policy            v1alpha1.StatusPolicy
		want              []string
	}{
		{"a scope is missing", "forge", gitea.URL, v1alpha1.StatusesInformative, []string{"ok feedback: the token may set commit statuses",
			"problem feedback: the token may not write notes in merge requests: cannot edit a comment of a pull request: the forge answers 403 Forbidden: token does not have at least one of required scope(s), required=[write:issue], token scope=write:repository; the token needs the scope write:issue, and its user the right to read the repository"}},
		{"what is never done needs no right", "forge", gitea.URL, v1alpha1.StatusesNever, []string{"problem feedback: the token may not write notes"}},
		{"the token is wrong", "expired", gitea.URL, v1alpha1.StatusesNever, []string{"problem feedback: the token may not write notes in merge requests: cannot read the repository: the forge answers 401 Unauthorized: "}},
		{"the Secret has no token", "empty", gitea.URL, "", []string{"problem feedback: cannot read the credentials from Secret/empty: it has no entry token; add it: kubectl -n " + namespace}},
		{"the Secret is not there", "absent", gitea.URL, "", []string{"problem feedback: cannot read the credentials from Secret/absent: there is no such Secret in the namespace " + namespace}},
		{"the forge is not reachable from here", "forge", "http://127.0.0.1:1", v1alpha1.StatusesNever, []string{"unknown feedback: whether the token may write notes in merge requests is not known: cannot read the repository: dial tcp 127.0.0.1:1: "}},
	} {
		t.Run(test.rule, func(t *testing.T) {
			repo := &v1alpha1.Repository{ObjectMeta: metav1.ObjectMeta{Name: "posts", Namespace: namespace}}
			repo.Spec.URL = gitea.URL + "/acme/posts.git"
			repo.Spec.Feedback = &v1alpha1.Feedback{Provider: v1alpha1.ForgeGitea, URL: test.url, SecretRef: v1alpha1.SecretReference{Name: test.secret}, Statuses: test.policy}
			say(t, checker(t, shared(t).RESTConfig(), namespace).Repository(t.Context(), repo, nil), "feedback", test.want...)
		})
	}
}
