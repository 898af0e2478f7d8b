package scenarios

import (
	"slices"
	"strings"
	"testing"

	"berth.dev/berth/api/v1alpha1"
)

// The API server accepts a CronJob whose pods will be rejected, with a warning that appears nowhere else.
func TestWhatTheServerWarnsOfIsInTheStatus(t *testing.T) {
	t.Parallel()
	posts := begins(t, "warned")
	posts.Environment("main").Becomes("Healthy", posts.pushes("main", map[string]string{"app/main.go": "package main\n", "k8s/common.yaml": configMap("common", "A: b")}))
	const tidy = `apiVersion: batch/v1
kind: CronJob
metadata: {name: tidy}
spec:
  schedule: "0 4 1 1 *"
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: tidy, image: registry.example.com/tidy, securityContext: {privileged: true}}]}}}}
`
	warns := func(e v1alpha1.Environment) bool {
		return slices.ContainsFunc(e.Status.Warnings, func(w string) bool {
			return strings.HasPrefix(w, "CronJob/tidy (k8s/tidy.yaml:1): the API server warns: would violate PodSecurity ")
		})
	}
	login := posts.Environment("login")
	if got := login.Becomes("Healthy", posts.branches("login", map[string]string{"k8s/tidy.yaml": tidy}), "the API server warns"); !warns(got) {
		t.Errorf("the warnings are %q", got.Status.Warnings)
	}
	if got := login.Becomes("Healthy", posts.pushes("login", map[string]string{"k8s/common.yaml": configMap("common", "A: c")})); !warns(got) {
		t.Errorf("after another commit the warnings are %q", got.Status.Warnings)
	}
	if got := login.Becomes("Healthy", posts.pushes("login", map[string]string{"k8s/tidy.yaml": strings.Replace(tidy, "privileged: true", "privileged: false", 1)})); warns(got) {
		t.Errorf("mended, the warnings are %q", got.Status.Warnings)
	}
}
