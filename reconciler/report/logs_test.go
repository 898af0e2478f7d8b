package report

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/health"
	"berth.dev/berth/reconciler"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
)

// kubelet is an API server that serves only logs.
type kubelet struct {
	*Logs
	t        *testing.T
	asked    atomic.Int32
	requeued chan types.NamespacedName
	env      *v1alpha1.Environment
}

// logging returns a kubelet that answers every request for a log.
func logging(t *testing.T, answer func(*http.Request) string) *kubelet {
	k := &kubelet{t: t, requeued: make(chan types.NamespacedName, 10), env: &v1alpha1.Environment{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.asked.Add(1)
		fmt.Fprint(w, answer(r))
	}))
	t.Cleanup(server.Close)
	client, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	k.Logs = NewLogs(func(*v1alpha1.Environment) typedcorev1.PodsGetter { return client.CoreV1() }, func(name types.NamespacedName) { k.requeued <- name }, slog.New(slog.DiscardHandler))
	k.env.Name, k.env.UID = "posts.review.login", "1"
	return k
}

// failing returns a finding in which a container of a Deployment failed.
func failing(pod string) reconciler.Judged {
	return reconciler.Judged{
		Mask: func(text string) string { return strings.ReplaceAll(text, "hunter2", "•••") },
		Objects: &reconciler.Objects{Unhealthy: []reconciler.Problem{{
			Key:    manifest.Key{Group: "apps", Kind: "Deployment", Namespace: "posts-login", Name: "api"},
			Health: health.Health{Status: health.Failed, Message: "container app exited with code 1"},
			Log:    &observed.Container{Pod: pod, Name: "app"},
		}}},
	}
}

// showing returns the standing of an environment whose logs all users may read.
func showing(j reconciler.Judged) Standing {
	s := found(j)
	s.ShowLogs = true
	return s
}

// report reports an outcome, and returns the log in the status.
func (k *kubelet) report(j reconciler.Judged) string {
	k.t.Helper()
	status := v1alpha1.EnvironmentStatus{Unhealthy: unhealthy(k.env, j.Objects.Unhealthy)}
	k.add(k.t.Context(), k.env, &status, showing(j))
	k.env.Status = status
	return status.Unhealthy[0].Log
}

func (k *kubelet) awaitRequeue() {
	k.t.Helper()
	select {
	case name := <-k.requeued:
		if name.Name != k.env.Name {
			k.t.Errorf("%s was requeued", name)
		}
	case <-time.After(30 * time.Second):
		k.t.Fatal("no environment was requeued")
	}
}

func TestLogs(t *testing.T) {
	k := logging(t, func(r *http.Request) string {
		q := r.URL.Query()
		if r.URL.Path != "/api/v1/namespaces/posts-login/pods/api-1/log" || q.Get("container") != "app" || q.Get("tailLines") != "10" {
			t.Errorf("asked for %s", r.URL)
		}
		return "starting\npassword hunter2 is wrong\n"
	})
	if got := k.report(failing("api-1")); got != "" {
		t.Errorf("the report waited until %q", got)
	}
	k.awaitRequeue()
	const want = "starting\npassword ••• is wrong"
	for range 3 {
		if got := k.report(failing("api-1")); got != want {
			t.Errorf("got %q", got)
		}
	}
	if n := k.asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	healthy := reconciler.Judged{Objects: &reconciler.Objects{}, Mask: failing("").Mask}
	k.add(t.Context(), k.env, &v1alpha1.EnvironmentStatus{}, showing(healthy))
	if len(k.known) > 0 {
		t.Errorf("remembered: %v", k.known)
	}

	t.Run("the pod is gone", func(t *testing.T) {
		k.env.Status.Unhealthy = []v1alpha1.UnhealthyObject{{Kind: "Deployment", Namespace: "posts-login", Name: "api", Message: "container app exited with code 1", Log: want}}
		gone := failing("api-1")
		gone.Objects.Unhealthy[0].Log = nil
		if got := k.report(gone); got != want {
			t.Errorf("it forgot what had been read: %q", got)
		}
	})
	t.Run("another agent", func(t *testing.T) {
		k.env.Status.Unhealthy = []v1alpha1.UnhealthyObject{{Kind: "Deployment", Namespace: "posts-login", Name: "api", Message: "container app exited with code 1", Log: want}}
		if got := k.report(failing("api-1")); got != want {
			t.Errorf("it forgot what its predecessor had read: %q", got)
		}
		k.awaitRequeue()
	})
}

