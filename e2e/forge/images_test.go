package forge_test

import (
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// sells starts the registry, which has one image as soon as a pipeline has pushed it.
func sells(t *testing.T) (pushed *atomic.Bool) {
	t.Helper()
	listener, err := net.Listen("tcp", images)
	if err != nil {
		t.Fatal(err)
	}
	pushed = &atomic.Bool{}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" && !pushed.Load() {
			w.WriteHeader(http.StatusNotFound)
		}
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return pushed
}

// Whoever pushes sees that the pipeline has not pushed the image yet.
func TestTheMergeRequestShowsWhichImageIsMissing(t *testing.T) {
	posts := begins(t, "imaged")
	posts.reports(t, "write:repository", "write:issue")
	posts.configures(map[string]any{"statuses": "Blocking"})
	posts.Patch(`{"spec":{"environments":` + posts.entriesWith(t, func(entry map[string]any) { entry["waitForImages"] = "10m" }) + `}}`)
	posts.forge.Push("main", map[string]string{"README.md": "Nothing yet."})
	pushed := sells(t)
	files := application("one")
	files["k8s/app.yaml"] = strings.ReplaceAll(files["k8s/app.yaml"], "registry.example.com", images)
	head := posts.forge.Push("side", files)
	missing := "image " + images + "/acme/app:1 is not there yet"
	posts.shows(t, head, "berth/review", "pending", "Waiting: "+missing)
	number := posts.forge.Open("side")
	t.Log(posts.says(t, number, "⏳ Waiting", missing).Body)
	pushed.Store(true)
	posts.shows(t, head, "berth/review", "success", "Healthy")
	posts.says(t, number, "✅ Healthy", head[:8])
}
