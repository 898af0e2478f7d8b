package apply

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"berth.dev/berth/reconciler/plan"
)

// answering answers every write in place of the API server.
func answering(count *atomic.Int32, code int, retryAfter, body string) func(*rest.Config, *Config) {
	return func(c *rest.Config, _ *Config) {
		c.Wrap(func(next http.RoundTripper) http.RoundTripper {
			return Unretried(roundTripper(func(r *http.Request) (*http.Response, error) {
				if r.Method == http.MethodGet {
					return next.RoundTrip(r)
				}
				count.Add(1)
				answer := httptest.NewRecorder()
				if retryAfter != "" {
					answer.Header().Set("Retry-After", retryAfter)
				}
				answer.WriteHeader(code)
				io.WriteString(answer, body)
				return answer.Result(), nil
			}))
		})
	}
}

func TestThrottling(t *testing.T) {
	for _, test := range []struct {
		name             string
		code             int
		retryAfter, body string
		want             time.Duration
		message          string
	}{
		{"by priority and fairness", http.StatusTooManyRequests, "7", "Too many requests, please try again later.", 7 * time.Second, "Too Many Requests; it is tried again"},
		{"by the server itself", http.StatusTooManyRequests, "3", `{"kind":"Status","status":"Failure","message":"not now","reason":"TooManyRequests","code":429}`, 3 * time.Second, "not now; it is tried again"},
		{"while it starts", http.StatusServiceUnavailable, "1", "starting", time.Second, "Service Unavailable; it is tried again"},
		{"an error that promises nothing", http.StatusBadGateway, "", "", 0, "; it is tried again"},
		{"a date", http.StatusServiceUnavailable, "Fri, 31 Dec 1999 23:59:59 GMT", "", 0, "; it is tried again"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var count atomic.Int32
			w := newWorld(t, answering(&count, test.code, test.retryAfter, test.body))
			r := w.classed(Transient, w.do(plan.Create, configMap, nil))
			if r.Err.RetryAfter != test.want || !strings.HasSuffix(r.Err.Message, test.message) {
				t.Errorf("got %q after %s, want %q after %s", r.Err.Message, r.Err.RetryAfter, test.message, test.want)
			}
			if n := count.Load(); n != 1 {
				t.Errorf("%d requests were made, want one", n)
			}
		})
	}
}

