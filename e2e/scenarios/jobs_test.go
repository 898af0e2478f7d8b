package scenarios

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/e2e/world"
)

// runs counts how often a Job of the team has been created since a time.
func (team *team) runs(since time.Time, name string) (count int) {
	team.t.Helper()
	for _, line := range team.writesSince(since) {
		if line == "create jobs/"+name {
			count++
		}
	}
	return count
}

// expectRuns fails the test if a Job of the team has been created more or less often since a time. It waits until the
// API server has logged as many runs, because others see a Job before that.
func (team *team) expectRuns(since time.Time, name string, want int) {
	team.t.Helper()
	var got int
	world.Await(team.t, fmt.Sprintf("%s has run %d times", name, want), func() (string, bool) {
		got = team.runs(since, name)
		return fmt.Sprintf("%d times", got), got >= want
	})
	if got != want {
		team.t.Errorf("%s has run %d times, want %d", name, got, want)
	}
}

// says runs a berth command about an environment, as a user does.
func (team *team) says(branch string, command ...string) {
	team.t.Helper()
	env, _ := team.Environment(branch).Get()
	arguments := slices.Insert(slices.Clone(command), 1, env.Name, "--kubeconfig", shared.Cluster.Kubeconfig())
	if output, err := exec.CommandContext(team.t.Context(), binary, arguments...).CombinedOutput(); err != nil {
		team.t.Fatalf("berth %s: %v: %s", strings.Join(command, " "), err, output)
	}
}

// jobWith returns a migration with additional lines in its spec.
func jobWith(behaviour, spec string) string {
	return strings.Replace(job("migrate", behaviour), "spec:\n", "spec:\n  "+spec+"\n", 1)
}

func TestAJobRunsOncePerChange(t *testing.T) {
	t.Parallel()
	posts, began := begins(t, "once"), time.Now()
	production := posts.Environment("main")
	production.Becomes("Healthy", posts.pushes("main", application()))
	production.Becomes("Healthy", posts.pushes("main", code("changed")))
	posts.expectRuns(began, "migrate", 2)

	reverted := posts.pushes("main", map[string]string{"app/main.go": application()["app/main.go"]})
	production.Becomes("Healthy", reverted)
	posts.expectRuns(began, "migrate", 3)
	production.Becomes("Healthy", posts.pushes("main", map[string]string{"k8s/common.yaml": configMap("common", "HOST: elsewhere")}))
	production.Delete("Job/migrate")
	production.AwaitGone("Job/migrate")
	production.Becomes("Healthy", posts.pushes("main", map[string]string{"k8s/common.yaml": configMap("common", "HOST: here")}))
	posts.expectRuns(began, "migrate", 3)
}

func TestFinishedJobsGoAndStayGone(t *testing.T) {
	t.Parallel()
	posts, began := begins(t, "ttl"), time.Now()
	production := posts.Environment("main")
	first := posts.pushes("main", with(application(), "k8s/migrate.yaml", jobWith("", "ttlSecondsAfterFinished: 0")))
	production.Becomes("Healthy", first)
	production.AwaitGone("Job/migrate")
	production.Becomes("Healthy", first)
	posts.expectRuns(began, "migrate", 1)

	bad := posts.pushes("main", map[string]string{"k8s/migrate.yaml": jobWith(fails, "ttlSecondsAfterFinished: 0")})
	production.Becomes("Failed", bad, "Job/migrate", "container migrate exited with code 7")
	production.AwaitGone("Job/migrate")
	failed := production.Becomes("Failed", bad, "Job/migrate", "container migrate exited with code 7")
	if jobs := failed.Status.Jobs; len(jobs) != 1 || jobs[0].Outcome != "Failed" {
		t.Errorf("the Jobs are %+v", jobs)
	}
	posts.expectRuns(began, "migrate", 2)
	posts.says("main", "retry", "--no-wait")
	production.AwaitObject("Job/migrate", "runs again", func(world.Object) bool { return true })
	posts.expectRuns(began, "migrate", 3)
}

