package repositories

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"berth.dev/berth/reconciler/branches"
	"berth.dev/berth/reconciler/naming"
)

// A namespace may be the only trace of an Environment.
func TestAStrayNamespaceRequeuesTheRepositoryThatItNames(t *testing.T) {
	r := New(Config{Namespace: "berth", Installation: "mine"})
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	defer queue.ShutDown()
	if err := r.inbox.Source().Start(t.Context(), queue); err != nil {
		t.Fatal(err)
	}
	stray := func(installation, repository, removal string) *metav1.PartialObjectMetadata {
		return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
			Name:   "posts-f",
			Labels: map[string]string{branches.LabelEnvironment: naming.ID(installation, "posts", "review", "f")},
			Annotations: map[string]string{
				branches.AnnotationBranch: "f", branches.AnnotationEnvironment: naming.Environment(repository, "review", "f"), branches.AnnotationOnRemoval: removal,
			},
		}}
	}
	for name, other := range map[string]*metav1.PartialObjectMetadata{
		"one that stays when its Environment is deleted": stray("mine", "posts", "Orphan"),
		"one whose label belongs to another repository":  stray("mine", "other", "Delete"),
		"one of another installation":                    stray("theirs", "posts", "Delete"),
	} {
		if r.Stray(other); queue.Len() > 0 {
			t.Fatalf("%s requeues a Repository", name)
		}
	}
	r.Stray(stray("mine", "posts", "Delete"))
	if queue.Len() != 1 {
		t.Fatal("nothing is requeued")
	}
	if request, _ := queue.Get(); request.Namespace != "berth" || request.Name != "posts" {
		t.Errorf("%s is requeued, want berth/posts", request)
	}
}
