package soak

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/gittest"
)

const (
	example   = "../../examples/posts/"
	hookToken = "soak"
	// previews is how many branches exist at a time.
	previews = 6
)

// Whatever the agent does, it does again and again, and at rest it holds as much as before.
func TestNothingGrows(t *testing.T) {
	team := begins(t)
	var samples []sample
	began, logged := time.Now(), time.Now()
	for round := 0; time.Since(began) < *during || round <= previews; round++ {
		team.works(round)
		samples = append(samples, held(t))
		if time.Since(logged) > time.Minute {
			logged = time.Now()
			t.Logf("%s, round %d: %+v", time.Since(began).Round(time.Second), round, samples[len(samples)-1])
		}
	}
	if len(samples) < leastSamples {
		t.Logf("%d rounds are too few for a verdict; make soak makes more", len(samples))
		return
	}
	grew, figures := growth(samples)
	t.Logf("%d rounds in %s: %s", len(samples), time.Since(began).Round(time.Second), figures)
	for _, what := range grew {
		t.Errorf("it grows: %s", what)
	}
}

// team is a Repository with production and previews.
type team struct {
	*world.Repository
	t   *testing.T
	git *gittest.Repository
	// previews are the environments of branches, by round.
	previews map[int][]*world.Environment
}

func begins(t *testing.T) *team {
	t.Helper()
	server := gittest.NewServer(t)
	team := &team{t: t, git: server.Repository("soak"), previews: map[int][]*world.Environment{}}
	commit := team.git.Commit("main", map[string]string{
		"k8s/app.yaml": application, "k8s/settings.yaml": settings("begin"), "k8s/secret.yaml": file(t, example+"infra/review/secret.yaml"),
		"kustomized/kustomization.yaml": "resources: [settings.yaml]\n", "kustomized/settings.yaml": settings("begin"),
	}, "begin")
	shared.SetSecret(t, "soak-keys", map[string]string{"age.agekey": file(t, example+"berth/demo-keys/review.agekey")})
	shared.SetSecret(t, "soak-hook", map[string]string{"token": hookToken})
	decryption := &v1alpha1.Decryption{SecretRef: &v1alpha1.SecretReference{Name: "soak-keys"}}
	repository := &v1alpha1.Repository{Spec: v1alpha1.RepositorySpec{
		URL: team.git.URL(), Poll: "@every 1s", GoneAfter: metav1.Duration{Duration: time.Second},
		Webhook: &v1alpha1.Webhook{SecretRef: v1alpha1.SecretReference{Name: "soak-hook"}},
		Environments: []v1alpha1.Entry{
			{Name: "production", Branches: []v1alpha1.BranchPattern{"main"}, Path: "k8s", Namespace: "soak", Decryption: decryption},
			{Name: "review", Branches: []v1alpha1.BranchPattern{"**", "!main"}, Path: "k8s", Namespace: "soak-${BRANCH_SLUG}", Decryption: decryption},
			{Name: "kustomized", Branches: []v1alpha1.BranchPattern{"**", "!main"}, Path: "kustomized", Namespace: "soak-k-${BRANCH_SLUG}"},
		},
	}}
	repository.Name = "soak"
	team.Repository = shared.Follow(t, repository)
	team.EnvironmentOf("production", "main").Becomes("Healthy", commit) // until then the agent may not serve webhooks
	return team
}

const application = `apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec:
      containers:
      - {name: api, image: "registry.example.com/api:${COMMIT_SHORT}", readinessProbe: {httpGet: {path: /health, port: 8080}}}
`

func settings(value string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {value: " + value + "}\n"
}

func branch(round int) string { return fmt.Sprintf("branch-%d", round) }

// works pushes to production, creates a branch, changes one of its objects, and deletes the oldest branch.
func (team *team) works(round int) {
	team.t.Helper()
	value := fmt.Sprintf("round-%d", round)
	commit := team.git.Commit("main", map[string]string{"k8s/settings.yaml": settings(value)}, value)
	preview := team.git.CommitFrom("main", branch(round), map[string]string{"kustomized/settings.yaml": settings(value)}, value)
	if round >= previews {
		team.git.Delete(branch(round - previews))
	}
	team.delivers()
	team.EnvironmentOf("production", "main").Becomes("Healthy", commit)
	for _, entry := range []string{"review", "kustomized"} {
		environment := team.EnvironmentOf(entry, branch(round))
		environment.Becomes("Healthy", preview)
		environment.Patch("ConfigMap/settings", `{"data":{"value":"drift"}}`)
		environment.AwaitObject("ConfigMap/settings", "is reverted", func(o world.Object) bool { return o.Field("data.value") == value })
		team.previews[round] = append(team.previews[round], environment)
	}
	for _, gone := range team.previews[round-previews] {
		gone.AwaitEnd()
	}
	delete(team.previews, round-previews)
}

// delivers sends a webhook, as GitLab does after a push.
func (team *team) delivers() {
	team.t.Helper()
	request, err := http.NewRequestWithContext(team.t.Context(), http.MethodPost, "http://"+hooks+"/hooks/soak", strings.NewReader(`{"object_kind":"push"}`))
	if err != nil {
		team.t.Fatal(err)
	}
	request.Header.Set("X-Gitlab-Event", "Push Hook")
	request.Header.Set("X-Gitlab-Token", hookToken)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		team.t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusAccepted {
		team.t.Fatalf("a webhook was answered with %s", answer.Status)
	}
}

var (
	heapLine      = regexp.MustCompile(`(?m)^# HeapAlloc = (\d+)$`)
	goroutineLine = regexp.MustCompile(`^goroutine profile: total (\d+)`)
)

// held measures the agent. The profile of the heap collects garbage first.
func held(t *testing.T) sample {
	t.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", shared.Agent.PID()))
	if err != nil && !os.IsNotExist(err) { // other systems have no such folder
		t.Fatal(err)
	}
	return sample{heap: number(t, "heap?gc=1&debug=1", heapLine), goroutines: number(t, "goroutine?debug=1", goroutineLine), files: len(files)}
}

// number reads a number from one of the agent's profiles.
func number(t *testing.T, profile string, line *regexp.Regexp) int {
	t.Helper()
	answer, err := http.Get("http://" + profiles + "/debug/pprof/" + profile)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	match := line.FindSubmatch(text)
	if match == nil {
		t.Fatalf("the profile %s has no such line: %.200s", profile, text)
	}
	n, err := strconv.Atoi(string(match[1]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func file(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
