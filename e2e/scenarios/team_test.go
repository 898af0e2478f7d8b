package scenarios

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/gittest"
)

// A team is a Git repository that Berth follows: main becomes production, and every other branch a preview.
type team struct {
	*world.Repository
	git    *gittest.Repository
	server *gittest.Server
	t      *testing.T
}

// begins starts a team whose repository is still empty. The name must be short.
func begins(t *testing.T, name string, settings ...func(*v1alpha1.Repository)) *team {
	t.Helper()
	team := prepares(t, name)
	team.followed(settings...)
	return team
}

// prepares starts a team that Berth does not follow yet.
func prepares(t *testing.T, name string) *team {
	t.Helper()
	claims(t, name)
	server := gittest.NewServer(t)
	return &team{git: server.Repository(name), server: server, t: t, Repository: &world.Repository{Name: name}}
}

// claimed are the names of all teams so far.
var claimed = struct {
	sync.Mutex
	names []string
}{}

// claims takes a name. The writes of a team are found by the names of its namespaces, so one team must not have the beginning
// of another one's.
func claims(t *testing.T, name string) {
	t.Helper()
	claimed.Lock()
	defer claimed.Unlock()
	for _, other := range claimed.names {
		if strings.HasPrefix(other, name+"-") || strings.HasPrefix(name, other+"-") {
			t.Fatalf("the teams %s and %s would count each other's writes; choose another name", name, other)
		}
	}
	claimed.names = append(claimed.names, name)
}

// followed makes Berth follow the team's repository.
func (team *team) followed(settings ...func(*v1alpha1.Repository)) {
	team.t.Helper()
	repository := repositoryOf(team.Name, team.git.URL())
	for _, set := range settings {
		set(repository)
	}
	team.Repository = shared.Follow(reporter{team.t}, repository)
	team.t.Cleanup(func() {
		if team.t.Failed() {
			team.Explain()
		}
		team.Remove()
	})
}

// repositoryOf returns a Repository object whose intervals are one second.
func repositoryOf(name, url string) *v1alpha1.Repository {
	health := v1alpha1.Health{Timeout: seconds(60), ImagePullGrace: seconds(1)}
	repository := &v1alpha1.Repository{Spec: v1alpha1.RepositorySpec{
		URL:       url,
		Poll:      "@every 1s",
		GoneAfter: seconds(1),
		Environments: []v1alpha1.Entry{
			{
				Name: "production", Branches: []v1alpha1.BranchPattern{"main"}, Path: "k8s", Namespace: name, Health: health,
				Variables: map[string]intstr.IntOrString{"HOST": intstr.FromString("posts.example.com"), "REPLICAS": intstr.FromInt32(2)},
			},
			{
				Name: "review", Branches: []v1alpha1.BranchPattern{"**", "!main"}, Path: "k8s", Namespace: name + "-${BRANCH_SLUG}", Health: health,
				Variables: map[string]intstr.IntOrString{"HOST": intstr.FromString("${BRANCH_SLUG}.example.com"), "REPLICAS": intstr.FromInt32(1)},
				Link:      "https://${HOST}",
			},
		},
	}}
	repository.Name = name
	return repository
}

func seconds(n int) metav1.Duration {
	return metav1.Duration{Duration: time.Duration(n) * time.Second}
}

// timeout gives every environment n seconds to become healthy.
func timeout(n int) func(*v1alpha1.Repository) {
	return func(r *v1alpha1.Repository) {
		for i := range r.Spec.Environments {
			r.Spec.Environments[i].Health.Timeout = seconds(n)
		}
	}
}

// in returns the team for a subtest.
func (team team) in(t *testing.T) *team {
	team.t, team.Repository = t, team.With(t)
	return &team
}

// pushes commits files to a branch, and returns the commit. A new branch begins at main.
func (team *team) pushes(branch string, files map[string]string) string {
	team.t.Helper()
	return team.git.Commit(branch, files, "a push to "+branch)
}

// branches creates a branch at main with a commit of its own, and returns that commit.
func (team *team) branches(branch string, files map[string]string) string {
	team.t.Helper()
	return team.git.CommitFrom("main", branch, files, "begin "+branch)
}

// removes commits the removal of files from a branch, and returns the commit.
func (team *team) removes(branch string, paths ...string) string {
	team.t.Helper()
	var changes []gittest.Change
	for _, path := range paths {
		changes = append(changes, gittest.Remove(path))
	}
	return team.git.Change(branch, "remove files", changes...)
}

// moves commits the move of a file on main, and returns the commit.
func (team *team) moves(from, to, content string) string {
	team.t.Helper()
	return team.git.Change("main", "move a file", gittest.Remove(from), gittest.Write(to, content))
}

// writesSince returns the agent's writes to the team's namespaces.
func (team *team) writesSince(began time.Time) []string {
	team.t.Helper()
	traffic, err := shared.Since(began, team.server)
	if err != nil {
		team.t.Fatal(err)
	}
	return traffic.Writes(team.Name)
}

// writesInOrder returns the agent's writes to the team's namespaces, the earliest first.
func (team *team) writesInOrder(began time.Time) []string {
	team.t.Helper()
	traffic, err := shared.Since(began, team.server)
	if err != nil {
		team.t.Fatal(err)
	}
	return traffic.WritesInOrder(team.Name)
}

// expectWrites fails the test unless the agent's writes to the team's namespaces are exactly these. It waits until the
// API server has logged as many, because others see a change before that.
func (team *team) expectWrites(began time.Time, want ...string) {
	team.t.Helper()
	slices.Sort(want)
	var got []string
	world.Await(team.t, fmt.Sprintf("the agent writes %q", want), func() (string, bool) {
		got = team.writesSince(began)
		return fmt.Sprintf("%q", got), len(got) >= len(want)
	})
	if !slices.Equal(got, want) {
		team.t.Errorf("the agent wrote %q, want %q", got, want)
	}
}

// reporter is a test whose context lasts until its cleanup has finished.
type reporter struct{ *testing.T }

func (reporter) Context() context.Context { return context.Background() }
