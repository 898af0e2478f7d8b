package live

import (
	"strconv"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
)

// strays are the namespaces that Watches report as strays.
type strays struct {
	mu    sync.Mutex
	names []string
}

func (s *strays) note(ns *metav1.PartialObjectMetadata) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names = append(s.names, ns.Name)
}

func (s *strays) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.names)
}

// ofEnvironment returns a namespace of an environment as a watch brings it.
func ofEnvironment(environment, resourceVersion string) *metav1.PartialObjectMetadata {
	ns := &metav1.PartialObjectMetadata{}
	ns.Name, ns.UID, ns.ResourceVersion = "posts-f", "1", resourceVersion
	if environment != "" {
		ns.Labels = map[string]string{manifest.LabelEnvironment: environment, "team": "posts"}
	}
	ns.Annotations = map[string]string{manifest.AnnotationEnvironment: "posts.review.f", "other": "x"}
	return ns
}

// Otherwise a thousand new environments would reconcile the whole repository a thousand times.
func TestANamespaceIsAStrayOnlyIfItsEnvironmentIsNotFollowed(t *testing.T) {
	found := &strays{}
	w := New(Config{Stray: found.note})
	k := w.kinds[namespaces]
	for i, step := range []struct {
		name        string
		environment string
		follow      bool
		want        int
	}{
		{"without the label", "", false, 0},
		{"with the label of an environment that is not followed", "mine.a", false, 1},
		{"unchanged", "mine.a", false, 1},
		{"with the label of one that is followed", "mine.b", true, 1},
		{"with another such label", "mine.c", false, 2},
	} {
		if step.follow {
			w.Follow(step.environment, Following{Namespace: "elsewhere"})
		}
		k.put(k.reduce(ofEnvironment(step.environment, strconv.Itoa(i+1))))
		if got := found.count(); got != step.want {
			t.Errorf("%s: there were %d strays, want %d", step.name, got, step.want)
		}
	}
}

func TestNamespacesHaveTheMarksOfTheirEnvironment(t *testing.T) {
	w := New(Config{})
	k := w.kinds[namespaces]
	k.put(k.reduce(ofEnvironment("mine.a", "1")))
	all := w.Namespaces()
	if len(all) != 1 || all[0].Name != "posts-f" || all[0].Labels[manifest.LabelEnvironment] != "mine.a" || all[0].Annotations[manifest.AnnotationEnvironment] != "posts.review.f" {
		t.Fatalf("the namespaces are %+v", all)
	}
	if len(all[0].Labels)+len(all[0].Annotations) != 2 {
		t.Errorf("other marks are kept: %+v", all[0].ObjectMeta)
	}
	written := observed.ReduceMetadata(ofEnvironment("mine.b", "2"), namespaceKind.WithVersion("v1"))
	w.Wrote(written)
	if ns, exists := w.Namespace("posts-f"); !exists || ns.Environment != "mine.b" {
		t.Errorf("after a write of our own, the namespace is %+v", ns)
	}
	if all := w.Namespaces(); len(all) != 0 {
		t.Errorf("marks that are no longer known are returned: %+v", all)
	}
	k.put(k.reduce(ofEnvironment("", "3")))
	if all := w.Namespaces(); len(all) != 0 {
		t.Errorf("a namespace without the label is returned: %+v", all)
	}
	if _, exists := w.Namespace("other"); exists {
		t.Error("a namespace that does not exist is known")
	}
}

func TestNamespacesAreWaitedFor(t *testing.T) {
	o := observe(t)
	if err := o.WaitForNamespaces(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, exists := o.Namespace("default"); !exists {
		t.Error("the namespace default is not known")
	}
}
