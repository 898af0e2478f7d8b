package scenarios

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/gittest"
)

// For every fault of a Git server, the Repository reports it, nothing in the cluster changes, and syncing resumes
// afterwards.
func TestTheGitServerMisbehaves(t *testing.T) {
	t.Parallel()
	posts := begins(t, "server")
	production, login := posts.Environment("main"), posts.Environment("login")
	production.Becomes("Healthy", posts.pushes("main", application()))
	login.Becomes("Healthy", posts.branches("login", nil))

	tests := []struct {
		name   string
		fault  func()
		reason string
		says   []string
	}{
		{"it fails", func() { posts.server.Misbehave(gittest.Status(500)) }, "Unreachable", []string{"500"}},
		{"it does not find the repository", func() { posts.server.Misbehave(gittest.Status(404)) }, "Invalid", []string{"404"}},
		{"it wants credentials", func() { posts.server.RequireBasic("berth", "secret") }, "Unauthorized", []string{"401"}},
		{"it hangs up", func() { posts.server.Misbehave(gittest.CutOff(20)) }, "Unreachable", nil},
		{"its listing is empty", func() { posts.server.Misbehave(gittest.EmptyListing) }, "Empty", nil},
		{"its listing is cut off", func() { posts.server.Misbehave(gittest.Only(gittest.ListRefs, gittest.CutOff(80))) }, "Unreachable", nil},
	}
	before, previews := production.Contents(), login.Contents()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			posts, began := posts.in(t), time.Now()
			test.fault()
			posts.Becomes(test.reason, test.says...)
			polls := posts.server.Count()
			world.Await(t, "it is asked several times more", func() (string, bool) {
				return fmt.Sprint(posts.server.Count()), posts.server.Count() > polls+2
			})
			posts.server.AllowAnyone()
			posts.server.Behave()
			posts.Becomes("Watching")
			posts.expectWrites(began)
		})
	}
	if changed := append(before.Changed(production.Contents()), previews.Changed(login.Contents())...); len(changed) > 0 {
		t.Errorf("%q changed", changed)
	}
}

func TestTheGitServerIsAway(t *testing.T) {
	t.Parallel()
	posts := begins(t, "gone")
	production := posts.Environment("main")
	production.Becomes("Healthy", posts.pushes("main", application()))
	before := production.Contents()
	posts.server.Close()
	posts.Becomes("Unreachable", strings.TrimPrefix(posts.server.URL(), "http://"))
	if changed := before.Changed(production.Contents()); len(changed) > 0 {
		t.Errorf("%q changed", changed)
	}
	production.Patch("Deployment/api", `{"spec":{"replicas":5}}`)
	production.AwaitObject("Deployment/api", "is corrected all the same", func(o world.Object) bool { return o.Field("spec.replicas") == "2" })
}

func TestTheCredentialsAreWrong(t *testing.T) {
	t.Parallel()
	posts := prepares(t, "login")
	posts.server.RequireBasic("berth", "right")
	commit := posts.pushes("main", application())
	posts.followed(func(r *v1alpha1.Repository) { r.Spec.SecretRef = &v1alpha1.SecretReference{Name: "login-git"} })
	posts.Becomes("Unauthorized", "login-git", "no such Secret")
	shared.SetSecret(t, "login-git", map[string]string{"username": "berth", "password": "wrong"})
	posts.Becomes("Unauthorized", "401")
	shared.SetSecret(t, "login-git", map[string]string{"username": "berth", "password": "right"})
	posts.Becomes("Watching")
	posts.Environment("main").Becomes("Healthy", commit)
}

func TestTheRepositoryIsEmpty(t *testing.T) {
	t.Parallel()
	posts := begins(t, "empty")
	posts.Becomes("Empty", "no branches")
	posts.Environment("main").Becomes("Healthy", posts.pushes("main", application()))
	posts.Becomes("Watching")
}

func TestABranchIsMissing(t *testing.T) {
	t.Parallel()
	posts := prepares(t, "nobranch")
	posts.pushes("trunk", application())
	posts.git.SetDefault("trunk")
	posts.followed()
	posts.Becomes("Invalid", "entry production", "no branch main", "the default branch trunk gets no environment", "write trunk in place of the old name in all entries")
	if all := posts.Environments(); len(all) > 0 {
		t.Errorf("%d environments were made of a default branch that may be production's", len(all))
	}
	posts.Patch(`{"spec":{"environments":[{"name":"production","branches":["trunk"],"path":"k8s","namespace":"nobranch","variables":{"HOST":"posts.example.com","REPLICAS":2}}]}}`)
	posts.Environment("trunk").Becomes("Healthy", posts.git.Head("trunk"))
}

func TestThePathIsMissing(t *testing.T) {
	t.Parallel()
	posts := begins(t, "nopath")
	production := posts.Environment("main")
	commit := posts.pushes("main", map[string]string{"README.md": "Nothing here yet.\n"})
	production.Becomes("Failed", commit, "k8s", "no such folder")
	production.Becomes("Healthy", posts.pushes("main", application()))

	before := production.Contents()
	production.Becomes("Failed", posts.removes("main", "k8s"), "k8s", "no such folder")
	if changed := before.Changed(production.Contents()); len(changed) > 0 {
		t.Errorf("%q changed", changed)
	}
}

// The API server rejects an administrator's mistakes at once, as far as it can detect them.
func TestRefusedRepositories(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		set  func(*v1alpha1.Repository)
		says string
	}{
		{"a cron expression with four fields", func(r *v1alpha1.Repository) { r.Spec.Poll = "* * * *" }, "poll must be a cron expression"},
		{"a time zone that is none", func(r *v1alpha1.Repository) { r.Spec.TimeZone = "Europe Amsterdam" }, "timeZone must be an IANA name"},
		{"an invalid glob", func(r *v1alpha1.Repository) { r.Spec.Environments[1].Branches[0] = "feature/[a" }, "branches"},
		{"a pattern that begins with a negation", func(r *v1alpha1.Repository) { r.Spec.Environments[1].Branches[0] = "!main" }, "must not be a negation"},
		{"a name with a dot", func(r *v1alpha1.Repository) { r.Name = "a.b" }, "must not contain a dot"},
		{"a name that is too long", func(r *v1alpha1.Repository) { r.Name = strings.Repeat("a", 30) }, "63 characters"},
		{"a namespace for all branches", func(r *v1alpha1.Repository) { r.Spec.Environments[1].Namespace = "one" }, "namespace must contain ${BRANCH_SLUG}"},
		{"an impossible namespace", func(r *v1alpha1.Repository) { r.Spec.Environments[0].Namespace = "Not_A_Name" }, "namespace must consist of"},
		{"credentials in the address", func(r *v1alpha1.Repository) { r.Spec.URL = "https://me:secret@example.com/a.git" }, "must not hold credentials"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			repository := repositoryOf("refused", "https://example.com/a.git")
			test.set(repository)
			err := shared.Create(t, repository)
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want %q", err, test.says)
			}
		})
	}
}