// The last lines of a log are read just after a failure is reported. Users do not wait for them as for the counts of a rollout.
func TestTheFirstLogOfAFailureIsWrittenAtOnce(t *testing.T) {
	with := func(logs ...string) (s v1alpha1.EnvironmentStatus) {
		for i, log := range logs {
			s.Unhealthy = append(s.Unhealthy, v1alpha1.UnhealthyObject{Kind: "Deployment", Name: fmt.Sprint("api-", i), Log: log})
		}
		return s
	}
	for _, test := range []struct {
		rule          string
		before, after v1alpha1.EnvironmentStatus
		state         plan.State
		waits         bool
	}{
		{"a first log", with(""), with("it crashed"), plan.Failed, false},
		{"an object that fails with its log", with(), with("it crashed"), plan.Going, false},
		{"the first log of a second object", with("it crashed", ""), with("it crashed", "so did it"), plan.Failed, false},
		{"another log of the same object", with("it crashed"), with("it crashed again"), plan.Failed, true},
		{"a log that is gone", with("it crashed"), with(""), plan.Failed, true},
		{"an object without a log", with(), with(""), plan.Going, true},
		{"a pod that recovers soon", with(""), with("it crashed"), plan.Settled, true},
	} {
		if got := canWait(test.before, test.after, test.state); got != test.waits {
			t.Errorf("%s: it waits: %t", test.rule, got)
		}
	}
}

// A container that was just restarted has not logged anything yet.
func TestLogsOfThePreviousContainer(t *testing.T) {
	k := logging(t, func(r *http.Request) string {
		if r.URL.Query().Get("previous") == "true" {
			return "it crashed"
		}
		return ""
	})
	k.report(failing("api-1"))
	k.awaitRequeue()
	if got := k.report(failing("api-1")); got != "it crashed" {
		t.Errorf("got %q", got)
	}
}

// The API server truncates a long log anywhere, and half a value would not be recognized.
func TestALogThatWasCutOff(t *testing.T) {
	const line = "a line\n"
	k := logging(t, func(*http.Request) string { return line + strings.Repeat("x", maxLog-len(line)-len("hunt")) + "hunt" })
	k.report(failing("api-1"))
	k.awaitRequeue()
	if got := k.report(failing("api-1")); got != "a line" {
		t.Errorf("got %.40q", got)
	}
}

// A user who may read the status of production need not be allowed to read its logs.
func TestNoLogsWhereTheyAreNotToBeShown(t *testing.T) {
	k := logging(t, func(*http.Request) string { return "never" })
	j := failing("api-1")
	status := v1alpha1.EnvironmentStatus{Unhealthy: unhealthy(k.env, j.Objects.Unhealthy)}
	k.add(t.Context(), k.env, &status, found(j))
	if got := status.Unhealthy[0].Log; got != "" || len(k.known) > 0 {
		t.Errorf("got %q", got)
	}
}

func TestLastLines(t *testing.T) {
	numbered := func(n, width int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "%0*d\n", width, i)
		}
		return b.String()
	}
	for _, test := range []struct {
		text, want string
	}{
		{"", ""},
		{"one\n", "one"},
		{numbered(20, 2), strings.TrimSpace(numbered(20, 2)[30:])},
		{numbered(10, 1000), strings.TrimSpace(numbered(10, 1000)[8*1001:])},
		{strings.Repeat("x", 5000), strings.Repeat("x", logBytes)},
		{"bro\xffken", "bro?ken"},
	} {
		if got := lastLines(test.text); got != test.want {
			t.Errorf("%.40q became %q", test.text, got)
		}
	}
}

// For a container without a log, a kubelet answers with status 200 and a text.
func TestTheKubeletsExcuseIsNoLog(t *testing.T) {
	k := logging(t, func(r *http.Request) string {
		if r.URL.Query().Get("previous") == "true" {
			return "panic: no database\n"
		}
		return "unable to retrieve container logs for containerd://2c6f"
	})
	k.report(failing("api-1"))
	k.awaitRequeue()
	if got := k.report(failing("api-1")); got != "panic: no database" {
		t.Errorf("the log is %q", got)
	}
}

// The content of a log does not end the agent.
func TestALogThatCannotBeMaskedWithoutAPanic(t *testing.T) {
	k := logging(t, func(*http.Request) string { return "a line\n" })
	panicked := make(chan string, 1)
	k.log = slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
		panicked <- string(p)
		return len(p), nil
	}), nil))
	j := failing("api-1")
	j.Mask = func(string) string { panic("a line") }
	k.report(j)
	select {
	case text := <-panicked:
		if !strings.Contains(text, "logs_test.go") {
			t.Errorf("logged %.500s", text)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("nothing was logged")
	}
	if got := k.report(j); got != "" {
		t.Errorf("got %q", got)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// An API server need not heed the limits of a request. The agent's memory must not depend on that.
func TestALogWithoutEnd(t *testing.T) {
	const enough = 64 << 20
	sent, done := 0, make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		defer close(done)
		for line := []byte(strings.Repeat("x", 1023) + "\n"); sent < enough; {
			n, err := w.Write(line)
			if sent += n; err != nil {
				return
			}
		}
	}))
	t.Cleanup(server.Close)
	client, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	text := tail(t.Context(), client.CoreV1(), container{namespace: "posts-login", Container: observed.Container{Pod: "api-1", Name: "app"}}, &corev1.PodLogOptions{})
	<-done
	if len(text) == 0 || len(text) > maxLog || sent >= enough {
		t.Errorf("%d bytes of %d were kept", len(text), sent)
	}
}
