package scenarios

import (
	"strings"
	"testing"

	"berth.dev/berth/e2e/world"
)

// The API server rejects some edits in combination with what Git says. Berth reverts them like any other edit, and they
// fail no commit.
func TestAnEditThatExcludesWhatGitSaysIsReverted(t *testing.T) {
	t.Parallel()
	posts := begins(t, "excludes")
	production := posts.Environment("main")
	api := strings.Replace(deployment("api", ""), "      - name: api\n", "      - name: api\n        env: [{name: MODE, value: fast}]\n        ports: [{name: http, containerPort: 8080}]\n", 1)
	production.Becomes("Healthy", posts.pushes("main", with(application(), "k8s/api.yaml", api+service("api"))))
	edit := func() {
		production.Patch("Service/api", `{"spec":{"ports":[{"port":83}]}}`)
		production.Patch("Deployment/api", `{"spec":{"template":{"spec":{"containers":[{"name":"api","image":"`+production.Object("Deployment/api").Image()+`",
			"env":[{"name":"MODE","valueFrom":{"fieldRef":{"fieldPath":"spec.nodeName"}}}],"ports":[{"name":"http","containerPort":9090}]}]}}}}`)
	}
	isGits := func() {
		t.Helper()
		production.AwaitObject("Service/api", "has Git's port alone", func(o world.Object) bool {
			ports := o.Field("spec.ports")
			return strings.Contains(ports, "port:80 ") && !strings.Contains(ports, "83")
		})
		production.AwaitObject("Deployment/api", "has Git's variable and port alone", func(o world.Object) bool {
			containers := o.Field("spec.template.spec.containers")
			return strings.Contains(containers, "value:fast") && strings.Contains(containers, "containerPort:8080") &&
				!strings.Contains(containers, "nodeName") && !strings.Contains(containers, "9090")
		})
	}
	edit()
	isGits()
	production.AwaitEvent("Corrected", "Service/excludes/api: was changed by kubectl-edit; it is again as Git says")

	edit()
	production.Becomes("Healthy", posts.pushes("main", code("while it is edited")))
	isGits()
	recreate := strings.Replace(api, "  selector:", "  strategy: {type: Recreate}\n  selector:", 1)
	production.Becomes("Healthy", posts.pushes("main", map[string]string{"k8s/api.yaml": recreate + service("api")}))
	if got := production.Object("Deployment/api").Field("spec.strategy"); got != "map[type:Recreate]" {
		t.Errorf("the strategy is %s", got)
	}
}

// Objects that depend on each other can come in one commit, even in a running environment.
func TestWhatNeedsEachOtherComesInOneCommit(t *testing.T) {
	t.Parallel()
	posts := begins(t, "together")
	production := posts.Environment("main")
	production.Becomes("Healthy", posts.pushes("main", application()))
	const together = `apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: reader}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules: [{apiGroups: [""], resources: [configmaps], verbs: [get]}]
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: reader}
---
apiVersion: v1
kind: Pod
metadata: {name: reader}
spec:
  serviceAccountName: reader
  containers: [{name: reader, image: "registry.example.com/reader:1"}]
`
	production.Becomes("Healthy", posts.pushes("main", map[string]string{"k8s/reader.yaml": together}))
	refused := posts.pushes("main", map[string]string{"k8s/reader.yaml": strings.Replace(together, "kind: Role, name: reader", "kind: Role, name: writer", 1)})
	production.Becomes("Failed", refused, "k8s/reader.yaml:1", "RoleBinding/together/reader", "cannot change roleRef, which is Role/reader")
	production.Becomes("Healthy", posts.pushes("main", map[string]string{"k8s/reader.yaml": together}))
}
