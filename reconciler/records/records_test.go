package records

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"berth.dev/berth/internal/clustertest"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/plan"
)

var cluster = clustertest.Shared(clustertest.Config{APIServerOnly: true})

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

const production = "posts.production.main"

// archive is a namespace with records, and the requests that were made for them.
type archive struct {
	t         *testing.T
	namespace string
	client    *typedcorev1.CoreV1Client
	requests  []string
}

func newArchive(t *testing.T) *archive {
	t.Helper()
	c := cluster(t)
	a := &archive{t: t, namespace: c.Namespace(t)}
	config := c.RESTConfig()
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			a.requests = append(a.requests, r.Method)
			return next.RoundTrip(r)
		})
	})
	var err error
	if a.client, err = typedcorev1.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	return a
}

// open returns the Store of an agent that has just started.
func (a *archive) open() *Store { return New(a.client, a.namespace) }

// asked checks which requests were made since it was last called.
func (a *archive) asked(want ...string) {
	a.t.Helper()
	if !slices.Equal(a.requests, want) {
		a.t.Errorf("requests %v, want %v", a.requests, want)
	}
	a.requests = nil
}

func (a *archive) secret(environment string) *corev1.Secret {
	a.t.Helper()
	secret, err := a.client.Secrets(a.namespace).Get(a.t.Context(), nameOf(environment), metav1.GetOptions{})
	if err != nil {
		a.t.Fatal(err)
	}
	a.requests = nil
	return secret
}

func (a *archive) save(r *Store, environment string, record plan.Record) {
	a.t.Helper()
	if err := r.Save(a.t.Context(), environment, record); err != nil {
		a.t.Fatal(err)
	}
}

func (a *archive) loads(r *Store, environment string, want plan.Record) {
	a.t.Helper()
	got, err := r.Load(a.t.Context(), environment)
	if err != nil {
		a.t.Fatal(err)
	}
	if !got.Equal(want) {
		a.t.Errorf("loaded %+v, want %+v", got, want)
	}
}

// record returns a record of some size with all its fields.
func record(objects int) plan.Record {
	r := plan.Record{
		Sync:  plan.Sync{Digest: manifest.Digest("input"), Commit: "1a2b3c4d", Started: time.Unix(1700000000, 0).UTC(), Settled: true, Running: true},
		Kinds: []schema.GroupVersionKind{{Group: "apps", Version: "v1", Kind: "Deployment"}, {Version: "v1", Kind: "ConfigMap"}},
	}.Clone()
	for i := range objects {
		name := fmt.Sprintf("object-%d", i)
		r.Applied[manifest.Key{Kind: "ConfigMap", Namespace: "posts", Name: name}] = plan.Applied{
			Digest: "1:" + manifest.Digest(name), Ownership: manifest.Digest("owned " + name),
		}
	}
	r.Jobs[manifest.Key{Group: "batch", Kind: "Job", Namespace: "posts", Name: "migrate"}] = plan.JobRecord{
		Digest: "1:x", State: plan.JobFailed, UID: types.UID("u"), Replaces: "v", FinishedAt: time.Unix(1700000100, 0).UTC(), Message: "exit code 1", Ever: true,
	}
	return r
}

func TestRecordsRoundTrip(t *testing.T) {
	a := newArchive(t)
	r := a.open()
	a.loads(r, production, plan.Record{})
	a.loads(r, production, plan.Record{})
	a.asked("GET")
	a.save(r, production, record(3))
	a.asked("POST")
	a.loads(r, production, record(3))
	a.save(r, production, record(3))
	a.asked()
	a.save(r, production, record(4))
	a.asked("PUT")

	restarted := a.open()
	a.loads(restarted, production, record(4))
	a.asked("GET")
	a.save(restarted, production, record(5))
	a.asked("PUT")
}

func TestRecordsAreMarked(t *testing.T) {
	a := newArchive(t)
	a.save(a.open(), production, record(1))
	secret := a.secret(production)
	if secret.Name != "berth-record.posts.production.main" || secret.Type != "berth.dev/record" {
		t.Errorf("it is Secret/%s of type %s", secret.Name, secret.Type)
	}
	if want := map[string]string{"berth.dev/record": "true"}; !maps.Equal(secret.Labels, want) {
		t.Errorf("labels are %v, want %v", secret.Labels, want)
	}
	if want := map[string]string{manifest.AnnotationEnvironment: production}; !maps.Equal(secret.Annotations, want) {
		t.Errorf("annotations are %v, want %v", secret.Annotations, want)
	}
}

func TestNoRecordIsWrittenForNothing(t *testing.T) {
	a := newArchive(t)
	a.save(a.open(), production, plan.Record{})
	a.asked("GET")
}

// A caller may change a loaded record freely until it saves it.
func TestLoadedRecordsAreCopies(t *testing.T) {
	a := newArchive(t)
	r := a.open()
	saved := record(1)
	a.save(r, production, saved)
	clear(saved.Applied)
	loaded, err := r.Load(t.Context(), production)
	if err != nil {
		t.Fatal(err)
	}
	clear(loaded.Applied)
	a.loads(r, production, record(1))
}

func TestConflictingRecordIsNotOverwritten(t *testing.T) {
	for name, before := range map[string]plan.Record{"changed": record(1), "created": {}} {
		t.Run(name, func(t *testing.T) {
			a := newArchive(t)
			r, other := a.open(), a.open()
			a.save(other, production, before)
			a.loads(r, production, before)
			a.save(other, production, record(2))

			err := r.Save(t.Context(), production, record(3))
			if !errors.Is(err, errConflict) {
				t.Fatalf("got %v, want a conflict", err)
			}
			a.loads(r, production, record(2))
			a.save(r, production, record(3))
			a.loads(a.open(), production, record(3))
		})
	}
}

