package images

import (
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/plan"
)

// registries are registries of all names: those whose name begins with "slow" do not answer, and others have each image.
type registries struct{ asked atomic.Int64 }

func (r *registries) RoundTrip(request *http.Request) (*http.Response, error) {
	r.asked.Add(1)
	if strings.HasPrefix(request.URL.Host, "slow") {
		<-request.Context().Done()
		return nil, errors.New("no answer")
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: request}, nil
}

// slowImages are images at as many hosts that do not answer.
func slowImages(of, n int) (images []string) {
	for i := range n {
		images = append(images, fmt.Sprintf("slow%d-%d.example.com/app:1", of, i))
	}
	return images
}

// eventually waits for something that the Checker does.
func (w *world) eventually(what string, is func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); !is(); {
		if time.Now().After(deadline) {
			w.t.Fatal("it never happens that " + what)
		}
		runtime.Gosched()
	}
}

// busy is how many questions are under way, or wait for their turn.
func (w *world) busy() (n int) {
	w.Checker.mu.Lock()
	defer w.Checker.mu.Unlock()
	for _, p := range w.probes {
		if p.busy {
			n++
		}
	}
	return n
}

func TestAnEnvironmentWithManyImagesDelaysNoOther(t *testing.T) {
	const many = 4 * atOnce
	w := newWorld(t, Registries{})
	w.transport = &registries{}
	w.Ask(t.Context(), query("hostile", slowImages(0, many)...))
	w.eventually("all its questions wait", func() bool { return w.busy() == many })
	w.until(query("other", "quick.example.com/app:1"), isThere)
}

func TestPreviewsDoNotDelayProduction(t *testing.T) {
	w := newWorld(t, Registries{})
	w.transport = &registries{}
	for i := range atOnce {
		w.Ask(t.Context(), query(fmt.Sprint("hostile", i), slowImages(i, atOncePerOne)...))
	}
	w.eventually("the previews take all room", func() bool { return len(w.lane.all) == cap(w.lane.all) })
	production := query("production", "quick.example.com/app:1")
	production.Urgent = true
	w.until(production, isThere)
}

func TestProductionDoesNotWaitForTheTurnOfAPreview(t *testing.T) {
	w, all := newWorld(t, Registries{}), &registries{}
	w.transport = all
	const shared = "quick.example.com/app:1"
	w.Ask(t.Context(), query("hostile", slowImages(0, atOncePerOne)...))
	w.eventually("the preview asks as much as it may", func() bool { return all.asked.Load() == atOncePerOne })
	w.Ask(t.Context(), query("hostile", shared))
	w.eventually("it waits to ask for the image of production", func() bool { return w.busy() == atOncePerOne+1 })
	production := query("production", shared)
	production.Urgent = true
	w.until(production, isThere)
}

// Previews can make a registry limit their requests, for example those without credentials.
func TestTheTroubleOfPreviewsIsNotThatOfProduction(t *testing.T) {
	s := newShop(t)
	s.push("acme/app:1")
	s.fails(http.StatusTooManyRequests, "Retry-After", "3600")
	w := at(t, s)
	w.until(query("preview", s.host()+"/acme/app:1"), isTroubled)
	s.fails(0)
	production := query("production", s.host()+"/acme/app:1")
	production.Urgent = true
	w.until(production, isThere)
}

func TestNotMoreImagesAreAskedForThanTheLimit(t *testing.T) {
	w := newWorld(t, Registries{})
	w.transport = &registries{}
	var names []string
	for i := range maxImages + 1 {
		names = append(names, fmt.Sprintf("quick.example.com/app:%d", i))
	}
	answers := w.Ask(t.Context(), query("a", names...))
	if last := answers[maxImages]; !last.Refused || last.Trouble != "the commit brings more than 1000 images" || last.Image != names[maxImages] {
		t.Errorf("the answer is %+v", last)
	}
}

// A Secret in Git may be as large as a file, and each image of a commit may be pulled with it.
func TestLargePullSecretsAreReadOnce(t *testing.T) {
	const entries, pods = 20_000, 200
	auths := map[string]string{"quick.example.com": "p"}
	for i := range entries {
		auths[fmt.Sprintf("quick.example.com/%d", i)] = "p"
	}
	w := newWorld(t, Registries{})
	w.transport = &registries{}
	q := query("a")
	q.Set.Objects = []manifest.Object{{Unstructured: pullSecret("pull", auths)}}
	for i := range pods {
		image := query("", fmt.Sprintf("quick.example.com/app:%d", i)).Images[0]
		image.Secrets = []string{"pull"}
		q.Images = append(q.Images, image)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	w.until(q, func(a plan.Answer) bool { return isThere(a) || isTroubled(a) })
	runtime.ReadMemStats(&after)
	if got := (after.TotalAlloc - before.TotalAlloc) >> 20; got > 300 {
		t.Errorf("it took %d MiB", got)
	}
}

func TestFewCredentialsAreTriedForAnImage(t *testing.T) {
	w, q := newWorld(t, Registries{}), query("a", "r.example.com/"+strings.Repeat("a", 50)+":1")
	auths := map[string]string{}
	for i := range 50 {
		auths["r.example.com/"+strings.Repeat("a", i)] = "p"
	}
	keys := newPurse(nil, "", manifest.Set{Objects: []manifest.Object{{Unstructured: pullSecret("pull", auths)}}})
	q.Images[0].Secrets = []string{"pull"}
	doors := w.target(q.Images[0].Name, keys.logins(t.Context(), q.Images[0])).doors
	if len(doors) != maxTried || doors[0].login.pattern != "r.example.com/"+strings.Repeat("a", 49) {
		t.Errorf("%d are tried, the first for %s", len(doors), doors[0].login.pattern)
	}
}

// A registry may ask for another scope with each answer. What the agent keeps for it must not grow.
func TestScopesOfARegistryAreNotCollected(t *testing.T) {
	s := newShop(t)
	s.password = "s3cret"
	most, scope, challenged := 0, 0, map[string]bool{}
	s.fail = func(w http.ResponseWriter, r *http.Request) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		switch {
		case r.URL.Path == "/token":
			most = max(most, len(r.URL.Query()["scope"]))
			_, _ = fmt.Fprintf(w, `{"token": "t%d"}`, scope)
		case r.Method == http.MethodHead && !challenged[r.Header.Get("Authorization")]:
			scope++
			challenged["Bearer t"+fmt.Sprint(scope)] = true
			w.Header().Set("WWW-Authenticate", fmt.Sprintf("Bearer realm=%q,service=%q,scope=%q", s.URL+"/token", "shop", fmt.Sprint("more", scope)))
			w.WriteHeader(http.StatusUnauthorized)
		case r.Method == http.MethodHead:
			delete(challenged, r.Header.Get("Authorization"))
			w.WriteHeader(http.StatusNotFound)
		default:
			return false
		}
		return true
	}
	w, q := at(t, s), query("a", s.host()+"/acme/app:1")
	w.until(q, isMissing)
	w.eventually("it is asked for again and again", func() bool { return s.asked() >= 20 })
	if s.mu.Lock(); most > 3 {
		t.Errorf("%d scopes were asked for at once", most)
	}
	s.mu.Unlock()
}
