package environments

import (
	"context"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/apitest"
	"berth.dev/berth/reconciler/report"
)

// The queue of a cluster may hold an Environment that was re-created in another one, such as until the next look at a namespace
// that was being deleted. Two passes of one environment must not overlap.
func TestACrewLeavesAnEnvironmentOfAnotherClusterAlone(t *testing.T) {
	env := apitest.Environment(apitest.Repository(), "review", "f0", func(env *v1alpha1.Environment) {
		env.Spec.Cluster, env.Name = "new", "posts.review.other" // its name is wrong, which a reconciliation reports at once
	})
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	reports := 0
	e := New(Config{
		Client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(&env).Build(),
		Recall: func(*v1alpha1.Environment) {},
		Report: func(context.Context, *v1alpha1.Environment, report.Standing) (time.Duration, error) {
			reports++
			return 0, nil
		},
		Now: time.Now,
	})
	for _, test := range []struct {
		cluster string
		reports int
	}{{"", 0}, {"old", 0}, {"new", 1}} {
		reports = 0
		if _, err := e.reconcile(t.Context(), test.cluster, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&env)}); err != nil || reports != test.reports {
			t.Errorf("in the queue of %q: %d reports, %v", test.cluster, reports, err)
		}
	}
}
