package main

import (
	"bufio"
	"context"
	"io"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/output"
	"berth.dev/berth/deploy"
	"berth.dev/berth/internal/clustertest"
)

func TestWatch(t *testing.T) {
	w := newWatched(t)
	first := w.create("posts.review.first", "first")
	w.berth("get", "-w", "--kubeconfig", w.kubeconfig, "-n", w.namespace)
	w.expect("NAME BRANCH COMMIT STATUS AGE LINK")
	w.expect("posts.review.first first <none> <none> <age>")

	w.report(first, v1alpha1.ReasonSyncing)
	w.expect("posts.review.first first <none> Syncing <age>")
	w.report(first, v1alpha1.ReasonHealthy)
	w.expect("posts.review.first first <none> Healthy <age>")

	w.proxy.CloseClientConnections()
	second := w.create("posts.review.second", "second")
	w.expect("posts.review.second second <none> <none> <age>") // the first one did not change, so it is not printed again
	w.report(first, v1alpha1.ReasonDegraded)
	w.expect("posts.review.first first <none> Degraded <age>")

	w.report(second, v1alpha1.ReasonHealthy)
	w.expect("posts.review.second second <none> Healthy <age>")
	w.delete(second)
	w.expect("posts.review.second second <none> Deleted <age>")

	w.stop()
	w.ends(0)
}

func TestWatchOfNames(t *testing.T) {
	w := newWatched(t)
	first := w.create("posts.review.first", "first")
	second := w.create("posts.review.second", "second")
	w.berth("get", "-w", "posts.review.second", "-o", "name", "--kubeconfig", w.kubeconfig, "-n", w.namespace)
	w.expect("environment.berth.dev/posts.review.second")
	w.report(first, v1alpha1.ReasonHealthy)
	w.report(second, v1alpha1.ReasonHealthy)
	w.expect("environment.berth.dev/posts.review.second")
	w.stop()
	w.ends(0)
}

// watched is a cluster behind a proxy that can cut connections, and a berth that watches it.
type watched struct {
	t          *testing.T
	client     client.Client
	namespace  string
	proxy      *httptest.Server
	kubeconfig string
	lines      chan string
	stderr     strings.Builder // complete once code was received
	stop       context.CancelFunc
	code       chan int
}

func newWatched(t *testing.T) *watched {
	t.Helper()
	c := cluster(t)
	objects, err := deploy.Objects()
	if err != nil {
		t.Fatal(err)
	}
	if err := clustertest.Apply(t.Context(), c.RESTConfig(), objects[:2]...); err != nil {
		t.Fatal(err)
	}
	w := &watched{t: t, namespace: c.Namespace(t), lines: make(chan string), code: make(chan int, 1)}
	v, err := newViewer(c.RESTConfig(), w.namespace)
	if err != nil {
		t.Fatal(err)
	}
	w.client = v
	target, err := url.Parse(c.RESTConfig().Host)
	if err != nil {
		t.Fatal(err)
	}
	forward := httputil.NewSingleHostReverseProxy(target)
	forward.FlushInterval = -1
	if forward.Transport, err = rest.TransportFor(c.RESTConfig()); err != nil {
		t.Fatal(err)
	}
	w.proxy = httptest.NewServer(forward)
	t.Cleanup(w.proxy.Close)
	w.kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	if err := clustertest.WriteKubeconfig(w.kubeconfig, &rest.Config{Host: w.proxy.URL}); err != nil {
		t.Fatal(err)
	}
	return w
}

// berth runs a command until w.stop.
func (w *watched) berth(args ...string) {
	ctx, stop := context.WithCancel(w.t.Context())
	w.stop = stop
	w.t.Cleanup(stop)
	out, in := io.Pipe()
	go func() {
		w.code <- run(ctx, args, streams{out: in, err: io.MultiWriter(w.t.Output(), &w.stderr)})
		in.Close()
	}()
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			select {
			case w.lines <- lines.Text():
			case <-w.t.Context().Done():
			}
		}
	}()
}

// expect reads one line. It ignores the width of columns, and an age is "<age>".
func (w *watched) expect(want string) {
	w.t.Helper()
	if got := seconds.ReplaceAllString(strings.Join(strings.Fields(w.next(want)), " "), "<age>"); got != want {
		w.t.Fatalf("got the line %q, want %q", got, want)
	}
}

// patience is how long a line, or the end, may take on a loaded machine.
const patience = time.Minute

// next returns the next line, which is to be as wanted.
func (w *watched) next(want string) string {
	w.t.Helper()
	select {
	case line := <-w.lines:
		return line
	case <-time.After(patience):
		w.t.Fatalf("no line came; want %q", want)
		return ""
	}
}

func (w *watched) create(name, branch string) *v1alpha1.Environment {
	w.t.Helper()
	env := &v1alpha1.Environment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: w.namespace},
		Spec:       v1alpha1.EnvironmentSpec{Repository: "posts", Entry: "review", Branch: branch, Namespace: "posts-" + branch},
	}
	if err := w.client.Create(w.t.Context(), env); err != nil {
		w.t.Fatal(err)
	}
	return env
}

func (w *watched) report(env *v1alpha1.Environment, reason string) {
	w.t.Helper()
	env.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: reason, LastTransitionTime: metav1.Now()}}
	if err := w.client.Status().Update(w.t.Context(), env); err != nil {
		w.t.Fatal(err)
	}
}

func (w *watched) delete(env *v1alpha1.Environment) {
	w.t.Helper()
	if err := w.client.Delete(w.t.Context(), env); err != nil {
		w.t.Fatal(err)
	}
}

// The column CLUSTER appears with the first environment in another cluster, under new headers.
func TestTheColumnOfClustersAppearsWhenItIsNeeded(t *testing.T) {
	var out strings.Builder
	p := &printer{w: &out, kind: &environmentKind, headers: true, headed: true, now: time.Now, table: output.NewTable(&out)}
	in := func(name, cluster string) client.Object {
		return &v1alpha1.Environment{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.EnvironmentSpec{Branch: "main", Cluster: cluster}}
	}
	for _, object := range []client.Object{in("a", ""), in("b", ""), in("c", "staging"), in("d", "")} {
		if err := p.some(object); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		got = append(got, strings.Join(strings.Fields(line)[:3], " "))
	}
	want := []string{"NAME BRANCH COMMIT", "a main <none>", "b main <none>", "NAME BRANCH CLUSTER", "c main staging", "d main <none>"}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
