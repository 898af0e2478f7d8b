package checkup_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/rest"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/checkup"
)

func TestClusterVersions(t *testing.T) {
	for _, test := range []struct {
		major, minor string
		result       checkup.Result
		says         string
	}{
		{"1", "32", checkup.OK, "Kubernetes v1.32.0"},
		{"1", "34+", checkup.OK, "Kubernetes v1.34+.0"},
		{"1", "31", checkup.Problem, "is too old: Berth needs 1.32 or newer"},
		{"1", "99", checkup.OK, "newer than the one that this version was tested with"},
		{"2", "0", checkup.Unknown, "Berth needs 1.32 or newer"},
	} {
		found := checkup.Cluster(&version.Info{Major: test.major, Minor: test.minor, GitVersion: "v" + test.major + "." + test.minor + ".0"})
		if found.Result != test.result || !strings.Contains(found.Message, test.says) {
			t.Errorf("%s.%s: %s %q, want %s %q", test.major, test.minor, found.Result, found.Message, test.result, test.says)
		}
	}
}

// The age of a lease is measured by the API server's clock, because this computer's may be wrong.
func TestClocks(t *testing.T) {
	namespace := shared(t).Namespace(t)
	put(t, namespace, lease("berth-1", now.Add(-5*time.Second)))
	check := func(ahead time.Duration, want ...string) {
		t.Helper()
		c := checker(t, shared(t).RESTConfig(), namespace)
		c.Now = func() time.Time { return now.Add(ahead) }
		c.ServerTime = func(context.Context) (time.Time, error) { return now, nil }
		say(t, c.Installation(t.Context()), "clock lease", want...)
	}
	check(2*time.Second, "ok clock: this computer and the API server have the same time", "ok lease: berth-1 leads")
	check(10*time.Minute, "warning clock: this computer's clock is ahead of the API server's by 10m0s; ", "ok lease: berth-1 leads")
	check(-10*time.Minute, "warning clock: this computer's clock is behind the API server's by 10m0s; ", "ok lease: berth-1 leads")

	fast := shared(t).Namespace(t)
	put(t, fast, lease("berth-1", now.Add(5*time.Minute)))
	say(t, checker(t, shared(t).RESTConfig(), fast).Installation(t.Context()), "lease", "warning lease: berth-1 leads, but its clock is ahead of the API server's by 5m0s; ")

	server, err := checkup.ServerTime(clientOf(t, shared(t).RESTConfig()))(t.Context())
	if err != nil || time.Since(server).Abs() > time.Minute {
		t.Errorf("the API server, on this machine, has %s: %v", server, err)
	}
}

// The API server passes on the agent's answer. The agent refuses a webhook without a credential.
func TestTheAnswerOfTheWebhookEndpoint(t *testing.T) {
	for status, want := range map[int]string{
		http.StatusUnauthorized: "ok endpoint: the agent answers at Service/berth, port webhooks, path /hooks/posts",
		http.StatusNoContent:    "warning endpoint: Service/berth accepts webhooks without a credential, so something other than the agent answers; ",
		http.StatusNotFound:     "warning endpoint: the agent does not answer at Service/berth, port webhooks: ",
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost && r.URL.Path == "/api/v1/namespaces/harbour/services/berth:webhooks/proxy/hooks/posts" {
				w.WriteHeader(status)
				return
			}
			http.NotFound(w, r)
		}))
		say(t, checker(t, &rest.Config{Host: server.URL}, "harbour").Repository(t.Context(), withWebhook(), nil), "endpoint", want)
		server.Close()
	}
}

func withWebhook() *v1alpha1.Repository {
	repo := &v1alpha1.Repository{ObjectMeta: metav1.ObjectMeta{Name: "posts"}}
	repo.Spec.Webhook = &v1alpha1.Webhook{SecretRef: v1alpha1.SecretReference{Name: "hook"}}
	return repo
}

// Nothing answers here.
func TestTheWebhookEndpoint(t *testing.T) {
	namespace := shared(t).Namespace(t)
	repo := withWebhook()
	c := checker(t, shared(t).RESTConfig(), namespace)
	say(t, c.Repository(t.Context(), repo, nil), "endpoint", `warning endpoint: the agent does not answer at Service/berth, port webhooks: services "berth" not found`)
	weak := checker(t, withoutRights(t, shared(t), namespace), namespace)
	say(t, weak.Repository(t.Context(), repo, nil), "endpoint", "unknown endpoint: you are not allowed to try Service/berth (services/proxy)")
}
