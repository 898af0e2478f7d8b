package v1alpha1_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
)

func TestWhatIsLeftOutGetsItsDefault(t *testing.T) {
	repository := &v1alpha1.Repository{
		ObjectMeta: metav1.ObjectMeta{Name: "defaults", Namespace: "default"},
		Spec: v1alpha1.RepositorySpec{
			URL:          "https://example.com/posts.git",
			Environments: []v1alpha1.Entry{{Name: "production", Branches: []v1alpha1.BranchPattern{"main"}, Namespace: "posts"}},
		},
	}
	if err := connect(t).Create(t.Context(), repository); err != nil {
		t.Fatal(err)
	}
	want := v1alpha1.RepositorySpec{
		URL:       "https://example.com/posts.git",
		Poll:      "@every 1m",
		GoneAfter: metav1.Duration{Duration: 5 * time.Minute},
		Limits: v1alpha1.Limits{
			Branches:     100_000,
			ListingBytes: resource.MustParse("64Mi"),
			Environments: 2000,
			FetchBytes:   resource.MustParse("1Gi"),
			FileBytes:    resource.MustParse("10Mi"),
			Files:        10_000,
			FetchTimeout: metav1.Duration{Duration: 5 * time.Minute},
		},
		Environments: []v1alpha1.Entry{{
			Name:      "production",
			Branches:  []v1alpha1.BranchPattern{"main"},
			Path:      ".",
			Namespace: "posts",
			Scope:     v1alpha1.ScopeNamespaced,
			Health: v1alpha1.Health{
				Timeout:        metav1.Duration{Duration: 5 * time.Minute},
				OnFailure:      v1alpha1.FailureHold,
				ImagePullGrace: metav1.Duration{Duration: 10 * time.Minute},
			},
		}},
	}
	if diff := cmp.Diff(want, repository.Spec); diff != "" {
		t.Errorf("the spec as stored (-want +got):\n%s", diff)
	}
}

func TestVariablesKeepTheirType(t *testing.T) {
	repository := parse(t, goodRepository)
	repository.SetName("variables")
	set(t, repository, []any{merged(t, goodEntry, `{variables: {REPLICAS: 3, VERSION: "1.20", PORT: "8080", DEBUG: "true"}}`)}, "spec", "environments")
	api := connect(t)
	if err := api.Create(t.Context(), repository); err != nil {
		t.Fatal(err)
	}
	var stored v1alpha1.Repository
	if err := api.Get(t.Context(), client.ObjectKeyFromObject(repository), &stored); err != nil {
		t.Fatal(err)
	}
	want := map[string]intstr.IntOrString{
		"REPLICAS": intstr.FromInt32(3),
		"VERSION":  intstr.FromString("1.20"),
		"PORT":     intstr.FromString("8080"),
		"DEBUG":    intstr.FromString("true"),
	}
	if diff := cmp.Diff(want, stored.Spec.Environments[0].Variables); diff != "" {
		t.Errorf("variables as read (-want +got):\n%s", diff)
	}
}

// The agent applies its own fields again and again, and must leave people theirs.
func TestAgentAndPersonShareAnEnvironment(t *testing.T) {
	api := connect(t)
	agent, person := client.FieldOwner("berth"), client.FieldOwner("kubectl")
	environment := parse(t, goodEnvironment)
	environment.SetName("posts.review.shared")
	if err := api.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(environment), agent, client.ForceOwnership); err != nil {
		t.Fatal(err)
	}
	suspended := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"suspend":true}}`))
	if err := api.Patch(t.Context(), environment.DeepCopy(), suspended, person); err != nil {
		t.Fatal(err)
	}
	moved := parse(t, goodEnvironment)
	moved.SetName("posts.review.shared")
	set(t, moved, "9f8e9f8e9f8e9f8e9f8e9f8e9f8e9f8e9f8e9f8e", "spec", "commit")
	if err := api.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(moved), agent, client.ForceOwnership); err != nil {
		t.Fatal(err)
	}
	var stored v1alpha1.Environment
	if err := api.Get(t.Context(), client.ObjectKeyFromObject(moved), &stored); err != nil {
		t.Fatal(err)
	}
	if !stored.Spec.Suspend || stored.Spec.Commit != "9f8e9f8e9f8e9f8e9f8e9f8e9f8e9f8e9f8e9f8e" {
		t.Errorf("spec = %+v, want the person's suspend beside the agent's new commit", stored.Spec)
	}
}
