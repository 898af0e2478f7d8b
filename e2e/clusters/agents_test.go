// Package clusters runs one Repository in two clusters: two control planes, each with an agent of its own, and one Git server.
package clusters

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/clustertest"
	"berth.dev/berth/internal/gittest"
)

// east has the agent without a name, as a team has it that begins with one cluster. The agent of west is named.
var east, west *world.World

// binary is the path of berth.
var binary string

func TestMain(m *testing.M) {
	os.Exit(world.Suite{Name: "clusters", Begin: begin, End: end}.Run(m))
}

// begin returns the world of the first cluster, after the second one and its agent have started.
func begin(ctx context.Context, c world.Config) (_ *world.World, err error) {
	binary, c.Flags = c.Binary, []string{"--log-level", "debug"}
	if east, err = world.New(ctx, c); err != nil {
		return nil, err
	}
	plane, err := clustertest.Run(ctx, clustertest.Config{})
	if err != nil {
		return nil, err
	}
	c.Cluster, c.Dir, c.Flags = plane, filepath.Join(c.Dir, "west"), append(c.Flags, "--agent-name", "west")
	if west, err = world.New(ctx, c); err == nil {
		err = west.Agent.Start()
	}
	if err != nil {
		plane.Stop()
		return nil, err
	}
	return east, nil
}

func end() error {
	defer west.Cluster.Stop()
	return west.Agent.Stop()
}

// repository returns a Repository with production and previews, both of which belong to the agent without a name.
func repository(name, url string) *v1alpha1.Repository {
	second := metav1.Duration{Duration: time.Second}
	repo := &v1alpha1.Repository{Spec: v1alpha1.RepositorySpec{URL: url, Poll: "@every 1s", GoneAfter: second, Environments: []v1alpha1.Entry{
		{Name: "production", Branches: []v1alpha1.BranchPattern{"main"}, Path: "k8s", Namespace: name},
		{Name: "review", Branches: []v1alpha1.BranchPattern{"**", "!main"}, Path: "k8s", Namespace: name + "-${BRANCH_SLUG}"},
	}}}
	repo.Name = name
	return repo
}

// files has one ConfigMap with the name of the entry.
var files = map[string]string{"k8s/app.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: app}\ndata: {entry: \"${ENTRY}\"}\n"}

// reporter is a test whose context lasts until its cleanup has finished.
type reporter struct{ *testing.T }

func (reporter) Context() context.Context { return context.Background() }

// berth runs the command line in a cluster, and returns what it prints and its exit code.
func berth(t *testing.T, in *world.World, arguments ...string) (text string, code int) {
	t.Helper()
	command := exec.CommandContext(t.Context(), binary, append(arguments, "--kubeconfig", in.Cluster.Kubeconfig())...)
	out, err := command.CombinedOutput()
	if command.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), command.ProcessState.ExitCode()
}

// does runs the command line in a cluster, and fails the test unless it succeeds.
func does(t *testing.T, in *world.World, arguments ...string) string {
	t.Helper()
	text, code := berth(t, in, arguments...)
	if code != 0 {
		t.Fatalf("berth %s: %s", strings.Join(arguments, " "), text)
	}
	return text
}

// follows makes the agent of a cluster follow a repository, until the test has ended.
func follows(t *testing.T, in *world.World, repo *v1alpha1.Repository) *world.Repository {
	t.Helper()
	followed := in.Follow(reporter{t}, repo)
	t.Cleanup(func() {
		if t.Failed() {
			followed.Explain()
		}
		followed.Remove()
	})
	return followed
}

// agents gives entries to agents, in both clusters: the same file is applied to both.
func agents(production, review string, repositories ...*world.Repository) {
	for _, r := range repositories {
		r.Patch(fmt.Sprintf(`{"spec":{"environments":[
			{"name":"production","agent":%[2]q,"branches":["main"],"path":"k8s","namespace":%[1]q},
			{"name":"review","agent":%[3]q,"branches":["**","!main"],"path":"k8s","namespace":"%[1]s-${BRANCH_SLUG}"}]}}`, r.Name, production, review))
	}
}

// none waits until a branch has no environment in a cluster, and fails if its namespace is there.
func none(t *testing.T, e *world.Environment, in *world.World, namespace string) {
	t.Helper()
	world.Await(t, e.Branch+" has no environment", func() (string, bool) {
		found, there := e.Get()
		_, space, err := in.Namespace(t.Context(), namespace)
		return fmt.Sprint(world.Line(found), err), !there && !space && err == nil
	})
}

