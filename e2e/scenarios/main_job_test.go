package scenarios

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// A team's daily work, from the first push to the deletion of a branch.
func TestTheLifeOfABranch(t *testing.T) {
	t.Parallel()
	posts := begins(t, "life")

	first := posts.pushes("main", application())
	production := posts.Environment("main")
	production.Becomes("Healthy", first)
	if got := production.Object("Deployment/api").Field("spec.replicas"); got != "2" {
		t.Errorf("production has %s replicas, want the 2 of its entry", got)
	}

	login := posts.Environment("feature/login")
	begun := posts.branches("feature/login", code("login"))
	link := login.Becomes("Healthy", begun).Status.Link
	if !strings.HasPrefix(link, "https://feature-login-") || !strings.HasPrefix(login.Namespace(), "life-feature-login-") {
		t.Errorf("the preview is at %s in the namespace %s", link, login.Namespace())
	}
	if got := login.Object("ConfigMap/common").Field("data.HOST"); "https://"+got != link {
		t.Errorf("the preview's host is %s, and its link %s", got, link)
	}
	untouched := production.Contents()

	t.Run("a change of the code migrates once and rolls out, and nothing else", func(t *testing.T) {
		posts := posts.in(t)
		login := posts.Environment("feature/login")
		before, began := login.Contents(), time.Now()
		migration := login.Object("Job/migrate")
		commit := posts.pushes("feature/login", code("with passwords"))
		login.Becomes("Healthy", commit)
		if again := login.Object("Job/migrate"); again.GetUID() == migration.GetUID() || again.Image() == migration.Image() {
			t.Error("the migration has not run again")
		}
		posts.expectWrites(began, "create jobs/migrate", "delete jobs/migrate", "patch deployments/api", "patch deployments/worker")
		if got, want := before.Changed(login.Contents()), []string{"Deployment/api", "Deployment/worker", "Job/migrate"}; !slices.Equal(got, want) {
			t.Errorf("it changed %q, want %q", got, want)
		}
	})
	t.Run("a commit to the README touches nothing", func(t *testing.T) {
		posts := posts.in(t)
		login := posts.Environment("feature/login")
		before, began := login.Contents(), time.Now()
		commit := posts.pushes("feature/login", map[string]string{"README.md": "A login.\n"})
		login.Becomes("Healthy", commit)
		posts.expectWrites(began)
		if changed := before.Changed(login.Contents()); len(changed) > 0 {
			t.Errorf("it changed %q", changed)
		}
	})
	t.Run("a manifest that is removed is pruned", func(t *testing.T) {
		posts := posts.in(t)
		login := posts.Environment("feature/login")
		began := time.Now()
		commit := posts.removes("feature/login", "k8s/worker.yaml")
		login.Becomes("Healthy", commit)
		login.AwaitGone("Deployment/worker")
		posts.expectWrites(began, "delete deployments/worker")
	})
	if changed := untouched.Changed(production.Contents()); len(changed) > 0 {
		t.Errorf("meanwhile, in production, %q changed", changed)
	}

	t.Run("the branch goes, and all of it goes", func(t *testing.T) {
		posts := posts.in(t)
		production, login := posts.Environment("main"), posts.Environment("feature/login")
		posts.git.Delete("feature/login")
		login.AwaitEnd()
		production.Becomes("Healthy", first)
		if changed := untouched.Changed(production.Contents()); len(changed) > 0 {
			t.Errorf("in production, %q changed with it", changed)
		}
	})
}

func TestTwoPreviewsAtOnce(t *testing.T) {
	t.Parallel()
	posts := begins(t, "two")
	posts.Environment("main").Becomes("Healthy", posts.pushes("main", application()))
	one, other := posts.branches("feature/one", code("one")), posts.branches("feature/other", code("other"))
	posts.Environment("feature/one").Becomes("Healthy", one)
	posts.Environment("feature/other").Becomes("Healthy", other)
	if a, b := posts.Environment("feature/one").Namespace(), posts.Environment("feature/other").Namespace(); a == b {
		t.Errorf("both are in the namespace %s", a)
	}
}
