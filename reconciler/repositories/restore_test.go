package repositories

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/apitest"
	"berth.dev/berth/reconciler/branches"
	"berth.dev/berth/reconciler/naming"
)

// Otherwise every event of a repository would scan the namespaces of all.
func TestNamespacesAreFoundByRepository(t *testing.T) {
	r := New(Config{Installation: "mine"})
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

// Otherwise a thousand new environments would reconcile the whole repository a thousand times.
func TestANamespaceWakesItsRepositoryOnlyWhenItsEnvironmentIsLost(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	env := apitest.Environment(apitest.Repository(), "review", "feature/login")
	r := New(Config{
		Client:    fake.NewClientBuilder().WithScheme(scheme).WithObjects(&env).Build(),
		Namespace: env.Namespace, Installation: "mine",
	})
	ns := func(branch string) *metav1.PartialObjectMetadata {
		return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
			Name:   "posts-" + naming.Slug(branch),
			Labels: map[string]string{branches.LabelEnvironment: naming.ID("mine", "posts", "review", branch)},
			Annotations: map[string]string{
				branches.AnnotationBranch: branch, branches.AnnotationEnvironment: naming.Environment("posts", "review", branch), branches.AnnotationOnRemoval: "Delete",
			},
		}}
	}
	if woken := r.ownersOf(t.Context(), ns("feature/login")); len(woken) != 0 {
		t.Errorf("it wakes %v", woken)
	}
	if woken := r.ownersOf(t.Context(), ns("lost")); len(woken) != 1 || woken[0].Name != "posts" {
		t.Errorf("without its Environment it wakes %v", woken)
	}
}