// The way of docs/clusters.md: from one cluster to two, and back.
func TestOneRepositoryInTwoClusters(t *testing.T) {
	git := gittest.NewServer(t).Repository("posts")
	main := git.Commit("main", files, "begin")
	side := git.CommitFrom("main", "side", files, "begin side")
	here := follows(t, east, repository("posts", git.URL()))
	here.Environment("main").Becomes("Healthy", main)
	here.Environment("side").Becomes("Healthy", side)

	// The second agent leaves all entries alone, until one names it.
	there := follows(t, west, repository("posts", git.URL()))
	there.Becomes(v1alpha1.ReasonWatching, "following nothing, because no entry belongs to the agent west", "2 entries belong to other agents: production (the agent without a name), review (the agent without a name)")
	agents("", "west", there, here)
	there.Environment("side").Becomes("Healthy", side)
	none(t, here.Environment("side"), east, "posts-side")
	none(t, there.Environment("main"), west, "posts")
	here.Environment("main").Becomes("Healthy", main)
	here.Becomes(v1alpha1.ReasonWatching, "1 entry belongs to another agent: review (the agent west)")
	for _, w := range []*world.World{east, west} {
		if out, _ := berth(t, w, "check", "posts"); !strings.Contains(out, "and is checked in that agent's cluster") {
			t.Errorf("berth check says\n%s", out)
		}
	}
	if out, _ := berth(t, west, "describe", "side"); !strings.Contains(out, "Agent:") {
		t.Errorf("berth describe says\n%s", out)
	}
	if out, code := berth(t, west, "wait", "--branch", "main"); code != 3 || !strings.Contains(out, "which runs in another cluster") {
		t.Errorf("berth wait in the wrong cluster ends with %d: %s", code, out)
	}

	// Pushes reach the right cluster only.
	main = git.Commit("main", map[string]string{"README.md": "two\n"}, "two")
	other := git.CommitFrom("main", "other", files, "begin other")
	here.Environment("main").Becomes("Healthy", main)
	there.Environment("other").Becomes("Healthy", other)
	none(t, here.Environment("other"), east, "posts-other")

	// Production moves only with a user's consent. Where it was, it keeps running.
	before, _ := here.Environment("main").Get()
	agents("west", "west", there, here)
	there.Environment("main").Becomes("Healthy", main)
	here.Becomes(v1alpha1.ReasonWaiting, "its entry production belongs to the agent west", "berth confirm posts.production.main")
	if now, exists := here.Environment("main").Get(); !exists || now.UID != before.UID {
		t.Error("production did not stay where it was")
	}
	does(t, east, "confirm", "posts.production.main")
	world.Await(t, "the Environment of main is gone", func() (string, bool) {
		found, exists := here.Environment("main").Get()
		return world.Line(found), !exists
	})
	if _, exists, err := east.Namespace(t.Context(), "posts"); err != nil || !exists {
		t.Errorf("the namespace of production is there: %t, %v", exists, err)
	}

	// Both back to the first cluster, of which production adopts what it left.
	agents("", "", here, there)
	here.Environment("main").Becomes("Healthy", main)
	here.Environment("side").Becomes("Healthy", side)
	none(t, there.Environment("side"), west, "posts-side")
	there.Becomes(v1alpha1.ReasonWaiting, "posts.production.main")
	does(t, west, "confirm", "--repository", "posts")
	there.Becomes(v1alpha1.ReasonWatching, "following nothing")
}

// A wrong name costs no environment.
func TestAnAgentStartsWithAnotherName(t *testing.T) {
	git := gittest.NewServer(t).Repository("named")
	main := git.Commit("main", files, "begin")
	side := git.CommitFrom("main", "side", files, "begin side")
	repo := follows(t, east, repository("named", git.URL()))
	repo.Environment("main").Becomes("Healthy", main)
	repo.Environment("side").Becomes("Healthy", side)
	before := identities(repo)

	succeed(t, east.Agent.Stop())
	renamed := east.Agent.Twin("renamed", "--agent-name", "east")
	t.Cleanup(func() { _ = renamed.Stop() })
	succeed(t, renamed.Start())
	repo.Becomes(v1alpha1.ReasonWaiting, "start the agent without --agent-name")
	for _, branch := range []string{"main", "side"} {
		repo.Environment(branch).Becomes("Waiting", map[string]string{"main": main, "side": side}[branch], "and this is the agent east")
	}
	// The name of the agent first and those of the entries afterwards is the order of docs/clusters.md.
	agents("east", "east", repo)
	side = git.Commit("side", map[string]string{"README.md": "two\n"}, "two")
	repo.Environment("main").Becomes("Healthy", main)
	repo.Environment("side").Becomes("Healthy", side)
	if after := identities(repo); after != before {
		t.Errorf("before there was %s, now %s", before, after)
	}
	succeed(t, renamed.Stop())
	agents("", "", repo)
	succeed(t, east.Agent.Start())
	repo.Environment("side").Becomes("Healthy", side)
	if after := identities(repo); after != before {
		t.Errorf("before there was %s, now %s", before, after)
	}
}

// identities returns the UIDs of all Environments: a re-created one has another.
func identities(r *world.Repository) string {
	uids := map[string]string{}
	for _, e := range r.Environments() {
		uids[e.Name] = string(e.UID)
	}
	return fmt.Sprint(uids)
}

func succeed(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
