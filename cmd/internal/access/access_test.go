package access_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clientfake "k8s.io/client-go/kubernetes/fake"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/access"
	"berth.dev/berth/cmd/internal/inspect"
)

// rules are what users and groups may do, as "who verb resource namespace/name". They answer reviews as RBAC does.
type rules struct {
	authorizationclient.SubjectAccessReviewInterface

	mu    sync.Mutex
	all   []string
	err   error
	asked int
	slow  time.Duration
}

// Create answers a review.
func (r *rules) Create(ctx context.Context, review *authorizationv1.SubjectAccessReview, _ metav1.CreateOptions) (*authorizationv1.SubjectAccessReview, error) {
	select {
	case <-time.After(r.slow):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	a := review.Spec.ResourceAttributes
	resource := strings.Trim(a.Resource+"/"+a.Subresource, "/")
	for _, who := range append([]string{review.Spec.User}, review.Spec.Groups...) {
		for _, name := range []string{a.Name, "*"} {
			if slices.Contains(r.all, strings.Join([]string{who, a.Verb, resource, a.Namespace + "/" + name}, " ")) {
				review.Status.Allowed = true
			}
		}
	}
	return review, r.err
}

func (r *rules) set(all ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = all
}

// world is a cluster that the program may read, except for its Secrets.
type world struct {
	client.WithWatch
	*rules
	*access.Reviews
	events *clientfake.Clientset
	logged *strings.Builder
}

func begin(t *testing.T, allowed ...string) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(v1alpha1.AddToScheme(scheme), corev1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	meta := metav1.ObjectMeta{Name: "posts.review.a", Namespace: "berth"}
	forbid := func(_ context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
		if strings.Contains(list.GetObjectKind().GroupVersionKind().Kind, "Secret") {
			return apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "", errors.New("the agent cannot list secrets"))
		}
		return c.List(context.Background(), list, opts...)
	}
	w := &world{rules: &rules{all: allowed}, events: clientfake.NewClientset(), logged: &strings.Builder{}}
	w.WithWatch = fake.NewClientBuilder().WithScheme(scheme).WithRESTMapper(mapper()).WithInterceptorFuncs(interceptor.Funcs{List: forbid}).WithObjects(
		&v1alpha1.Environment{ObjectMeta: meta}, &v1alpha1.Repository{ObjectMeta: metav1.ObjectMeta{Name: "posts", Namespace: "berth"}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "settings", Namespace: "posts-a"}},
	).Build()
	w.Reviews = access.NewReviews(w.rules, time.Now)
	return w
}

func mapper() meta.RESTMapper {
	m := meta.NewDefaultRESTMapper(nil)
	for _, kind := range []string{"ConfigMap", "Secret", "Event", "Pod"} {
		m.Add(corev1.SchemeGroupVersion.WithKind(kind), meta.RESTScopeNamespace)
	}
	m.Add(v1alpha1.GroupVersion.WithKind("Environment"), meta.RESTScopeNamespace)
	m.Add(v1alpha1.GroupVersion.WithKind("Repository"), meta.RESTScopeNamespace)
	return m
}

func (w *world) reader(user string, groups ...string) access.Reader {
	return access.Reader{Subject: w.Of(user, groups), Own: w.WithWatch}
}

func (w *world) actor(user string) *access.Actor {
	return &access.Actor{
		Subject: w.Of(user, nil), Own: w.WithWatch, Namespace: "berth", Events: w.events.EventsV1().Events("berth"),
		Now: time.Now, Log: slog.New(slog.NewTextHandler(w.logged, nil)),
	}
}

func TestAViewerReadsWhatBothMayRead(t *testing.T) {
	w := begin(t, "ada list configmaps posts-a/*", "ada list configmaps posts-a/", "ops get configmaps posts-a/settings", "ada list secrets posts-a/")
	configMaps := &metav1.PartialObjectMetadataList{}
	configMaps.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ConfigMapList"))
	if err := w.reader("ada").List(t.Context(), configMaps, client.InNamespace("posts-a")); err != nil || len(configMaps.Items) != 1 {
		t.Errorf("ada lists %d, %v", len(configMaps.Items), err)
	}
	for where, list := range map[string]client.ListOption{"another namespace": client.InNamespace("posts-b"), "all namespaces": client.InNamespace("")} {
		if err := w.reader("ada").List(t.Context(), &corev1.ConfigMapList{}, list); !apierrors.IsForbidden(err) {
			t.Errorf("ada lists %s: %v", where, err)
		}
	}
	settings := client.ObjectKey{Namespace: "posts-a", Name: "settings"}
	if err := w.reader("eve", "ops").Get(t.Context(), settings, &corev1.ConfigMap{}); err != nil {
		t.Errorf("one of ops reads: %v", err)
	}
	if err := w.reader("eve").Get(t.Context(), settings, &corev1.ConfigMap{}); !apierrors.IsForbidden(err) {
		t.Errorf("eve reads: %v", err)
	}
	secrets := &corev1.SecretList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "SecretList"}}
	if err := w.reader("ada").List(t.Context(), secrets, client.InNamespace("posts-a")); !errors.Is(err, inspect.ErrNotOurs) || apierrors.IsForbidden(err) {
		t.Errorf("what the agent may not read: %v", err)
	}
}

