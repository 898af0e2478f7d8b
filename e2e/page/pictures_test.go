package page

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"berth.dev/berth/e2e/picture"
)

var pictures = flag.String("pictures", "", "folder for pictures of the screens; without it none are made")

// TestPictures makes the pictures of the documentation: make screenshots.
func TestPictures(t *testing.T) {
	if *pictures == "" {
		t.Skip("pictures are made by make screenshots")
	}
	team := begins(t, "posts")
	main := team.git.Commit("main", map[string]string{
		"k8s/api.yaml": deployment("api", logs(apiLog)+"}, labels: {app: NAME}"), "k8s/worker.yaml": deployment("worker", ""), "k8s/frontend.yaml": deployment("frontend", ""),
	}, "Release 1.8 with a worker")
	team.Environment("main").Becomes("Healthy", main)
	for _, branch := range [][2]string{{"docs/api", "Describe the API for partners"}, {"feature/invoices", "Send invoices by mail"}, {"feature/passkeys", "Let people log in with passkeys"}} {
		team.Environment(branch[0]).Becomes("Healthy", team.branches(branch[0], branch[1], nil))
	}
	image := strings.ReplaceAll(deployment("frontend", ""), "app:1.4", "app:1.5")
	first := team.branches("fix/memory-leak", "Count the rows before reading them", map[string]string{"k8s/frontend.yaml": image})
	leak := team.Environment("fix/memory-leak")
	leak.Becomes("Healthy", first)
	crash := team.git.Commit("fix/memory-leak", map[string]string{"k8s/worker.yaml": deployment("worker", logs(workerLog)+", kwok.berth.dev/exit-code: \"137\"}, labels: {app: NAME, kwok.berth.dev/behaviour: crash-loop}")}, "Keep fewer rows in memory")
	env := leak.Becomes("Failed", crash)
	clone := team.clone(t)
	if said, err := exec.CommandContext(t.Context(), "git", "-C", clone, "config", "user.name", "Berth Test").CombinedOutput(); err != nil {
		t.Fatalf("cannot name the viewer: %v: %s", err, said)
	}
	p := opensIn(t, shared.Cluster.Kubeconfig(), clone)
	leak.Patch("Deployment/api", `{"spec": {"template": {"spec": {"containers": [{"name": "api", "image": "registry.example.com/app:1.3"}]}}}}`)
	leak.AwaitEvent("Corrected")
	p.goes("/env/" + env.Name + "/history")
	p.acts("pin?commit="+first, "runs commit "+first[:8])
	p.awaits(".title", "pinned to "+first[:8], "Healthy")
	p.acts("unpin", "follows fix/memory-leak again")
	leak.Becomes("Failed", crash)
	search := team.branches("feature/search", "Search posts by their text", map[string]string{"k8s/api.yaml": deployment("api", "labels: {app: NAME, kwok.berth.dev/behaviour: slow-start}, annotations: {kwok.berth.dev/seconds: \"50\"}")})
	team.Environment("feature/search").Becomes("Syncing", search)
	for _, scheme := range []string{"light", "dark"} {
		p.emulates(scheme)
		for _, name := range []string{"branches", "environment", "diff", "logs", "history"} {
			path := screens(env.Name)[name]
			if name == "diff" {
				path += "?from=" + first
			}
			p.resizes(desktop)
			p.goes(path)
			p.picture(filepath.Join(*pictures, name+"-"+scheme+".png"))
			if name == "environment" {
				p.resizes(phone)
				p.picture(filepath.Join(*pictures, name+"-phone-"+scheme+".png"))
			}
		}
	}
}

// The logs of the pictures.
const (
	apiLog = `{"level":"info","msg":"listening","port":8080}
{"level":"info","msg":"connected to the database","host":"postgres","pool":10}
{"level":"warn","msg":"slow query","table":"posts","took":"1.2s"}
{"level":"error","msg":"cannot send mail","error":"connection refused","to":"mail:25"}
GET /api/posts 200 12ms`
	workerLog = `INFO  connected to postgres:5432
INFO  loading 1,200,000 rows of posts
FATAL cannot allocate 512 MiB`
)

// logs begins the annotations of a pod template whose containers write a log.
func logs(text string) string { return fmt.Sprintf("annotations: {kwok.berth.dev/log: %q", text) }

// picture writes what the window shows.
func (p *tab) picture(file string) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.browser, patience)
	defer cancel()
	shot, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err == nil {
		shot, err = picture.Smaller(shot)
	}
	if err == nil {
		err = os.WriteFile(file, shot, 0o644)
	}
	if err != nil {
		p.Fatalf("making %s: %v", file, err)
	}
}
