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

// Every report says whether the environment is a preview, also the report of one that is not reconciled.
func TestReportsSayWhatIsAPreview(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	repo := apitest.Repository(func(repo *v1alpha1.Repository) {
		repo.Spec.Environments = []v1alpha1.Entry{{Name: "live", Branches: []v1alpha1.BranchPattern{"main"}}, {Name: "review", Branches: []v1alpha1.BranchPattern{"**"}}}
	})
	for entry, want := range map[string]bool{"live": false, "review": true} {
		env := apitest.Environment(repo, entry, "main", func(env *v1alpha1.Environment) { env.Name = "posts." + entry + ".other" }) // it is held
		var got []bool
		e := New(Config{
			Client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(repo, &env).Build(),
			Recall: func(*v1alpha1.Environment) {},
			Report: func(_ context.Context, _ *v1alpha1.Environment, s report.Standing) (time.Duration, error) {
				got = append(got, s.Preview)
				return 0, nil
			},
			Now: time.Now,
		})
		if _, err := e.reconcile(t.Context(), "", ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&env)}); err != nil || len(got) != 1 || got[0] != want {
			t.Errorf("the entry %s: %t, %v", entry, got, err)
		}
	}
}
