package scenarios

import (
	"maps"
	"slices"
	"testing"
	"time"

	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/gittest"
)

// The scenarios in this file are not parallel, because they affect the agent that all scenarios share.

// Ten branches at rest cost one listing per poll, and no other request, before and after a restart.
func TestIdle(t *testing.T) {
	const poll, idle = time.Second, 20 * time.Second
	posts := begins(t, "idle")
	commits := map[string]string{"main": posts.pushes("main", application())}
	for _, branch := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i"} {
		commits[branch] = posts.branches(branch, nil)
	}
	for branch, commit := range commits {
		posts.Environment(branch).Becomes("Healthy", commit)
	}
	awaitRest(t, posts.server)

	t.Run("nothing is asked", func(t *testing.T) {
		began := time.Now()
		traffic, err := shared.Watch(t.Context(), idle, posts.server)
		if err != nil {
			t.Fatal(err)
		}
		most := int(time.Since(began)/poll) + 1
		if len(traffic.API) > 0 {
			t.Errorf("the agent sent %d requests:\n%s", len(traffic.API), traffic)
		}
		listings := traffic.CountGit(gittest.ListRefs)
		if listings > most || listings < most/2 || len(traffic.Git) != listings {
			t.Errorf("the Git server got %d requests, of which %d listings, want at most %d listings, and little less", len(traffic.Git), listings, most)
		}
	})
	t.Run("a restart writes nothing", func(t *testing.T) {
		began := time.Now()
		restart(t)
		world.Await(t, "the agent lists again", func() (string, bool) {
			traffic, err := shared.Since(began, posts.server)
			return traffic.String(), err == nil && traffic.CountGit(gittest.ListRefs) > 3
		})
		awaitRest(t, posts.server)
		traffic, err := shared.Since(began, posts.server)
		if err != nil {
			t.Fatal(err)
		}
		if attempts := traffic.Attempts(); len(attempts) > 0 {
			t.Errorf("the agent sent %q", attempts)
		}
	})
}

func TestTheAgentDiesInTheMiddleOfARollout(t *testing.T) {
	posts := begins(t, "dies")
	production := posts.Environment("main")
	first := posts.pushes("main", with(application(), "k8s/migrate.yaml", job("migrate", takesLong)))
	migration := production.AwaitObject("Job/migrate", "runs", func(world.Object) bool { return true })
	restart(t)
	production.Becomes("Healthy", first)
	if after := production.Object("Job/migrate"); after.GetUID() != migration.GetUID() {
		t.Error("the migration ran twice")
	}

	second := posts.pushes("main", code("again"))
	again := production.AwaitObject("Job/migrate", "runs again", func(o world.Object) bool { return o.GetUID() != migration.GetUID() })
	restart(t)
	production.Becomes("Healthy", second)
	if after := production.Object("Job/migrate"); after.GetUID() != again.GetUID() {
		t.Error("the migration ran twice")
	}
	want := []string{"ConfigMap/common", "Deployment/api", "Deployment/worker", "Job/migrate", "Service/api"}
	if got := slices.Sorted(maps.Keys(production.Contents())); !slices.Equal(got, want) {
		t.Errorf("there are %q, want %q", got, want)
	}
}

// After its downtime, the agent notices the changes that happened meanwhile.
func TestTheAgentIsAwayForAWhile(t *testing.T) {
	posts := begins(t, "away")
	production, login := posts.Environment("main"), posts.Environment("login")
	production.Becomes("Healthy", posts.pushes("main", application()))
	login.Becomes("Healthy", posts.branches("login", code("login")))
	if err := shared.Agent.Kill(); err != nil {
		t.Fatal(err)
	}
	production.Patch("Deployment/api", `{"spec":{"replicas":5}}`)
	production.Delete("Service/api")
	posts.git.Delete("login")
	commit := posts.removes("main", "k8s/worker.yaml")
	if err := shared.Agent.Start(); err != nil {
		t.Fatal(err)
	}
	production.Becomes("Healthy", commit)
	production.AwaitObject("Deployment/api", "has its replicas again", func(o world.Object) bool { return o.Field("spec.replicas") == "2" })
	production.AwaitObject("Service/api", "is there again", func(world.Object) bool { return true })
	production.AwaitGone("Deployment/worker")
	login.AwaitEnd()
}

func TestAFrozenAgentGoesOn(t *testing.T) {
	posts := begins(t, "frozen")
	production := posts.Environment("main")
	posts.pushes("main", with(application(), "k8s/migrate.yaml", job("migrate", takesLong)))
	migration := production.AwaitObject("Job/migrate", "runs", func(world.Object) bool { return true })
	if err := shared.Agent.Freeze(); err != nil {
		t.Fatal(err)
	}
	second := posts.pushes("main", map[string]string{"README.md": "Written while no agent ran.\n"})
	production.AwaitObject("Job/migrate", "is complete", func(o world.Object) bool { return o.Field("status.succeeded") == "1" })
	if err := shared.Agent.Thaw(); err != nil {
		t.Fatal(err)
	}
	production.Becomes("Healthy", second)
	if after := production.Object("Job/migrate"); after.GetUID() != migration.GetUID() {
		t.Error("the migration ran twice")
	}
}

// restart kills the agent and starts another.
func restart(t *testing.T) {
	t.Helper()
	if err := shared.Agent.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := shared.Agent.Start(); err != nil {
		t.Fatal(err)
	}
}

// awaitRest waits until the agent has made no requests for a while.
func awaitRest(t *testing.T, server *gittest.Server) {
	t.Helper()
	world.Await(t, "the agent is at rest", func() (string, bool) {
		traffic, err := shared.Since(time.Now().Add(-2*time.Second), server)
		return traffic.String(), err == nil && len(traffic.API) == 0
	})
}
