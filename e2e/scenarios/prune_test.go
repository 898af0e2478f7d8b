package scenarios

import (
	"fmt"
	"strings"
	"testing"

	"berth.dev/berth/e2e/world"
)

// saying is the manifest of a ConfigMap with annotations.
func saying(name, annotations string) string {
	return strings.Replace(configMap(name, "A: b"), "  name: "+name+"\n", "  name: "+name+"\n  annotations: {"+annotations+"}\n", 1)
}

// claim is a PersistentVolumeClaim that is never bound.
const claim = `apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: %s, annotations: {%s}}
spec: {accessModes: [ReadWriteOnce], storageClassName: "", volumeName: none, resources: {requests: {storage: 1Gi}}}
`

func TestWhatIsKeptWhenItLeavesGit(t *testing.T) {
	t.Parallel()
	posts := begins(t, "kept")
	production := posts.Environment("main")
	production.Becomes("Healthy", posts.pushes("main", with(application(),
		"k8s/never.yaml", saying("never", "berth.dev/prune: never"),
		"k8s/helm.yaml", saying("helm", "helm.sh/resource-policy: keep"),
		"k8s/detached.yaml", saying("detached", "client.lifecycle.config.k8s.io/deletion: detach"),
		"k8s/by-hand.yaml", configMap("by-hand", "A: b"),
		"k8s/gone.yaml", configMap("gone", "A: b"))))
	production.Patch("ConfigMap/by-hand", `{"metadata":{"annotations":{"berth.dev/prune":"never"}}}`)
	other{t, "kubectl-create", production.Namespace()}.creates("configmaps",
		"{apiVersion: v1, kind: ConfigMap, metadata: {name: copied, labels: {berth.dev/environment: "+production.Object("ConfigMap/gone").GetLabels()["berth.dev/environment"]+"}}}")

	commit := posts.removes("main", "k8s/never.yaml", "k8s/helm.yaml", "k8s/detached.yaml", "k8s/by-hand.yaml", "k8s/gone.yaml")
	production.AwaitGone("ConfigMap/gone")
	production.Becomes("Healthy", commit)
	expectThere(t, production, "ConfigMap/never", "ConfigMap/helm", "ConfigMap/detached", "ConfigMap/by-hand", "ConfigMap/copied")
}

// Objects that hold data are deleted only if an earlier commit in Git allowed it.
func TestClaimsAreKept(t *testing.T) {
	t.Parallel()
	posts := begins(t, "claims")
	production := posts.Environment("main")
	posts.pushes("main", with(application(), "k8s/data.yaml", fmt.Sprintf(claim, "data", ""), "k8s/cache.yaml", fmt.Sprintf(claim, "cache", "berth.dev/prune: allow")))
	for _, name := range []string{"PersistentVolumeClaim/data", "PersistentVolumeClaim/cache"} {
		production.AwaitObject(name, "is there", func(world.Object) bool { return true })
	}
	commit := posts.removes("main", "k8s/data.yaml", "k8s/cache.yaml")
	production.AwaitGone("PersistentVolumeClaim/cache")
	production.Becomes("Healthy", commit)
	expectThere(t, production, "PersistentVolumeClaim/data")
}

func TestTooMuchAtOnceIsConfirmed(t *testing.T) {
	t.Parallel()
	posts := begins(t, "guard")
	files, paths := application(), []string{}
	for i := range 8 {
		path := fmt.Sprintf("k8s/part-%d.yaml", i)
		files[path], paths = configMap(fmt.Sprintf("part-%d", i), "A: b"), append(paths, path)
	}
	production := posts.Environment("main")
	production.Becomes("Healthy", posts.pushes("main", files))

	commit := posts.removes("main", paths...)
	production.Becomes("Waiting", commit, "8 of 13 objects would be deleted at once", "berth confirm")
	expectThere(t, production, "ConfigMap/part-0", "ConfigMap/part-7")
	posts.says("main", "confirm")
	production.Becomes("Healthy", commit)
	production.AwaitGone("ConfigMap/part-0")
	production.AwaitGone("ConfigMap/part-7")

	t.Run("and a folder without manifests is not believed at all", func(t *testing.T) {
		posts := posts.in(t)
		production := posts.Environment("main")
		nothing := posts.pushes("main", map[string]string{
			"k8s/api.yaml": "", "k8s/worker.yaml": "", "k8s/migrate.yaml": "", "k8s/common.yaml": "", "k8s/notes.txt": "moved\n",
		})
		production.Becomes("Failed", nothing, "k8s")
		expectThere(t, production, "Deployment/api", "Deployment/worker", "ConfigMap/common", "Service/api")
	})
}
