package page

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/gittest"
)

// reporter runs the cleanups of a world after the test has failed.
type reporter struct{ *testing.T }

// Context returns one that outlives the test.
func (reporter) Context() context.Context { return context.Background() }

// team is a Git repository that Berth follows: main becomes production, and every other branch a preview.
type team struct {
	*world.Repository
	git *gittest.Repository
}

// begins starts a team whose main branch is healthy.
func begins(t *testing.T, name string) *team {
	t.Helper()
	if missing != "" {
		t.Skip(missing)
	}
	git := gittest.NewServer(t).Repository(name)
	health := v1alpha1.Health{Timeout: metav1.Duration{Duration: time.Minute}, ImagePullGrace: metav1.Duration{Duration: time.Second}}
	repository := &v1alpha1.Repository{Spec: v1alpha1.RepositorySpec{
		URL: git.URL(), Poll: "@every 1s", GoneAfter: metav1.Duration{Duration: time.Second},
		Environments: []v1alpha1.Entry{
			{Name: "production", Branches: []v1alpha1.BranchPattern{"main"}, Path: "k8s", Namespace: name, Health: health, Link: "https://" + name + ".example.com"},
			{Name: "review", Branches: []v1alpha1.BranchPattern{"**", "!main"}, Path: "k8s", Namespace: name + "-${BRANCH_SLUG}", Health: health, Link: "https://${BRANCH_SLUG}.example.com"},
		},
	}}
	repository.Name = name
	commit := git.Commit("main", map[string]string{
		"k8s/common.yaml":  "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: common}\ndata: {a: b}\n",
		"k8s/migrate.yaml": migration,
		"k8s/api.yaml":     deployment("api", ""),
	}, "Begin with an API")
	team := &team{Repository: shared.Follow(reporter{t}, repository), git: git}
	t.Cleanup(func() {
		if t.Failed() {
			team.Explain()
		}
		team.Remove()
	})
	team.Environment("main").Becomes("Healthy", commit)
	return team
}

const migration = `apiVersion: batch/v1
kind: Job
metadata: {name: migrate, annotations: {berth.dev/wave: "-1"}}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers: [{name: migrate, image: registry.example.com/app:1.4, command: [migrate]}]
`

// The behaviour of a pod on the simulated node, as lines of its template's metadata.
const (
	startsSlowly = "annotations: {kwok.berth.dev/seconds: \"8\"}, labels: {app: NAME, kwok.berth.dev/behaviour: slow-start}"
	crashes      = "annotations: {kwok.berth.dev/exit-code: \"3\", kwok.berth.dev/log: \"starting\\ncannot reach the <database>\"}, labels: {app: NAME, kwok.berth.dev/behaviour: crash-loop}"
)

func deployment(name, behaviour string) string {
	if behaviour == "" {
		behaviour = "labels: {app: NAME}"
	}
	return strings.NewReplacer("NAME", name).Replace(fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME}
spec:
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {%s}
    spec: {containers: [{name: NAME, image: registry.example.com/app:1.4, readinessProbe: {httpGet: {path: /, port: 80}}}]}
`, behaviour))
}

// clone returns a developer's clone.
func (team *team) clone(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if said, err := exec.CommandContext(t.Context(), "git", "clone", "--quiet", team.git.URL(), dir).CombinedOutput(); err != nil {
		t.Fatalf("cannot clone: %v: %s", err, said)
	}
	return dir
}

// branches creates a branch at main with a commit of its own, and returns that commit.
func (team *team) branches(branch, message string, files map[string]string) string {
	return team.git.CommitFrom("main", branch, files, message)
}
