package node_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/deploy"
	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/gittest"
)

// application is what a small team deploys: an API, a worker, a migration before them, a scheduled task, configuration.
// The encrypted Secret is that of the example.
func application(t *testing.T) map[string]string {
	t.Helper()
	secret, err := os.ReadFile(filepath.Join("..", "..", "examples", "posts", "infra", "review", "secret.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	const settings = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {GREETING: \"hello from ${BRANCH}\"}\n"
	const service = "apiVersion: v1\nkind: Service\nmetadata: {name: api}\nspec: {selector: {app: api}, ports: [{port: 80, targetPort: 8080}]}\n"
	const env = "        envFrom: [{configMapRef: {name: settings}}, {secretRef: {name: posts}}]\n"
	tidy := "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: tidy}\nspec:\n  schedule: \"*/1 * * * *\"\n  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: tidy, image: " + appImage + ", args: [sleep, \"1\"]}]}}}}\n"
	migrate := strings.Replace(job("migrate", `sleep, "1"`, ""), "metadata: {name: migrate}", "metadata: {name: migrate, annotations: {berth.dev/wave: \"-1\"}}", 1)
	return map[string]string{
		"k8s/settings.yaml": settings, "k8s/secret.yaml": string(secret), "k8s/migrate.yaml": migrate, "k8s/tidy.yaml": tidy,
		"k8s/api.yaml":    deployment("serve", env+probe) + "---\n" + service,
		"k8s/worker.yaml": strings.NewReplacer("name: api", "name: worker", "app: api", "app: worker").Replace(deployment("work", "")),
	}
}

// testLife follows an application from its first commit to its end. Only webhooks tell the agent of pushes.
func testLife(t *testing.T) {
	key, err := os.ReadFile(filepath.Join("..", "..", "examples", "posts", "berth", "demo-keys", "review.agekey"))
	if err != nil {
		t.Fatal(err)
	}
	shared.SetSecret(reporter{t}, "life-keys", map[string]string{"review.agekey": string(key)})
	shared.SetSecret(reporter{t}, "life-hooks", map[string]string{"token": password})
	life := begins(t, "life", func(r *v1alpha1.Repository) {
		r.Spec.URL, r.Spec.TimeZone = overTLS(t, r.Spec.URL), "Europe/Amsterdam" // which the image has to know
		r.Spec.Poll, r.Spec.GoneAfter = "@every 10m", metav1.Duration{Duration: time.Second}
		r.Spec.Webhook = &v1alpha1.Webhook{SecretRef: v1alpha1.SecretReference{Name: "life-hooks"}}
		for i := range r.Spec.Environments {
			r.Spec.Environments[i].Decryption = &v1alpha1.Decryption{SecretRef: &v1alpha1.SecretReference{Name: "life-keys"}}
		}
	})
	began := time.Now()
	commits := map[string]string{"main": life.git.Commit("main", application(t), "begin")}
	for _, branch := range []string{"login", "search"} {
		commits[branch] = life.git.CommitFrom("main", branch, nil, "begin "+branch)
	}
	life.delivers(t)
	for branch, commit := range commits {
		environment := life.Environment(branch)
		environment.BecomesWithin(limit, "Healthy", commit)
		awaitAnswer(t, environment, "hello from "+branch)
	}
	t.Logf("production and two previews were healthy after %s", time.Since(began).Round(time.Millisecond))
	production := life.Environment("main")
	migration := production.Object("Job/migrate").GetUID()
	production.Object("CronJob/tidy")

	commit := life.git.Change("main", "no worker, and another greeting", gittest.Remove("k8s/worker.yaml"),
		gittest.Write("k8s/settings.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {GREETING: changed}\n"),
		gittest.Write("k8s/api.yaml", strings.Replace(application(t)["k8s/api.yaml"], "serve", "serve, again", 1)))
	pushed := time.Now()
	life.delivers(t)
	production.BecomesWithin(limit, "Healthy", commit)
	t.Logf("the push was healthy after %s", time.Since(pushed).Round(time.Millisecond))
	production.AwaitGone("Deployment/worker")
	awaitAnswer(t, production, "changed")
	if production.Object("Job/migrate").GetUID() != migration {
		t.Error("the migration ran again, although it did not change")
	}

	// The agent restarts meanwhile, and then knows its environments some time after it serves metrics.
	for _, series := range []string{`entry="production",environment="life.production.main",preview="false"`, `entry="review",environment="life.review.search",preview="true"`} {
		awaitGet(t, "http://"+serviceAddress(t, deploy.Namespace, "berth")+":8080/metrics", "berth_environment_ready{"+series)
	}
	life.git.Delete("search")
	life.delivers(t)
	life.Environment("search").AwaitEnd()
}

// delivers sends a push webhook through the Service, as a Git server does. The agent may just be starting.
func (team *team) delivers(t *testing.T) {
	t.Helper()
	url := "http://" + serviceAddress(t, deploy.Namespace, "berth") + ":9292/hooks/" + team.Name
	world.AwaitFor(t, limit, "a webhook is accepted", func() (string, bool) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(`{"object_kind":"push"}`))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-Gitlab-Token", password)
		request.Header.Set("X-Gitlab-Event", "Push Hook")
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return err.Error(), false
		}
		defer answer.Body.Close()
		return answer.Status, answer.StatusCode/100 == 2
	})
}

func serviceAddress(t *testing.T, namespace, name string) string {
	t.Helper()
	service, err := admin(t).CoreV1().Services(namespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return service.Spec.ClusterIP
}

// awaitAnswer waits until an environment's API answers with its configuration and its decrypted Secret.
func awaitAnswer(t *testing.T, environment *world.Environment, greeting string) {
	t.Helper()
	answer := awaitGet(t, "http://"+serviceAddress(t, environment.Namespace(), "api")+"/", greeting)
	if strings.Contains(answer, "key of 0 bytes") {
		t.Errorf("the application has no key: %s", answer)
	}
}

// awaitGet waits until the answer to a request contains a text.
func awaitGet(t *testing.T, url, text string) (answer string) {
	t.Helper()
	client := &http.Client{Timeout: 5 * time.Second}
	world.AwaitFor(t, limit, url+" says "+text, func() (string, bool) {
		response, err := client.Get(url)
		if err != nil {
			return err.Error(), false
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		answer = string(body)
		return answer, err == nil && strings.Contains(answer, text)
	})
	return answer
}