func TestDeletedRecordIsWrittenAgain(t *testing.T) {
	a := newArchive(t)
	r := a.open()
	a.save(r, production, record(1))
	if err := a.open().Delete(t.Context(), production); err != nil {
		t.Fatal(err)
	}
	a.save(r, production, record(2))
	a.loads(a.open(), production, record(2))
}

func TestDeleteRecord(t *testing.T) {
	a := newArchive(t)
	r := a.open()
	a.save(r, production, record(1))
	for range 2 {
		if err := r.Delete(t.Context(), production); err != nil {
			t.Fatal(err)
		}
		a.loads(r, production, plan.Record{})
	}
}

func TestUnreadableRecord(t *testing.T) {
	for name, data := range map[string]map[string]string{
		"not gzip":    {entry: "garbage"},
		"cut off":     {entry: "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"},
		"no entry":    {"else": "x"},
		"not JSON":    {entry: "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\x4b\x04\x00\x43\xbe\xb7\xe8\x01\x00\x00\x00"},
		"not our key": {},
	} {
		t.Run(name, func(t *testing.T) {
			a := newArchive(t)
			a.save(a.open(), production, record(1))
			secret := a.secret(production)
			secret.Data, secret.StringData = nil, nil
			secret.Data = map[string][]byte{}
			for key, value := range data {
				secret.Data[key] = []byte(value)
			}
			if _, err := a.client.Secrets(a.namespace).Update(t.Context(), secret, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}

			r := a.open()
			got, err := r.Load(t.Context(), production)
			var unreadable *UnreadableError
			if !errors.As(err, &unreadable) || unreadable.Environment != production || !got.Equal(plan.Record{}) {
				t.Fatalf("got %+v, %v", got, err)
			}
			a.save(r, production, plan.Record{})
			a.loads(r, production, plan.Record{})
			a.loads(a.open(), production, plan.Record{})
		})
	}
}

// The records of a thousand environments are read with one request, and a new environment causes none.
func TestAllRecordsAreReadAtOnce(t *testing.T) {
	a := newArchive(t)
	before := a.open()
	for i := range 3 {
		a.save(before, fmt.Sprint("posts.review.branch-", i), record(i+1))
	}
	stranger := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "copy", Labels: map[string]string{mark: "true"}}}
	if _, err := a.client.Secrets(a.namespace).Create(t.Context(), stranger, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	a.requests = nil

	r := a.open()
	var all sync.WaitGroup
	for i := range 3 {
		all.Go(func() { a.loads(r, fmt.Sprint("posts.review.branch-", i), record(i+1)) })
	}
	all.Wait()
	a.loads(r, "posts.review.unheard-of", plan.Record{})
	a.asked("GET")
	a.save(r, "posts.review.branch-1", record(9))
	a.asked("PUT")
	a.save(r, "posts.review.unheard-of", record(1))
	a.asked("POST")
}

func TestRecordsOfAnotherNamespaceAreForbidden(t *testing.T) {
	a := newArchive(t)
	config := cluster(t).RESTConfig()
	config.Impersonate.UserName = "ada"
	client, err := typedcorev1.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	r := New(client, a.namespace)
	for name, try := range map[string]func() error{
		"Load":   func() error { _, err := r.Load(t.Context(), production); return err },
		"Save":   func() error { return r.Save(t.Context(), production, record(1)) },
		"Delete": func() error { return r.Delete(t.Context(), production) },
	} {
		if err := try(); err == nil || !strings.Contains(err.Error(), `User "ada" cannot`) || isUnreadable(err) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestRecordName(t *testing.T) {
	for _, test := range []struct{ environment, want string }{
		{production, "berth-record.posts.production.main"},
		{"Posts/Main", "berth-record." + manifest.Digest("Posts/Main")},
		{strings.Repeat("a", 250), "berth-record." + manifest.Digest(strings.Repeat("a", 250))},
	} {
		if got := nameOf(test.environment); got != test.want {
			t.Errorf("%q: got %q, want %q", test.environment, got, test.want)
		}
	}
}

// A Secret holds a mebibyte, which must be enough for the largest environments.
func TestSizeOfALargeRecord(t *testing.T) {
	a := newArchive(t)
	large := record(5000)
	a.save(a.open(), production, large)
	a.loads(a.open(), production, large)
	size := len(a.secret(production).Data[entry])
	t.Logf("5,000 objects take %d bytes", size)
	if size > corev1.MaxSecretSize/2 {
		t.Errorf("it takes %d bytes", size)
	}
}

// Records are packed with every step of a rollout, and fifty environments roll out at once.
func BenchmarkEncode(b *testing.B) {
	records := New(&typedcorev1.CoreV1Client{}, "berth")
	record := plan.Record{}.Clone()
	for i := range 12 {
		key := manifest.Key{Group: "apps", Kind: "Deployment", Namespace: "posts", Name: fmt.Sprint("app-", i)}
		record.Applied[key] = plan.Applied{Digest: "1:" + strings.Repeat("a", 26), Ownership: strings.Repeat("b", 26)}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := records.encode(production, record); err != nil {
			b.Fatal(err)
		}
	}
}
