package reconciler

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	"berth.dev/berth/reconciler/images"
	"berth.dev/berth/reconciler/plan"
)

// shop is a registry that counts requests.
type shop struct {
	*httptest.Server
	requests atomic.Int64
	refuses  atomic.Bool
}

func newShop(t *testing.T) *shop {
	t.Helper()
	s, storage := &shop{}, registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		if s.refuses.Load() {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		storage.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *shop) host() string { return strings.TrimPrefix(s.URL, "http://") }

// sells makes manifests name this registry.
func (s *shop) sells(manifest string) string {
	return strings.ReplaceAll(manifest, "registry.example.com", s.host())
}

// gets stores images.
func (s *shop) gets(t *testing.T, images ...string) {
	t.Helper()
	for _, image := range images {
		name, tag, _ := strings.Cut(image, ":")
		request := must(http.NewRequestWithContext(t.Context(), http.MethodPut, s.URL+"/v2/"+name+"/manifests/"+tag, strings.NewReader(`{"schemaVersion":2}`)))
		request.Header.Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		response := must(s.Client().Do(request))
		_ = response.Body.Close()
		if response.StatusCode != http.StatusCreated {
			t.Fatalf("storing %s: %s", image, response.Status)
		}
	}
}

// asks lets the agent ask registries, without restarting it.
func (w *world) asks(s *shop) {
	requeued := w.requeued
	w.Images = images.New(images.Config{
		Registries: images.Registries{Insecure: []string{s.host()}}, Requeue: func(string) { requeue(requeued) }, Now: w.now,
	})
	w.env.WaitForImages = 15 * time.Minute
}

// newWaitingWorld returns a world in which the image web:1 runs, and an image web:2 is missing that the newest commit names.
func newWaitingWorld(t *testing.T) (*world, *shop) {
	t.Helper()
	w, s := newWorld(t), newShop(t)
	w.asks(s)
	s.gets(t, "web:1")
	w.commits("web.yaml", s.sells(deployment("web", "web:1")), "config.yaml", configMap("config", "one"))
	w.becomes(plan.Settled)
	w.commits("web.yaml", s.sells(deployment("web", "web:2")), "config.yaml", configMap("config", "two"))
	return w, s
}

func TestACommitWaitsForItsImages(t *testing.T) {
	w, s := newWaitingWorld(t)
	missing := "image " + s.host() + "/web:2 is not there yet"
	first := w.becomes(plan.Waiting, missing)
	if got := found(first).CommitState; got != Awaiting || w.value("config", "v") != "one" {
		t.Fatalf("the commit is %q, and the ConfigMap is %q", got, w.value("config", "v"))
	}
	w.edits("ConfigMap/config", `{"data":{"v":"drifted"}}`)
	w.passes("the correction of drift", func(Outcome) bool { return w.value("config", "v") == "one" })

	w.restarts()
	w.asks(s)
	w.advances(time.Minute)
	if again := w.becomes(plan.Waiting, missing); found(again).Message != found(first).Message {
		t.Errorf("after a restart, the wait is another: %q, not %q", found(again).Message, found(first).Message)
	}
	s.gets(t, "web:2")
	w.becomes(plan.Settled)
	if got := w.value("config", "v"); got != "two" {
		t.Errorf("the ConfigMap is %q", got)
	}
}

// A rendered input may take many MiB, and a wait hours.
func TestAWaitKeepsOnlyWhatTheQuestionsNeed(t *testing.T) {
	w, s := newWaitingWorld(t)
	w.commits("web.yaml", s.sells(deployment("web", "web:2")), "config.yaml", configMap("config", "two"),
		"account.yaml", "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: default}\n")
	w.becomes(plan.Waiting, "image "+s.host()+"/web:2 is not there yet")
	asking := w.memory(w.env.Name).asking
	if asking.Set.Len() != 1 || asking.Set.Objects[0].GetKind() != "ServiceAccount" || len(asking.Images) != 1 {
		t.Errorf("it keeps %d objects and %d images", asking.Set.Len(), len(asking.Images))
	}
	s.gets(t, "web:2")
	w.becomes(plan.Settled)
}

// A sync that had begun when a newer commit came stays as far as it got, also if the agent restarts while the newer one waits.
func TestARestartUndoesNothingOfAnUnfinishedSync(t *testing.T) {
	w, s := newWorld(t), newShop(t)
	w.asks(s)
	s.gets(t, "web:1", "migrate:1")
	w.commits("web.yaml", s.sells(deployment("web", "web:1")), "config.yaml", configMap("config", "one"))
	w.becomes(plan.Settled)
	slow := s.sells(strings.Replace(job("migrate", "migrate:1"), "template: {", `template: {metadata: {annotations: {kwok.berth.dev/seconds: "600"}}, `, 1))
	w.commits("config.yaml", configMap("config", "two"), "job.yaml", slow, "late.yaml", s.sells(deployment("late", "web:1")))
	w.passes("the first waves", func(Outcome) bool { return w.value("config", "v") == "two" && w.look("Job/migrate") != nil })
	w.commits("web.yaml", s.sells(deployment("web", "web:2")))
	missing := "image " + s.host() + "/web:2 is not there yet"
	w.becomes(plan.Waiting, missing)
	w.restarts()
	w.asks(s)
	w.becomes(plan.Waiting, missing)
	w.edits("ConfigMap/config", `{"data":{"v":"drifted"}}`)
	w.passes("the correction of drift", func(Outcome) bool { return w.value("config", "v") != "drifted" })
	if got := w.value("config", "v"); got != "two" || w.look("Deployment/late") != nil {
		t.Errorf("after a restart, the ConfigMap is %q", got)
	}
}

func TestAFirstSyncWaitsForItsImages(t *testing.T) {
	w, s := newWorld(t), newShop(t)
	w.asks(s)
	w.commits("web.yaml", s.sells(deployment("web", "web:1")), "job.yaml", s.sells(job("migrate", "migrate:1")))
	w.becomes(plan.Waiting, "images "+s.host()+"/migrate:1, "+s.host()+"/web:1 are not there yet")
	s.gets(t, "web:1")
	w.becomes(plan.Waiting, "image "+s.host()+"/migrate:1 is not there yet")
	if w.look("Namespace/"+w.env.Namespace) != nil {
		t.Error("the namespace was created before the images are there")
	}
	w.restarts()
	w.asks(s)
	w.becomes(plan.Waiting, "image "+s.host()+"/migrate:1 is not there yet")
	s.gets(t, "migrate:1")
	w.becomes(plan.Settled)
}

func TestAfterTheWaitTheOldCommitGoesOnRunning(t *testing.T) {
	w, s := newWaitingWorld(t)
	w.env.Rollback = true // which is for commits that were applied
	w.becomes(plan.Waiting, "is not there yet")
	w.advances(w.env.WaitForImages)
	failed := w.becomes(plan.Failed, "nothing of this commit was applied: image "+s.host()+"/web:2 is not there after 15m", "berth retry "+w.env.Name)
	if found(failed).CommitState != Rejected || w.value("config", "v") != "one" {
		t.Errorf("the commit is %q, and the ConfigMap is %q", found(failed).CommitState, w.value("config", "v"))
	}
	w.edits("ConfigMap/config", `{"data":{"v":"drifted"}}`)
	w.passes("the correction of drift", func(Outcome) bool { return w.value("config", "v") == "one" })
	w.restarts()
	w.asks(s)
	w.becomes(plan.Failed, "is not there after 15m")

	w.env.Retry = "again"
	w.becomes(plan.Waiting, "is not there yet")
	s.gets(t, "web:2")
	w.becomes(plan.Settled)
}

func TestANewerCommitReplacesOneThatWaits(t *testing.T) {
	w, s := newWaitingWorld(t)
	w.becomes(plan.Waiting, "web:2 is not there yet")
	s.gets(t, "web:3")
	w.commits("web.yaml", s.sells(deployment("web", "web:3")))
	w.becomes(plan.Settled)
	if got := w.value("config", "v"); got != "two" {
		t.Errorf("the ConfigMap is %q", got)
	}
}

func TestAPushWithoutNewImagesAsksNoRegistry(t *testing.T) {
	w, s := newWorld(t), newShop(t)
	w.asks(s)
	s.gets(t, "web:1", "other:1")
	w.commits("web.yaml", s.sells(deployment("web", "web:1")), "config.yaml", configMap("config", "one"))
	w.becomes(plan.Settled)
	before := s.requests.Load()
	w.commits("web.yaml", s.sells(deployment("web", "web:1"))+"  minReadySeconds: 1\n", "config.yaml", configMap("config", "two"))
	w.becomes(plan.Settled)
	w.restarts()
	w.asks(s)
	w.becomes(plan.Settled)
	w.commits("config.yaml", configMap("config", "three"))
	w.becomes(plan.Settled)
	if got := s.requests.Load() - before; got != 0 {
		t.Errorf("%d requests to the registry", got)
	}
	w.commits("other.yaml", s.sells(deployment("other", "other:1")))
	w.becomes(plan.Settled)
	if s.requests.Load() == before {
		t.Error("a new image was not asked for")
	}
}

func TestARegistryThatCannotBeAskedFailsNothing(t *testing.T) {
	w, s := newWaitingWorld(t)
	s.Close()
	w.advances(time.Second)
	w.becomes(plan.Waiting, "asking the registry for image "+s.host()+"/web:2; "+s.host()+" cannot be reached")
	w.advances(time.Minute)
	warning := "image " + s.host() + "/web:2 could not be checked, so the commit did not wait for it: " + s.host() + " cannot be reached; check that the agent's pod may reach it"
	warned := false
	w.passes("the sync", func(o Outcome) bool {
		warned = warned || slices.Contains(found(o).Unchecked, warning) && slices.Contains(found(o).Warnings, warning)
		return o.State() == plan.Settled && !o.Again
	})
	if !warned {
		t.Error("nothing says that the image was not checked")
	}
	if got := w.value("config", "v"); got != "two" {
		t.Errorf("the ConfigMap is %q", got)
	}
}

func TestARegistryThatRefusesDelaysNothing(t *testing.T) {
	w, s := newWaitingWorld(t)
	s.refuses.Store(true)
	warning := "image " + s.host() + "/web:2 could not be checked, so the commit did not wait for it: " + s.host() + " refuses a pull without credentials (403); if the image is private, name a Secret in imagePullSecrets"
	warned := 0
	w.passes("the sync", func(o Outcome) bool {
		if slices.Contains(found(o).Unchecked, warning) {
			warned++
		}
		return o.State() == plan.Settled && !o.Again
	})
	if warned != 1 {
		t.Errorf("it was told %d times that the image was not checked", warned)
	}
}

func TestWithoutATurnAnEnvironmentOnlyWaits(t *testing.T) {
	w, s := newWaitingWorld(t)
	w.becomes(plan.Waiting, "is not there yet")
	w.env.WithoutTurn = true
	s.gets(t, "web:2")
	arrived := w.passes("the image", func(o Outcome) bool { return found(o).CommitState == Arrived })
	if !arrived.Again || w.value("config", "v") != "one" {
		t.Errorf("the next pass is due: %t; the ConfigMap is %q", arrived.Again, w.value("config", "v"))
	}
	if record := must(w.Records.Load(t.Context(), w.env.Name)); record.Images.Open || slices.Contains(record.Images.Known, s.host()+"/web:2") {
		t.Errorf("the record says that the commit may be applied: %+v", record.Images)
	}
	w.env.WithoutTurn = false
	w.becomes(plan.Settled)
}

func TestAResumedEnvironmentWaitsForItsImages(t *testing.T) {
	w, s := newWaitingWorld(t)
	w.env.Suspended = true
	w.pass()
	before := s.requests.Load()
	w.pass()
	if s.requests.Load() != before {
		t.Error("the registry was asked for a suspended environment")
	}
	w.env.Suspended = false
	w.becomes(plan.Waiting, "is not there yet")
	if got := w.value("config", "v"); got != "one" {
		t.Errorf("the ConfigMap is %q", got)
	}
	s.gets(t, "web:2")
	w.becomes(plan.Settled)
}

func TestARetryDuringTheWaitRunsFailedJobsAgain(t *testing.T) {
	w, s := newWorld(t), newShop(t)
	w.asks(s)
	s.gets(t, "web:1", "migrate:1")
	failing := s.sells(strings.Replace(job("migrate", "migrate:1"), "template: {", `template: {metadata: {labels: {kwok.berth.dev/behaviour: fail}}, `, 1))
	w.commits("web.yaml", s.sells(deployment("web", "web:1")), "job.yaml", failing)
	w.becomes(plan.Failed, "Job/migrate")
	uid := w.look("Job/migrate").GetUID()
	w.commits("web.yaml", s.sells(deployment("web", "web:2")))
	w.becomes(plan.Waiting, "is not there yet")
	w.env.Retry = "again"
	w.becomes(plan.Waiting, "is not there yet")
	if w.look("Job/migrate").GetUID() != uid {
		t.Fatal("the Job ran again during the wait")
	}
	s.gets(t, "web:2")
	w.passes("another run", func(Outcome) bool { o := w.look("Job/migrate"); return o != nil && o.GetUID() != uid })
}
