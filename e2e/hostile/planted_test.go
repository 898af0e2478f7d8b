package hostile

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/e2e/world"
)

// A user who may write in a namespace can plant objects there in production's name. They do not affect production, and
// belong only to their namespace.
func TestObjectsPlantedInProductionsName(t *testing.T) {
	t.Parallel()
	posts := begins(t, "planted")
	evil := posts.pushes("evil", nil)
	evil.isHealthy()
	// They have production's label, digest, proof and managed fields, under the original's name and under others.
	posts.restores(configMaps, posts.production.Object("ConfigMap/settings").Unstructured, evil.Namespace(), "settings-of-production")
	posts.restores(deployments, posts.production.Object("Deployment/api").Unstructured, evil.Namespace(), "api-of-production")

	posts.healthy = posts.git.Commit("main", map[string]string{"k8s/more.yaml": "{apiVersion: v1, kind: ConfigMap, metadata: {name: more}}"}, "sync")
	posts.production.Becomes("Healthy", posts.healthy)
	posts.before = posts.production.Contents()
	posts.git.Change("main", "prune", removed("k8s/more.yaml"))
	posts.healthy = posts.git.Head("main")
	posts.production.Becomes("Healthy", posts.healthy)
	posts.production.AwaitGone("ConfigMap/more")
	delete(posts.before, "ConfigMap/more")
	for _, name := range []string{"ConfigMap/settings-of-production", "Deployment/api-of-production"} {
		if object, there := evil.Find(name); !there || object.GetDeletionTimestamp() != nil {
			t.Errorf("%s was deleted in another namespace", name)
		}
	}
	posts.felt()
	// They are deleted with their namespace, and production stays.
	posts.git.Delete("evil")
	evil.AwaitEnd()
	posts.felt()
}

// A branch that may write its own Namespace cannot keep it: the agent restores its marks, and deletes it with the
// branch.
func TestANamespaceThatIsNobodys(t *testing.T) {
	t.Parallel()
	posts := begins(t, "nobodys")
	evil := posts.pushes("evil", nil)
	evil.isHealthy()
	for _, patch := range []string{
		`{"metadata":{"labels":{"berth.dev/environment":null}}}`,
		`{"metadata":{"labels":{"berth.dev/environment":"gone0000.aaaaaaaa"}}}`,
		`{"metadata":{"annotations":{"berth.dev/on-removal":"Orphan","berth.dev/digest":null}}}`,
	} {
		before, err := posts.client().Resource(namespaces).Get(t.Context(), evil.Namespace(), metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if !posts.forges(evil.Namespace(), patch) {
			break // a policy of the cluster has rejected it
		}
		world.Await(t, "the marks of the namespace are back after "+patch, func() (string, bool) {
			now, err := posts.client().Resource(namespaces).Get(t.Context(), evil.Namespace(), metav1.GetOptions{})
			if err != nil {
				return err.Error(), false
			}
			same := now.GetLabels()["berth.dev/environment"] == before.GetLabels()["berth.dev/environment"]
			for name, value := range before.GetAnnotations() {
				same = same && now.GetAnnotations()[name] == value
			}
			return fmt.Sprint(now.GetLabels(), now.GetAnnotations()), same
		})
	}
	posts.git.Delete("evil")
	evil.AwaitEnd()
	posts.felt()
	world.Always(t, time.Second, "only production is left", func() (string, bool) {
		all := posts.Environments()
		return fmt.Sprint(len(all)), len(all) == 1
	})
}