func TestASuspendedJobIsWaitedFor(t *testing.T) {
	t.Parallel()
	posts, began := begins(t, "paused"), time.Now()
	production := posts.Environment("main")
	commit := posts.pushes("main", with(application(), "k8s/migrate.yaml", jobWith("", "suspend: true")))
	production.Becomes("Syncing", commit, "Job/migrate", "suspended")
	if _, there := production.Find("Deployment/api"); there {
		t.Error("what comes after it did not wait")
	}
	run := production.Object("Job/migrate").GetUID()
	production.Patch("Job/migrate", `{"spec":{"suspend":false}}`) // by hand
	production.Becomes("Healthy", commit)
	if now := production.Object("Job/migrate").GetUID(); now != run {
		t.Error("another run took the place of the one that was resumed")
	}
	posts.expectRuns(began, "migrate", 1)

	production.Becomes("Syncing", posts.pushes("main", with(code("changed"), "k8s/migrate.yaml", jobWith("", "suspend: true"))), "suspended")
	production.Becomes("Healthy", posts.pushes("main", map[string]string{"k8s/migrate.yaml": job("migrate", "")}))
	posts.expectRuns(began, "migrate", 3)
}

func TestParallelAndIndexedJobs(t *testing.T) {
	t.Parallel()
	posts := begins(t, "parallel")
	production := posts.Environment("main")
	for _, spec := range []string{"completions: 4\n  parallelism: 2", "completions: 3\n  parallelism: 3\n  completionMode: Indexed"} {
		commit := posts.pushes("main", with(application(), "k8s/migrate.yaml", jobWith("", spec)))
		production.Becomes("Healthy", commit)
		migration := production.Object("Job/migrate")
		if migration.Field("status.succeeded") != migration.Field("spec.completions") {
			t.Errorf("healthy with %s of %s completed", migration.Field("status.succeeded"), migration.Field("spec.completions"))
		}
	}
	partly := "completions: 2\n  parallelism: 2\n  completionMode: Indexed\n  backoffLimitPerIndex: 0"
	production.Becomes("Failed", posts.pushes("main", map[string]string{"k8s/migrate.yaml": jobWith(fails, partly)}), "Job/migrate", "exited with code 7")
}

// A Job runs again when a generated ConfigMap or Secret that it names changes.
func TestAJobRunsWhenTheSettingsThatItNamesChange(t *testing.T) {
	t.Parallel()
	posts, began := begins(t, "named"), time.Now()
	settings := func(literal string) map[string]string {
		files := generated(literal)
		files["k8s/kustomization.yaml"] = strings.Replace(files["k8s/kustomization.yaml"], "api.yaml", "api.yaml, migrate.yaml", 1)
		files["k8s/migrate.yaml"] = strings.TrimPrefix(job("migrate", ""), "---\n") + "        envFrom: [{configMapRef: {name: settings}}]\n"
		return files
	}
	production := posts.Environment("main")
	for i, literal := range []string{"A=1", "A=2"} {
		production.Becomes("Healthy", posts.pushes("main", settings(literal)))
		posts.expectRuns(began, "migrate", i+1)
	}
	production.Becomes("Healthy", posts.pushes("main", map[string]string{"k8s/api.yaml": settings("")["k8s/api.yaml"] + "        workingDir: /\n"}))
	posts.expectRuns(began, "migrate", 2)
}