// webhook installs a webhook for new ConfigMaps of this world's namespace, which a server with this handler
// answers.
func (w *world) webhook(answer http.HandlerFunc, timeoutSeconds string) {
	w.t.Helper()
	server := httptest.NewTLSServer(answer)
	w.t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	o := w.object(`
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: NS}
webhooks:
- name: guard.example.com
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NS}}
  rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}]
  timeoutSeconds: ` + timeoutSeconds + `
  failurePolicy: Fail
  sideEffects: None
  admissionReviewVersions: [v1]
`)
	hooks, _, _ := unstructured.NestedSlice(o.Object, "webhooks")
	hooks[0].(map[string]any)["clientConfig"] = map[string]any{"url": server.URL, "caBundle": base64.StdEncoding.EncodeToString(ca)}
	o.Object["webhooks"] = hooks
	if _, err := w.resource(o).Create(w.t.Context(), o.Unstructured, metav1.CreateOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

// review answers an admission review.
func review(rw http.ResponseWriter, r *http.Request, allowed bool) {
	var asked struct {
		Request struct {
			UID string `json:"uid"`
		} `json:"request"`
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	rw.Header().Set("Content-Type", "application/json")
	json.NewEncoder(rw).Encode(map[string]any{
		"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
		"response": map[string]any{"uid": asked.Request.UID, "allowed": allowed, "status": map[string]any{"message": "every ConfigMap needs an owner"}},
	})
}

func TestWebhookThatRefuses(t *testing.T) {
	w := newWorld(t)
	w.webhook(func(rw http.ResponseWriter, r *http.Request) { review(rw, r, false) }, "10")
	probe := with(configMap, "settings", "probe")
	w.until(func() bool { return w.do(plan.Create, probe, nil).Err != nil })
	w.refused(Denied, `infra/app.yaml:12: ConfigMap/NS/settings: admission webhook "guard.example.com" denied the request: every ConfigMap needs an owner; correct it in Git, or ask an administrator of the cluster for an exception`,
		w.do(plan.Create, configMap, nil))
}

// A slow webhook delays the objects of one environment, but not those of others.
func TestSlowWebhookHoldsNobodyElse(t *testing.T) {
	slow, other := newWorld(t, func(_ *rest.Config, c *Config) { c.Timeout = patience }), anotherWorld(t)
	other.applier = slow.applier
	asked, release := make(chan struct{}, 1), make(chan struct{})
	slow.webhook(func(rw http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-release
		review(rw, r, true)
	}, "30")
	t.Cleanup(sync.OnceFunc(func() { close(release) }))
	done := make(chan Result, 1)
	go func() { done <- slow.throughWebhook() }()
	select {
	case <-asked:
	case r := <-done:
		t.Fatalf("the webhook was never asked: %s", describe(r))
	}
	for _, r := range other.run(other.step(plan.Create, configMap, nil), other.step(plan.Create, deployment, nil)) {
		other.must(Created, r)
	}
	if len(done) > 0 {
		t.Fatal("the slow one is done before the webhook has answered")
	}
}

// throughWebhook creates and deletes an object until the webhook blocks a creation.
func (w *world) throughWebhook() Result {
	steps := []plan.Step{w.step(plan.Create, configMap, nil)}
	for begin := time.Now(); ; {
		r := w.applier.Run(w.t.Context(), w.target, steps)[0]
		if r.Err != nil || time.Since(begin) > patience {
			return r
		}
		w.applier.Run(w.t.Context(), w.target, []plan.Step{gone(r.Live)})
	}
}

func TestWebhookThatDoesNotAnswer(t *testing.T) {
	w := newWorld(t)
	release := make(chan struct{})
	w.webhook(func(http.ResponseWriter, *http.Request) { <-release }, "1")
	t.Cleanup(func() { close(release) })
	probe := with(configMap, "settings", "probe")
	w.until(func() bool {
		r := w.do(plan.Create, probe, nil)
		if r.Err == nil {
			w.must(Deleted, w.run(gone(r.Live))[0])
		}
		return r.Err != nil
	})
	r := w.classed(Unanswered, w.do(plan.Create, configMap, nil))
	if !strings.Contains(r.Err.Message, `failed calling webhook "guard.example.com"`) {
		t.Errorf("it says %s", r.Err.Message)
	}
}

// An aggregated API without a backend hides only its own kinds.
func TestDiscoveryThatFailsForOneGroup(t *testing.T) {
	w := newWorld(t)
	w.kubectl(`
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.NS.example.com}
spec:
  group: NS.example.com
  version: v1
  groupPriorityMinimum: 100
  versionPriority: 100
  insecureSkipTLSVerify: true
  service: {name: nobody, namespace: NS}
`)
	client, err := rest.HTTPClientFor(w.config)
	if err != nil {
		t.Fatal(err)
	}
	lazy, err := apiutil.NewDynamicRESTMapper(w.config, client)
	if err != nil {
		t.Fatal(err)
	}
	w.applier = New(Config{Dynamic: dynamicFor(t, w.config), Mapper: lazy})
	w.must(Created, w.do(plan.Create, deployment, nil))
	const aggregated = "{apiVersion: NS.example.com/v1, kind: Metric, metadata: {name: x, namespace: NS}}"
	results := w.run(w.step(plan.Create, aggregated, nil), w.step(plan.Create, configMap, nil))
	w.classed(Transient, results[0])
	w.must(Created, results[1])
}

// mute drops requests about objects of stage 0, and records all requests.
func mute(asked *[]string) func(*rest.Config, *Config) {
	return func(c *rest.Config, config *Config) {
		config.Concurrency = 1
		c.Wrap(func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				name := path.Base(r.URL.Path)
				*asked = append(*asked, name)
				if strings.HasPrefix(name, "s0") {
					return nil, context.DeadlineExceeded
				}
				return next.RoundTrip(r)
			})
		})
	}
}

// Timeouts end a run after a few tries, and delay nothing else in the next run.
func TestTimeOutsEndARun(t *testing.T) {
	var asked []string
	w := newWorld(t, mute(&asked))
	steps := w.many(0, 0, 0, 0, 1)
	results := w.run(steps...)
	for i, class := range []Class{Unanswered, Unanswered, Unanswered, Transient, Transient} {
		w.classed(class, results[i])
	}
	w.refused(Transient, "infra/app.yaml:12: ConfigMap/NS/s1-04: was not tried: the API server did not answer earlier requests in time; it is tried again", results[4])
	for i := range 3 {
		steps[i].Late = true
	}
	asked = nil
	results = w.run(steps...)
	w.must(Created, results[4])
	if want := []string{"s0-03", "s1-04", "s0-00", "s0-01"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %v, want %v", asked, want)
	}
	w.classed(Transient, results[2])

	asked = nil
	for _, r := range w.applier.Validate(t.Context(), w.target, w.many(0, 0, 0, 0, 0, 1)) {
		if r.Err != nil {
			t.Errorf("nothing is wrong with %s: %v", r.Step.Key, r.Err)
		}
	}
	if len(asked) != mostUnanswered {
		t.Errorf("a dry run asked for %v", asked)
	}
}