// The API server would answer for the groups alone.
func TestNobodyMayNothing(t *testing.T) {
	w := begin(t, " list configmaps posts-a/", "ops list configmaps posts-a/")
	if err := w.reader("", "ops").List(t.Context(), &corev1.ConfigMapList{}, client.InNamespace("posts-a")); !apierrors.IsForbidden(err) {
		t.Errorf("a viewer without a name lists: %v", err)
	}
}

// A group is not the user of the same name, and two users never share an answer.
func TestAnswersAreForOneSubject(t *testing.T) {
	w := begin(t, "ops get environments berth/*")
	what := authorizationv1.ResourceAttributes{Verb: "get", Group: "berth.dev", Resource: "environments", Namespace: "berth", Name: "x"}
	for _, test := range []struct {
		user   string
		groups []string
		want   bool
	}{{"ada", []string{"ops"}, true}, {"ada", nil, false}, {"ada", []string{"op", "s"}, false}, {"ada\",\"ops", nil, false}, {"ops", nil, true}} {
		if got, err := w.Of(test.user, test.groups).May(t.Context(), what); got != test.want || err != nil {
			t.Errorf("%q of %q: %t, %v", test.user, test.groups, got, err)
		}
	}
}

func TestAnswersCountForAShortTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, "ada get configmaps posts-a/settings")
		what := authorizationv1.ResourceAttributes{Verb: "get", Resource: "configmaps", Namespace: "posts-a", Name: "settings"}
		may := func() bool {
			allowed, err := w.Of("ada", nil).May(t.Context(), what)
			return allowed && err == nil
		}
		for range 5 {
			if !may() {
				t.Fatal("she may not")
			}
		}
		if w.asked != 1 {
			t.Errorf("the API server is asked %d times", w.asked)
		}
		w.set()
		time.Sleep(access.Age + time.Second)
		if may() {
			t.Error("a right that was withdrawn still counts")
		}
	})
}

func TestWithoutAnAnswerNothingIsAllowed(t *testing.T) {
	w := begin(t, "ada list configmaps posts-a/")
	w.rules.err = errors.New("the API server is gone")
	if err := w.reader("ada").List(t.Context(), &corev1.ConfigMapList{}, client.InNamespace("posts-a")); err == nil {
		t.Error("it is allowed")
	}
	w.rules.err = nil
	if err := w.reader("ada").List(t.Context(), &corev1.ConfigMapList{}, client.InNamespace("posts-a")); err != nil {
		t.Errorf("the failure is kept: %v", err)
	}
}

// Requests that wait for the same answer do not depend on the browser that asked first.
func TestABrowserThatLeavesTakesNoAnswerAlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, "ada get configmaps posts-a/settings")
		w.slow = time.Second
		what := authorizationv1.ResourceAttributes{Verb: "get", Resource: "configmaps", Namespace: "posts-a", Name: "settings"}
		gone, leave := context.WithCancel(t.Context())
		go func() { _, _ = w.Of("ada", nil).May(gone, what) }()
		synctest.Wait()
		time.AfterFunc(time.Second/2, leave)
		if allowed, err := w.Of("ada", nil).May(t.Context(), what); !allowed || err != nil {
			t.Errorf("got %t, %v", allowed, err)
		}
	})
}

func TestLogsNeedTheirOwnRight(t *testing.T) {
	w := begin(t, "ada get pods/log posts-a/api", "eve list pods posts-a/")
	read := func(context.Context, types.NamespacedName, *corev1.PodLogOptions) ([]byte, error) {
		return []byte("a line"), nil
	}
	open := func(context.Context, types.NamespacedName, *corev1.PodLogOptions) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader("a line")), nil
	}
	for user, want := range map[string]bool{"ada": true, "eve": false} {
		for pod, isAllowed := range map[string]bool{"api": want, "other": false} {
			name := types.NamespacedName{Namespace: "posts-a", Name: pod}
			if _, err := w.Of(user, nil).Logs(read)(t.Context(), name, nil); (err == nil) != isAllowed {
				t.Errorf("%s reads the log of %s: %v", user, pod, err)
			}
			if _, err := w.Of(user, nil).Stream(open)(t.Context(), name, nil); (err == nil) != isAllowed {
				t.Errorf("%s follows the log of %s: %v", user, pod, err)
			}
		}
	}
}

func TestAFollowedLogEndsWithTheRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, "ada get pods/log posts-a/api")
		pipe, writer := io.Pipe()
		open := func(context.Context, types.NamespacedName, *corev1.PodLogOptions) (io.ReadCloser, error) {
			return pipe, nil
		}
		log, err := w.Of("ada", nil).Stream(open)(t.Context(), types.NamespacedName{Namespace: "posts-a", Name: "api"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			_, _ = writer.Write([]byte("one"))
			time.Sleep(2 * access.Age)
			_, _ = writer.Write([]byte("two"))
		}()
		text := make([]byte, 10)
		if n, err := log.Read(text); string(text[:n]) != "one" || err != nil {
			t.Fatalf("got %q, %v", text[:n], err)
		}
		w.set()
		if n, err := log.Read(text); n != 0 || !apierrors.IsForbidden(err) {
			t.Errorf("got %q, %v", text[:n], err)
		}
	})
}

func TestAnActIsRecorded(t *testing.T) {
	w := begin(t, "ada pin environments berth/posts.review.a")
	actor, err := w.actor("ada").As(t.Context(), "pin", "environments", "posts.review.a")
	if err != nil {
		t.Fatal(err)
	}
	env := &v1alpha1.Environment{}
	if err := w.Get(t.Context(), client.ObjectKey{Namespace: "berth", Name: "posts.review.a"}, env); err != nil {
		t.Fatal(err)
	}
	if err := actor.Set(t.Context(), env, "suspend", true); err != nil || !env.Spec.Suspend {
		t.Errorf("suspended: %t, %v", env.Spec.Suspend, err)
	}
	if by := env.Annotations[v1alpha1.AnnotationRequestedBy]; !strings.HasSuffix(by, " suspend ada") {
		t.Errorf("the annotation for the history is %q", by)
	}
	events, err := w.events.EventsV1().Events("berth").List(t.Context(), metav1.ListOptions{})
	if err != nil || len(events.Items) != 1 || events.Items[0].Note != "ada requested pin on the page" || events.Items[0].Regarding.Name != env.Name {
		t.Errorf("the events are %+v, %v", events.Items, err)
	}
	if !strings.Contains(w.logged.String(), "user=ada") || !strings.Contains(w.logged.String(), "action=pin") {
		t.Errorf("the log says %q", w.logged)
	}
}

// A permission is for one verb and one object. What the page asks for with it cannot reach further.
func TestAnActReachesNoFurtherThanItsPermission(t *testing.T) {
	w := begin(t, "ada retry environments berth/posts.review.a", "ada sync environments berth/posts.review.a")
	for _, verb := range []string{"pin", "suspend", "confirm", "keep"} {
		if _, err := w.actor("ada").As(t.Context(), verb, "environments", "posts.review.a"); !apierrors.IsForbidden(err) {
			t.Errorf("%s: %v", verb, err)
		}
	}
	at := func(name, namespace string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Name: name, Namespace: namespace}
	}
	for verb, tests := range map[string]map[client.Object]bool{
		"retry": {
			&v1alpha1.Environment{ObjectMeta: at("posts.review.a", "berth")}:   true,
			&v1alpha1.Environment{ObjectMeta: at("posts.review.b", "berth")}:   false,
			&v1alpha1.Environment{ObjectMeta: at("posts.review.a", "posts-a")}: false,
			&v1alpha1.Repository{ObjectMeta: at("posts", "berth")}:             false,
			&corev1.ConfigMap{ObjectMeta: at("settings", "posts-a")}:           false,
		},
		"sync": {
			&v1alpha1.Repository{ObjectMeta: at("posts", "berth")}:             true,
			&v1alpha1.Repository{ObjectMeta: at("posts", "posts-a")}:           false,
			&v1alpha1.Environment{ObjectMeta: at("posts.production", "berth")}: false,
		},
	} {
		actor, err := w.actor("ada").As(t.Context(), verb, "environments", "posts.review.a")
		if err != nil {
			t.Fatal(err)
		}
		for object, want := range tests {
			if err := actor.Annotate(t.Context(), object, "a", "b"); (err == nil) != want {
				t.Errorf("%s changes %T %s/%s: %v", verb, object, object.GetNamespace(), object.GetName(), err)
			}
		}
	}
}
