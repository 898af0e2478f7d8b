package agent

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

func TestMetricsAreForThoseWhoMayGetThem(t *testing.T) {
	api, now := fake.NewClientset(), time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	users := map[string]string{"prometheus-token": "prometheus", "other-token": "other"}
	asked, down := 0, false
	api.PrependReactor("create", "tokenreviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
		asked++
		if down {
			return true, nil, errors.New("the API server is away")
		}
		review := action.(clienttesting.CreateAction).GetObject().(*authenticationv1.TokenReview).DeepCopy()
		review.Status.User.Username = users[review.Spec.Token]
		review.Status.Authenticated = review.Status.User.Username != ""
		return true, review, nil
	})
	api.PrependReactor("create", "subjectaccessreviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
		review := action.(clienttesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview).DeepCopy()
		path := review.Spec.NonResourceAttributes
		review.Status.Allowed = review.Spec.User == "prometheus" && path.Path == "/metrics" && path.Verb == "get"
		return true, review, nil
	})
	access := newMetricsAccess(api, func() time.Time { return now })
	handler, err := access.filter(logr.Discard(), http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	if err != nil {
		t.Fatal(err)
	}
	get := func(path, authorization string) int {
		request := httptest.NewRequest(http.MethodGet, path, nil)
		request.Header.Set("Authorization", authorization)
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		return answer.Code
	}
	for _, test := range []struct {
		name, path, authorization string
		want                      int
	}{
		{"without a token", "/metrics", "", http.StatusUnauthorized},
		{"no bearer", "/metrics", "Basic cHJvbWV0aGV1cy10b2tlbg==", http.StatusUnauthorized},
		{"an unknown token", "/metrics", "Bearer guess", http.StatusUnauthorized},
		{"an account without the right", "/metrics", "Bearer other-token", http.StatusForbidden},
		{"an account with it", "/metrics", "Bearer prometheus-token", http.StatusOK},
		{"which is for this path alone", "/debug", "Bearer prometheus-token", http.StatusForbidden},
	} {
		if got := get(test.path, test.authorization); got != test.want {
			t.Errorf("%s: answered %d, want %d", test.name, got, test.want)
		}
	}
	before := asked
	if get("/metrics", "Bearer prometheus-token"); asked != before {
		t.Error("the API server is asked at every scrape")
	}
	now, down = now.Add(accessMemory+time.Second), true
	if got := get("/metrics", "Bearer prometheus-token"); got != http.StatusServiceUnavailable {
		t.Errorf("after a minute, while the API server is away: %d", got)
	}
}
