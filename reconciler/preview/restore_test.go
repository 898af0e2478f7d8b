package preview

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/reconciler/branches"
	"berth.dev/berth/reconciler/naming"
)

// Else a thousand new environments would have the whole repository looked at a thousand times.
func TestANamespaceWakesItsRepositoryOnlyWhenItsEnvironmentIsLost(t *testing.T) {
	w := newWorld(t)
	w.follow()
	w.branches("one", "feature/login")
	w.poll()
	w.healthy("feature/login")
	namespace := w.space("feature/login")
	repositories := NewRepositories(RepositoriesConfig{Client: w.client, Namespace: w.namespace, Installation: w.installation})
	ns := &metav1.PartialObjectMetadata{ObjectMeta: namespace.ObjectMeta}
	if woken := repositories.ownersOf(t.Context(), ns); len(woken) != 0 {
		t.Errorf("it wakes %v", woken)
	}
	ns.Annotations[branches.AnnotationEnvironment], ns.Annotations[branches.AnnotationBranch] = "posts.review.lost", "lost"
	ns.Labels[branches.LabelEnvironment] = naming.ID(w.installation, "posts", "review", "lost")
	if woken := repositories.ownersOf(t.Context(), ns); len(woken) != 1 || woken[0].Name != "posts" {
		t.Errorf("without its Environment it wakes %v", woken)
	}
}

// Else every repository would look through the namespaces of all, at every event.
func TestNamespacesAreFoundByRepository(t *testing.T) {
	r := NewRepositories(RepositoriesConfig{Installation: "mine"})
	ns := func(repository, removal string) *metav1.PartialObjectMetadata {
		return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
			Name:   "x",
			Labels: map[string]string{branches.LabelEnvironment: naming.ID("mine", "posts", "review", "f")},
			Annotations: map[string]string{
				branches.AnnotationBranch: "f", branches.AnnotationEnvironment: repository + ".review.f", branches.AnnotationOnRemoval: removal,
			},
		}}
	}
	if got := r.repositoryIn(ns("posts", "Delete")); len(got) != 1 || got[0] != "posts" {
		t.Errorf("it belongs to %q, want posts", got)
	}
	if got := append(r.repositoryIn(ns("posts", "Orphan")), r.repositoryIn(ns("other", "Delete"))...); len(got) > 0 {
		t.Errorf("what needs no Environment, or is not what it says, belongs to %q", got)
	}
}
