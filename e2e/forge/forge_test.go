package forge_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/e2e/forge"
	"berth.dev/berth/e2e/world"
)

// The main use: a push becomes production, a branch becomes a preview, and the preview is deleted with the branch. Only
// Gitea's webhooks notify the agent of these changes.
func TestPushesToGiteaReachTheCluster(t *testing.T) {
	posts := begins(t, "posts")
	production := posts.Environment("main")
	began := time.Now()
	production.Becomes("Healthy", posts.forge.Push("main", application("one")))
	t.Logf("the first push was healthy after %s", time.Since(began).Round(time.Millisecond))
	began = time.Now()
	commit := posts.forge.Push("main", application("two"))
	production.Becomes("Healthy", commit)
	t.Logf("the second push was healthy after %s", time.Since(began).Round(time.Millisecond))

	preview := posts.Environment("feature/login")
	preview.Becomes("Healthy", posts.forge.Push("feature/login", application("three")))
	posts.forge.DeleteBranch("feature/login")
	preview.AwaitEnd()
	if saw, is := production.Is("Healthy", commit); !is {
		t.Error(saw)
	}
	if posts.Get().Status.LastHookTime.IsZero() {
		t.Error("no time of the last webhook")
	}
}

// Gitea signs the JSON alone, whatever content type it sends. A delivery with a wrong secret is refused, and the log
// says why.
func TestDeliveriesOfEachContentType(t *testing.T) {
	posts := begins(t, "signed")
	hooks := []forge.Hook{
		{URL: "json-right", ContentType: "json", Secret: hookToken},
		{URL: "form-right", ContentType: "form", Secret: hookToken},
		{URL: "json-wrong", ContentType: "json", Secret: "another"},
		{URL: "form-wrong", ContentType: "form", Secret: "another"},
	}
	for _, h := range hooks {
		h.URL = recorder.URL("/hooks/signed?" + h.URL)
		posts.forge.Hook(h)
	}
	posts.Environment("main").Becomes("Healthy", posts.forge.Push("main", application("one")))
	for _, h := range hooks {
		want := map[bool]int{true: 202, false: 401}[h.Secret == hookToken]
		world.Await(t, h.URL+" is delivered", func() (string, bool) {
			all := recorder.Deliveries("/hooks/signed")
			i := slices.IndexFunc(all, func(d forge.Delivery) bool { return d.Query == h.URL && d.Event == "push" })
			if i < 0 {
				return fmt.Sprintf("%d deliveries", len(all)), false
			}
			record(t, h, all[i])
			return fmt.Sprint(all[i].Status), all[i].Status == want
		})
	}
	for _, media := range []string{"application/json", "application/x-www-form-urlencoded"} {
		reason := `its X-Hub-Signature-256 (content type \"` + media + `\") was not made with the token`
		world.Await(t, "the log says why", func() (string, bool) {
			log := shared.Agent.Log("refused a webhook delivery")
			return log, strings.Contains(log, reason)
		})
	}
}

// record writes a delivery into the test data of source/webhook.
func record(t *testing.T, h forge.Hook, d forge.Delivery) {
	t.Helper()
	if *recordTo == "" || h.Secret != hookToken {
		return
	}
	name := fmt.Sprintf("gitea-%s-%s-%s.http", gitea.Version, d.Event, h.ContentType)
	if err := os.WriteFile(filepath.Join(*recordTo, name), d.Request, 0o600); err != nil {
		t.Error(err)
	}
}

// Berth follows the redirect of a repository that was renamed on the server. No listing fails.
func TestARepositoryIsRenamedOnTheServer(t *testing.T) {
	posts := begins(t, "renamed")
	production := posts.Environment("main")
	production.Becomes("Healthy", posts.forge.Push("main", application("one")))
	posts.forge.Rename("renamed-since")
	commit := posts.forge.Push("main", application("two"))
	production.Becomes("Healthy", commit)
	preview := posts.Environment("side")
	preview.Becomes("Healthy", posts.forge.Push("side", application("three")))
	for _, words := range []string{"level=WARN", "level=ERROR"} {
		for line := range strings.Lines(shared.Agent.Log("repository=renamed")) {
			if strings.Contains(line, words) {
				t.Errorf("the log says %s", line)
			}
		}
	}
}

// The new default branch gets no preview, although the pattern matches it, while production waits for its own branch.
// Once the entries name it, it takes over the existing environment.
func TestTheDefaultBranchIsRenamed(t *testing.T) {
	posts := begins(t, "trunks")
	production := posts.Environment("main")
	healthy := posts.forge.Push("main", application("one"))
	production.Becomes("Healthy", healthy)
	api := production.Object("Deployment/api")
	posts.forge.RenameBranch("main", "trunk")
	posts.Environment("side").Becomes("Healthy", posts.forge.Push("side", application("two")))
	posts.Becomes("Invalid", "has no branch main", "the default branch trunk gets no environment")
	if all := posts.Environments(); slices.ContainsFunc(all, func(e v1alpha1.Environment) bool { return e.Spec.Branch == "trunk" }) {
		t.Errorf("the new default branch has an environment: %v", all)
	}
	posts.follows("trunk")
	posts.Environment("trunk").Becomes("Healthy", healthy)
	commit := posts.forge.Push("trunk", application("three"))
	posts.Environment("trunk").Becomes("Healthy", commit)
	if production.Object("Deployment/api").GetUID() != api.GetUID() {
		t.Error("production did not run on")
	}
	if all := posts.Environments(); len(all) != 2 {
		t.Errorf("there are %d environments, want those of trunk and of side", len(all))
	}
}

// A user whose token lacks a scope learns which one it needs.
func TestATokenWithoutTheScope(t *testing.T) {
	posts := beginsWith(t, "scopeless", "read:user")
	posts.Becomes("Unauthorized", "403 Forbidden: the credentials do not give the right to read this repository", "Gitea: read:repository")
}
