package scenarios

import (
	"testing"

	"berth.dev/berth/e2e/world"
)

// unanswered is an API that somebody else's server is to serve, and does not.
const unanswered = `
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.discovery.example.com}
spec:
  group: discovery.example.com
  version: v1
  groupPriorityMinimum: 100
  versionPriority: 100
  insecureSkipTLSVerify: true
  service: {name: nobody, namespace: default}
`

// What is of an API whose server is away is neither there nor absent, and holds nothing else.
func TestAnAPIWhoseServerIsAway(t *testing.T) {
	t.Parallel()
	posts := begins(t, "discovery")
	other{t, "kubectl-create", ""}.creates("apis", unanswered)
	t.Cleanup(func() { other{t, "kubectl-delete", ""}.deletes("apis", "v1.discovery.example.com") })

	first := posts.pushes("main", with(application(), "k8s/metric.yaml", "apiVersion: discovery.example.com/v1\nkind: Metric\nmetadata: {name: posts}\n"))
	production := posts.Environment("main")
	production.Becomes("Syncing", first, "Metric/posts", "cannot watch Metric.discovery.example.com", "does not answer")
	for _, name := range []string{"Deployment/api", "ConfigMap/common", "Service/api"} {
		production.AwaitObject(name, "is there all the same", func(world.Object) bool { return true })
	}
	production.Becomes("Healthy", posts.removes("main", "k8s/metric.yaml"))
}
