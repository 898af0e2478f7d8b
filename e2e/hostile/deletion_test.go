package hostile

import (
	"fmt"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/e2e/world"
)

var namespaces = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}

// A branch that may change its own Namespace makes it claim to be production's, and to belong to a lost Environment of
// another name. Berth once re-created that Environment, tore it down because no branch called for it, and deleted all
// of production by its id.
func TestANamespaceThatSaysItIsProductions(t *testing.T) {
	t.Parallel()
	posts := begins(t, "forged")
	evil := posts.pushes("evil", nil)
	evil.isHealthy()
	id := posts.production.Object("Deployment/api").GetLabels()["berth.dev/environment"]

	for _, lie := range []struct{ name, environment, branch string }{
		{"another name for production", "forged.production.zzz", "main"},
		{"production itself", "forged.production.main", "main"},
		{"a branch that does not exist", "forged.production.zzz", "zzz"},
	} {
		patch := fmt.Sprintf(`{"metadata":{"labels":{"berth.dev/environment":%q},"annotations":{"berth.dev/environment":%q,"berth.dev/branch":%q,"berth.dev/on-removal":"Delete"}}}`,
			id, lie.environment, lie.branch)
		if !posts.forges(evil.Namespace(), patch) {
			return // a policy of the cluster has rejected it
		}
		world.Always(t, 4*time.Second, "production stands although a namespace says that it is "+lie.name, func() (string, bool) {
			var names []string
			for _, e := range posts.Environments() {
				names = append(names, e.Name)
			}
			gone := posts.gone()
			return fmt.Sprintf("gone: %q; environments: %q", gone, names), len(gone) == 0 && len(names) == 2
		})
	}
	posts.felt()
}

// A user who may write Environments creates a second one for production's branch, and deletes it.
func TestASecondEnvironmentForProduction(t *testing.T) {
	t.Parallel()
	posts := begins(t, "second")
	posts.writesEnvironment(`
apiVersion: berth.dev/v1alpha1
kind: Environment
metadata: {name: second.production.zzz, labels: {berth.dev/repository: second, berth.dev/entry: production}, finalizers: [berth.dev/teardown]}
spec: {repository: second, entry: production, branch: main, namespace: second, onRemoval: Delete}
`)
	world.Await(t, "the second Environment is gone", func() (string, bool) {
		all := posts.Environments()
		return fmt.Sprint(len(all)), len(all) == 1
	})
	posts.felt()
	// Drift of production is still detected.
	posts.production.Patch("ConfigMap/settings", `{"data":{"HOST":"elsewhere"}}`)
	posts.production.AwaitObject("ConfigMap/settings", "is put back", func(o world.Object) bool { return o.Field("data.HOST") == "posts.example.com" })
}

// forges changes a namespace as a user with write access does, and reports whether the cluster allowed it.
func (team *team) forges(namespace, patch string) bool {
	team.t.Helper()
	_, err := team.client().Resource(namespaces).Patch(team.t.Context(), namespace, types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: "thief"})
	refused := err != nil && strings.Contains(err.Error(), "ValidatingAdmissionPolicy")
	if err != nil && !refused && !apierrors.IsConflict(err) {
		team.t.Fatalf("cannot change the namespace %s: %v", namespace, err)
	}
	return !refused
}