// A Job that a user created with kubectl counts as done if it is the same, and is replaced otherwise.
func TestAJobThatSomebodyElseHasRun(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, image, behaviour string
		runs                   int
	}{
		{"ran", "registry.example.com/app:1", "", 0},
		{"older-ran", "registry.example.com/app:0", "", 1},
		{"still-runs", "registry.example.com/app:1", takesLong, 0},
		{"older-runs", "registry.example.com/app:0", takesLong, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			posts, began := prepares(t, test.name), time.Now()
			posts.Repository = posts.With(t)
			kubectl := other{t, "kubectl-create", test.name}
			other{t, "kubectl-create", ""}.creates("namespaces", "{apiVersion: v1, kind: Namespace, metadata: {name: "+test.name+"}}")
			kubectl.creates("jobs", strings.ReplaceAll(job("migrate", test.behaviour), image, test.image))
			if test.behaviour == "" {
				kubectl.awaitComplete("migrate")
			}
			posts.followed()
			production := posts.Environment("main")
			production.Becomes("Healthy", posts.pushes("main", with(application(), "k8s/migrate.yaml", strings.ReplaceAll(job("migrate", test.behaviour), image, "registry.example.com/app:1"))))
			posts.expectRuns(began, "migrate", test.runs)
		})
	}
}

// A Job that the API server would reject does not replace another.
func TestAJobThatIsRefusedReplacesNothing(t *testing.T) {
	t.Parallel()
	posts, began := begins(t, "successor"), time.Now()
	production := posts.Environment("main")
	production.Becomes("Healthy", posts.pushes("main", application()))
	ran := production.Object("Job/migrate").GetUID()
	refused := posts.pushes("main", map[string]string{"k8s/migrate.yaml": jobWith("", "activeDeadlineSeconds: -1")})
	production.Becomes("Failed", refused, "k8s/migrate.yaml:2", "Job/successor/migrate", "spec.activeDeadlineSeconds: Invalid value: -1")
	if now := production.Object("Job/migrate"); now.GetUID() != ran || now.GetDeletionTimestamp() != nil {
		t.Error("the one that ran is gone, or on its way")
	}
	posts.expectRuns(began, "migrate", 1)
}

const cron = `
apiVersion: batch/v1
kind: CronJob
metadata: {name: tidy}
spec:
  schedule: "0 0 1 1 *"
  jobTemplate:
    spec: {template: {spec: {restartPolicy: Never, containers: [{name: tidy, image: registry.example.com/tidy}]}}}
`

// ofCron is a Job as kubectl create job --from creates it, with all labels that a user might add.
const ofCron = `
apiVersion: batch/v1
kind: Job
metadata:
  name: %s
  labels: {berth.dev/environment: %s}
  ownerReferences: [{apiVersion: batch/v1, kind: CronJob, name: tidy, uid: %s, controller: true}]
spec: {template: {spec: {restartPolicy: Never, containers: [{name: tidy, image: registry.example.com/tidy}]}}}
`

func TestACronJobsJobsAreItsOwn(t *testing.T) {
	t.Parallel()
	posts := begins(t, "cron")
	production := posts.Environment("main")
	production.Becomes("Healthy", posts.pushes("main", with(application(), "k8s/cron.yaml", cron)))
	tidy := production.Object("CronJob/tidy")
	other{t, "kubectl-create", production.Namespace()}.creates("jobs", fmt.Sprintf(ofCron, "tidy-1", tidy.GetLabels()["berth.dev/environment"], tidy.GetUID()))
	run := production.Object("Job/tidy-1").GetUID()

	began := time.Now()
	production.Becomes("Healthy", posts.pushes("main", map[string]string{"k8s/cron.yaml": strings.Replace(cron, "0 0 1 1 *", "0 0 2 2 *", 1)}))
	posts.expectWrites(began, "patch cronjobs/tidy")
	now := production.Object("CronJob/tidy")
	if now.GetUID() != tidy.GetUID() || now.Field("spec.schedule") != "0 0 2 2 *" {
		t.Errorf("it is %s with the schedule %s", now.GetUID(), now.Field("spec.schedule"))
	}
	if uid := production.Object("Job/tidy-1").GetUID(); uid != run {
		t.Errorf("its Job is %s, and was %s", uid, run)
	}
	production.Becomes("Healthy", posts.removes("main", "k8s/cron.yaml"))
	production.AwaitGone("CronJob/tidy")
}
