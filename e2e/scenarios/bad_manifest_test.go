package scenarios

import (
	"strings"
	"testing"

	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/gittest"
)

// For every mistake in Git, the environment reports what is wrong and where, keeps its objects, and does not affect
// others.
func TestBadManifests(t *testing.T) {
	t.Parallel()
	tests := []struct {
		branch string
		file   string // below k8s/
		text   string
		says   []string
	}{
		{"tab", "api.yaml", "kind: Service\nmetadata:\n\tname: api\n",
			[]string{"k8s/api.yaml:3: the line is indented with a tab; use spaces"}},
		{"nbsp", "api.yaml", "kind: Service\nmetadata:\n\u00a0\u00a0name: api\n",
			[]string{"k8s/api.yaml:3: ", "non-breaking space"}},
		{"quote", "common.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: \"common\ndata:\n  HOST: here\n",
			[]string{"k8s/common.yaml:4: ", "quote"}},
		{"level", "common.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: common\n   labels:\n    a: b\n",
			[]string{"k8s/common.yaml:5: ", "level"}},
		{"no-kind", "common.yaml", "apiVersion: v1\nmetadata:\n  name: common\n",
			[]string{"k8s/common.yaml:1: ", "kind"}},
		{"no-name", "common.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  labels: {a: b}\n",
			[]string{"k8s/common.yaml:1: ", "name"}},
		{"duplicate", "more.yaml", configMap("common", "HOST: there"),
			[]string{"ConfigMap", "common", "k8s/common.yaml:1", "k8s/more.yaml:1"}},
		{"unknown-kind", "more.yaml", "apiVersion: example.com/v1\nkind: Gadget\nmetadata:\n  name: mine\n",
			[]string{"Gadget/mine", "k8s/more.yaml:1", "is its CRD installed"}},
		{"invalid-value", "api.yaml", deployment("api", "") + strings.Replace(service("api"), "port: 80", "port: 80000", 1),
			[]string{"Service/", "k8s/api.yaml:18", "spec.ports[0].port", "must be between 1 and 65535"}},
		{"unknown-field", "api.yaml", deployment("api", "") + strings.Replace(service("api"), "port: 80", "prot: 80", 1),
			[]string{"Service/", "k8s/api.yaml:18", "prot"}},
		{"other-namespace", "more.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: mine\n  namespace: bad\n",
			[]string{"k8s/more.yaml:1", "namespace", "bad", "${NAMESPACE}"}},
		{"cluster-scoped", "more.yaml", "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: mine\n",
			[]string{"k8s/more.yaml:1", "ClusterRole/mine", "cluster"}},
	}
	posts := begins(t, "bad")
	posts.Environment("main").Becomes("Healthy", posts.pushes("main", application()))
	good := map[string]string{}
	for _, test := range tests {
		good[test.branch] = posts.branches(test.branch, nil)
	}
	before := map[string]world.Contents{}
	for _, test := range tests {
		environment := posts.Environment(test.branch)
		environment.Becomes("Healthy", good[test.branch])
		before[test.branch] = environment.Contents()
	}
	bad := map[string]string{}
	for _, test := range tests {
		// Objects that the same commit removes stay, because nothing is pruned while the commit is invalid.
		bad[test.branch] = posts.git.Change(test.branch, "a bad idea",
			gittest.Remove("k8s/worker.yaml"), gittest.Write("k8s/"+test.file, test.text))
	}
	for _, test := range tests {
		t.Run(test.branch, func(t *testing.T) {
			environment := posts.in(t).Environment(test.branch)
			environment.Becomes("Failed", bad[test.branch], test.says...)
			if changed := before[test.branch].Changed(environment.Contents()); len(changed) > 0 {
				t.Errorf("%q changed", changed)
			}
		})
	}
	posts.Environment("main").Becomes("Healthy", posts.pushes("main", code("as if nothing were")))

	mended := posts.pushes("tab", map[string]string{"k8s/api.yaml": application()["k8s/api.yaml"]})
	posts.Environment("tab").Becomes("Healthy", mended)
	posts.Environment("tab").AwaitGone("Deployment/worker")
}
