package web_test

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/inspect"
	"berth.dev/berth/cmd/internal/web"
	"berth.dev/berth/health"
)

var now = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

const namespace = "berth"

// site is a page about some objects.
type site struct {
	*testing.T
	client.WithWatch
	*web.Server
	// describe returns what is in the cluster beside Environments.
	description inspect.Description
	calls       interceptor.Funcs
	// lines are the logs of all containers, and unread is what cannot be read.
	lines  []inspect.Line
	unread []string
	// rotates changes the secret each time that it is read, and masks counts how often that was.
	rotates bool
	masks   int
	// steps are those of syncs by commit, and of comparisons by "from..to". differs is why there are none.
	steps   map[string][]inspect.Step
	places  map[string]string
	asked   int // how often they were asked for
	differs error
	// denied are the resources that the viewer may not change.
	denied []string
	// boards is how many servers watch the objects.
	boards int
	// cluster is the name of the cluster.
	cluster string
}

// open serves a page about objects.
func open(t *testing.T, s *site, objects ...client.Object) *site {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	byField := func(of func(*corev1.Event) string) client.IndexerFunc {
		return func(o client.Object) []string { return []string{of(o.(*corev1.Event))} }
	}
	s.T = t
	boards := max(1, s.boards)
	s.WithWatch = listing{environments: newWatches(boards), repositories: newWatches(boards), WithWatch: fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithInterceptorFuncs(s.calls).
		WithIndex(&corev1.Event{}, "involvedObject.kind", byField(func(e *corev1.Event) string { return e.InvolvedObject.Kind })).
		WithIndex(&corev1.Event{}, "reason", byField(func(e *corev1.Event) string { return e.Reason })).Build()}
	var err error
	s.Server, err = web.New(web.Config{
		Watch: s.WithWatch, Client: s.WithWatch, Inspector: s, Logs: s, Differ: s, FormToken: "the token", Namespace: namespace, Cluster: cmp.Or(s.cluster, "test"), Author: "Ada",
		Actor:   &web.Own{Client: s.WithWatch, User: func(context.Context) string { return "ada" }, Access: access{denied: s.denied}, Namespace: namespace, Now: s.clock},
		Roles:   web.Roles{Operator: "edit", Administrator: "admin"},
		Explain: func(err error) error { return fmt.Errorf("explained: %w", err) }, Now: s.clock,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Server.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return s
}

// clock returns the time of the page, which stands still unless secrets rotate.
func (s *site) clock() time.Time {
	if s.rotates {
		return time.Now()
	}
	return now
}

// listing is a client whose watches do not begin with a listing, because that of tests cannot do this. That client does not
// report what changed between a listing and its watch either, so changes wait for the first watch of every board.
type listing struct {
	client.WithWatch
	environments, repositories *watches
}

// watches are those of one kind.
type watches struct {
	missing atomic.Int32
	begun   chan struct{} // closed when none is missing
}

func newWatches(n int) *watches {
	w := &watches{begun: make(chan struct{})}
	w.missing.Store(int32(n))
	return w
}

func (w *watches) begin() {
	if w.missing.Add(-1) == 0 {
		close(w.begun)
	}
}

// IsWatchListSemanticsUnSupported tells informers to list first.
func (listing) IsWatchListSemanticsUnSupported() bool { return true }

// Watch watches objects of a kind.
func (l listing) Watch(ctx context.Context, list client.ObjectList, options ...client.ListOption) (watch.Interface, error) {
	w, err := l.WithWatch.Watch(ctx, list, options...)
	if err == nil {
		watched := l.environments
		if _, ok := list.(*v1alpha1.RepositoryList); ok {
			watched = l.repositories
		}
		watched.begin()
	}
	return w, err
}

// Create creates an object.
func (l listing) Create(ctx context.Context, object client.Object, options ...client.CreateOption) error {
	if err := l.wait(ctx); err != nil {
		return err
	}
	return l.WithWatch.Create(ctx, object, options...)
}

// Update updates an object.
func (l listing) Update(ctx context.Context, object client.Object, options ...client.UpdateOption) error {
	if err := l.wait(ctx); err != nil {
		return err
	}
	return l.WithWatch.Update(ctx, object, options...)
}

// wait waits until both kinds are watched.
func (l listing) wait(ctx context.Context) error {
	for _, watched := range []*watches{l.environments, l.repositories} {
		select {
		case <-watched.begun:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// access answers what the viewer may do.
type access struct {
	authorizationclient.SelfSubjectAccessReviewInterface
	denied []string
}

// Create answers a review.
func (a access) Create(_ context.Context, review *authorizationv1.SelfSubjectAccessReview, _ metav1.CreateOptions) (*authorizationv1.SelfSubjectAccessReview, error) {
	review.Status.Allowed = !slices.Contains(a.denied, review.Spec.ResourceAttributes.Resource)
	return review, nil
}

// Describe returns the description that the test prepared.
func (s *site) Describe(_ context.Context, env *v1alpha1.Environment) inspect.Description {
	d := s.description
	d.Environment = env
	return d
}

// Events returns the events of the description.
func (s *site) Events(context.Context, *v1alpha1.Environment) ([]inspect.Event, []string) {
	return s.description.Events, s.description.Notes
}

// Prospect returns the prepared steps.
func (s *site) Prospect(_ context.Context, _ *v1alpha1.Environment, commit string) ([]inspect.Step, []string, error) {
	return s.steps[commit], s.unread, s.differs
}

// Origins returns the prepared places.
func (s *site) Origins(context.Context, *v1alpha1.Environment, string) (map[string]string, error) {
	s.asked++
	return s.places, s.differs
}

// Compare returns the prepared steps.
func (s *site) Compare(_ context.Context, _ *v1alpha1.Environment, from, to string) ([]inspect.Step, []string, error) {
	return s.steps[from+".."+to], s.unread, s.differs
}

// Tail returns the prepared lines of the containers.
func (s *site) Tail(_ context.Context, _ *v1alpha1.Environment, sources []inspect.Source, o corev1.PodLogOptions) (lines []inspect.Line, notes []string) {
	for _, l := range s.lines {
		if slices.Contains(sources, l.Source) && !o.Previous {
			lines = append(lines, l)
		}
	}
	return lines, s.unread
}

// Follow says the prepared lines of a container, and waits for the end. With rotating secrets it logs all of them later.
func (s *site) Follow(ctx context.Context, _ *v1alpha1.Environment, source inspect.Source, _ corev1.PodLogOptions, say func(inspect.Line)) error {
	if s.rotates {
		time.Sleep(rotation)
	}
	for _, l := range s.lines {
		if l.Source == source {
			say(l)
		}
	}
	<-ctx.Done()
	return nil
}

// Mask hides one word, and one more each time unless they stay the same.
func (s *site) Mask(context.Context, *v1alpha1.Environment) (inspect.Mask, []string) {
	if s.rotates {
		s.masks++
		return inspect.MaskOf(fmt.Sprintf("secret-%d", s.masks)), nil
	}
	return inspect.MaskOf("hunter2"), nil
}

// get returns the body of a page.
func (s *site) get(path string) string {
	s.Helper()
	answer := httptest.NewRecorder()
	s.ServeHTTP(answer, httptest.NewRequestWithContext(s.Context(), http.MethodGet, path, nil))
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		s.Fatal(err)
	}
	return string(body)
}

// shows fails unless a page has all texts.
func (s *site) shows(path string, texts ...string) {
	s.Helper()
	body := s.get(path)
	for _, text := range texts {
		if !strings.Contains(body, text) {
			s.Errorf("%s lacks %q:\n%s", path, text, body)
		}
	}
}

// hides fails if a page has one of the texts.
func (s *site) hides(path string, texts ...string) {
	s.Helper()
	body := s.get(path)
	for _, text := range texts {
		if strings.Contains(body, text) {
			s.Errorf("%s has %q:\n%s", path, text, body)
		}
	}
}

const commit = "1a2b3c4d5e6f1a2b3c4d5e6f1a2b3c4d5e6f1a2b"

func environment(branch, reason, message string) *v1alpha1.Environment {
	slug := strings.NewReplacer("/", "-", "#", "-", "_", "-").Replace(strings.ToLower(branch))
	entry := "review"
	if branch == "main" {
		entry = "production"
	}
	ready := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: reason, Message: message, LastTransitionTime: ago(5 * time.Minute)}
	if reason == v1alpha1.ReasonHealthy {
		ready.Status = metav1.ConditionTrue
	}
	committed, active := ago(2*time.Hour), ago(time.Hour)
	env := &v1alpha1.Environment{
		ObjectMeta: metav1.ObjectMeta{Name: "posts." + entry + "." + slug, Namespace: namespace, CreationTimestamp: ago(72 * time.Hour)},
		Spec:       v1alpha1.EnvironmentSpec{Repository: "posts", Entry: entry, Branch: branch, Namespace: "posts-" + slug, Commit: commit},
		Status: v1alpha1.EnvironmentStatus{
			Conditions: []metav1.Condition{ready}, Link: "https://" + slug + ".review.example.com", ShortCommit: commit[:8], CommitTime: &committed,
			CommitAuthor: "Ada", CommitSubject: "Add a login page", AppliedCommit: commit, LastActivityTime: &active,
			Objects: &v1alpha1.ObjectCount{Total: 12, Healthy: 12},
		},
	}
	return env
}

func ago(d time.Duration) metav1.Time { return metav1.Time{Time: now.Add(-d)} }

func repository() *v1alpha1.Repository {
	return &v1alpha1.Repository{
		ObjectMeta: metav1.ObjectMeta{Name: "posts", Namespace: namespace},
		Spec: v1alpha1.RepositorySpec{URL: "https://gitlab.example.com/acme/posts.git", Environments: []v1alpha1.Entry{
			{Name: "production", Branches: []v1alpha1.BranchPattern{"main"}, Namespace: "posts"},
			{Name: "review", Branches: []v1alpha1.BranchPattern{"**", "!main"}, Namespace: "posts-${BRANCH_SLUG}"},
		}},
		Status: v1alpha1.RepositoryStatus{Conditions: []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonWatching}}},
	}
}

func deployment(name string, status health.Status, message string) inspect.Object {
	return inspect.Object{Kind: "Deployment", Group: "apps", Name: name, Health: status, Message: message, CreatedAt: ago(time.Hour)}
}
