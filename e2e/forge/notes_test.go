package forge_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/e2e/forge"
	"berth.dev/berth/e2e/world"
)

var notesFile = flag.String("notes", "", "file for the notes of the documentation; without it none are recorded")

// recording collects notes for the documentation.
type recording struct {
	strings.Builder
	camera *camera
	forge  *forge.Repository
}

// add adds the note of a merge request under a title. The marker in its first line is not visible.
func (r *recording) add(title, explanation string, number int64, note forge.Note) {
	_, body, _ := strings.Cut(note.Body, "\n")
	body = strings.ReplaceAll(body, images, "registry.example.com")
	name := strings.ReplaceAll(strings.ToLower(title), " ", "-")
	r.camera.takes(name, r.forge.Page(number), note.ID)
	fmt.Fprintf(r, "\n## %s\n\n%s\n\n![%s, as Gitea shows it](notes/%s.png)\n\n---\n\n%s\n---\n", title, explanation, title, name, strings.TrimSpace(body)+"\n")
}

// behaves returns the application whose pods behave in a way that the simulated node knows.
func behaves(text, metadata string) map[string]string {
	files := application(text)
	files["k8s/app.yaml"] = strings.Replace(files["k8s/app.yaml"], "    metadata: {labels: {app: api}}", "    metadata: {"+metadata+"}", 1)
	return files
}

// TestNotesOfTheDocumentation lets one branch go through all states, and records its note in each: make notes.
func TestNotesOfTheDocumentation(t *testing.T) {
	if *notesFile == "" {
		t.Skip("the notes of the documentation are recorded by make notes")
	}
	posts := begins(t, "posts")
	posts.reports(t, "write:repository", "write:issue")
	posts.configures(map[string]any{"statuses": "Blocking"})
	posts.forge.Publish() // for a browser that is not signed in
	r := &recording{camera: newCamera(t), forge: posts.forge}
	r.WriteString("# Notes in merge requests\n\nThese are the notes that Berth wrote into a merge request of a real Gitea, recorded by `make notes`, with pictures of how Gitea shows them. The Repository has `statuses: Blocking`. " +
		"[Merge requests](merge-requests.md) explains them.\n")
	posts.Environment("main").Becomes("Healthy", posts.forge.PushSaying("main", "Say hello", application("hello")))

	healthy := posts.forge.PushSaying("feature/login", "Add a login", application("log in"))
	posts.Environment("feature/login").Becomes("Healthy", healthy)
	number := posts.forge.Open("feature/login")
	r.add("Healthy", "The commit runs, and the link leads to it.", number, posts.says(t, number, "✅ Healthy", healthy[:8]))

	posts.forge.PushSaying("feature/login", "Keep sessions in the database", behaves("slowly", "labels: {app: api, kwok.berth.dev/behaviour: slow-start}, annotations: {kwok.berth.dev/seconds: \"20\"}"))
	r.add("Syncing", "A sync that ends soon does not appear.", number, posts.says(t, number, "🔄 Syncing", "0 of 1 ready"))

	failed := posts.forge.PushSaying("feature/login", "Read the password from a Secret", crashes("crashing", `connecting to postgres:5432\npanic: password authentication failed for user posts`))
	r.add("Failed", "The reason is the pod's own, with its last lines.", number, posts.says(t, number, "❌ Failed", failed[:8], "panic: "))

	posts.Patch(`{"spec":{"environments":` + posts.entriesWith(t, func(entry map[string]any) { entry["waitForImages"] = "10m" }) + `}}`)
	sells(t)
	waiting := application("waiting")
	waiting["k8s/app.yaml"] = strings.ReplaceAll(waiting["k8s/app.yaml"], "registry.example.com", images)
	early := posts.forge.PushSaying("feature/login", "Build with Go 1.26", waiting)
	r.add("Waiting for an image", "With [`waitForImages`](images.md), nothing of the commit is applied before its images exist.", number, posts.says(t, number, "⏳ Waiting", "is not there yet"))

	next := posts.forge.PushSaying("feature/login", "Log in again", application("log in again"))
	posts.shows(t, early, "berth/review", "error", "superseded by commit "+next[:8])
	r.add("Superseded", fmt.Sprintf("The newer commit takes the row. The commit status of the older one says `%s`.", posts.forge.Status(early, "berth/review").Description), number, posts.says(t, number, "✅ Healthy", next[:8]))

	posts.Patch(`{"spec":{"environments":` + posts.entriesWith(t, func(entry map[string]any) {
		if entry["name"] == "review" {
			entry["limit"] = 1
		}
	}) + `}}`)
	posts.forge.Push("feature/search", application("search"))
	second := posts.forge.Open("feature/search")
	r.add("Queued", "The entry has `limit: 1`, and another branch has its place.", second, posts.says(t, second, "⏳ Queued"))

	third := posts.changesProduction(t)
	r.add("The plan", "With `plan: {}`, the note says what the merge would do to production. This branch has no environment of its own.", third,
		posts.says(t, third, "**Merging this into**", "▶️ runs `Job/migrate`", "1 hidden value", "➖ removed `ConfigMap/banner`", "⛔ refused"))

	posts.forge.DeleteBranch("feature/login")
	world.Await(t, "two listings show that the branch is gone", func() (string, bool) {
		posts.Patch(fmt.Sprintf(`{"metadata": {"annotations": {"berth.dev/requested": "%d"}}}`, time.Now().UnixNano()))
		env, there := posts.Environment("feature/login").Get()
		return world.Line(env), !there
	})
	r.add("Removed", "The branch was deleted, and its environment with it.", number, posts.says(t, number, "Removed"))
	if err := os.WriteFile(*notesFile, []byte(r.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// changesProduction opens a merge request whose plan has something of everything, and returns its number.
func (team *team) changesProduction(t *testing.T) int64 {
	t.Helper()
	shared.SetSecret(reporter{t}, team.Name+"-keys", map[string]string{"production.agekey": readExample(t, "berth/demo-keys/production.agekey")})
	team.Patch(`{"spec":{"feedback":{"plan":{}},"environments":` + team.entriesWith(t, func(entry map[string]any) {
		if entry["name"] == "review" {
			entry["branches"] = []string{"**", "!main", "!change/**"}
			return
		}
		entry["decryption"] = map[string]any{"secretRef": map[string]string{"name": team.Name + "-keys"}}
	}) + `}}`)
	job := func(version string) string {
		return "apiVersion: batch/v1\nkind: Job\nmetadata: {name: migrate}\nspec: {template: {spec: {restartPolicy: Never, containers: [{name: migrate, image: \"registry.example.com/acme/app:" + version + "\"}]}}}\n"
	}
	secret := readExample(t, "infra/production/secret.yaml")
	team.Environment("main").Becomes("Healthy", team.forge.PushSaying("main", "Greet with a banner", with(application("hello"), "k8s/secret.yaml", secret, "k8s/migrate.yaml", job("1"),
		"k8s/banner.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: banner}\ndata: {text: hello}\n")))
	team.forge.PushSaying("change/schema", "Add a column", with(application("hello, again"), "k8s/secret.yaml", strings.Replace(secret, "data:ZK3p", "data:AAAA", 1), "k8s/migrate.yaml", job("2"), "k8s/banner.yaml", "",
		"k8s/admin.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: admin}\nspec: {ports: [{port: 0}]}\n"))
	return team.forge.Open("change/schema")
}
