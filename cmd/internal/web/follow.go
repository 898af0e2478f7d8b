package web

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/inspect"
)

// The times of a followed log: how often new pods are looked for, how long lines are collected, and how old the known
// values of Secrets may be.
const (
	podsEvery    = 5 * time.Second
	maskAge      = time.Minute
	collectLines = 200 * time.Millisecond
)

// maxBacklog is how many lines wait for a browser that is slower than the pods. Later ones are dropped.
const maxBacklog = 2000

// maxSources is how many containers one browser follows. Each is a request to the API server that stays open.
const maxSources = 50

// following is one browser that follows logs.
type following struct {
	*Server
	env    *v1alpha1.Environment
	choice logChoice
	since  time.Time // what is older was on the page before
	masked time.Time // when the mask was last renewed

	mu   sync.Mutex
	mask inspect.Mask
	// open are the containers that are being read, and last has the time of the last line of each.
	open  map[inspect.Source]bool
	last  map[inspect.Source]time.Time
	lines []line
}

// follow streams the chosen lines from a time on.
func (s *Server) follow(w http.ResponseWriter, r *http.Request) {
	env := s.found(w, r)
	if env == nil {
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	stream := http.NewResponseController(w)
	f := &following{Server: s, env: env, choice: choiceOf(r), since: sinceOf(r, s.Now()),
		open: map[inspect.Source]bool{}, last: map[inspect.Source]time.Time{}}
	pods, flush := time.NewTicker(podsEvery), time.NewTicker(collectLines)
	defer pods.Stop()
	defer flush.Stop()
	f.look(r.Context())
	send := func(text string) bool {
		_, err := fmt.Fprint(w, text)
		return err == nil && stream.Flush() == nil
	}
	for ok := send(": open\n\n"); ok; {
		select {
		case <-r.Context().Done():
			return
		case <-pods.C:
			f.look(r.Context())
			ok = send(": alive\n\n")
		case <-flush.C:
			if text := f.take(); text != "" {
				ok = send("data: " + text + "\n\n")
			}
		}
	}
}

// look begins to follow containers that are new. They end with the context.
func (f *following) look(ctx context.Context) {
	if env, err := f.board.environment(ctx, f.env.Name); err == nil && env != nil {
		f.env = env
	}
	sources, _, _ := f.choice.sources(f.described.describe(ctx, f.env))
	f.renewMask(ctx, sources)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, source := range sources {
		if !f.open[source] && len(f.open) < maxSources {
			f.open[source] = true
			go f.read(ctx, f.env, source, cmp.Or(f.last[source], f.since))
		}
	}
}

// renewMask reads the Secrets again before a container is opened, which may log new values, and when they are old.
// Values that are gone stay hidden, because running containers still have them.
func (f *following) renewMask(ctx context.Context, sources []inspect.Source) {
	f.mu.Lock()
	isNew := slices.ContainsFunc(sources, func(source inspect.Source) bool { return !f.open[source] })
	f.mu.Unlock()
	if !isNew && f.Now().Sub(f.masked) < maskAge {
		return
	}
	mask, _ := f.Logs.Mask(ctx, f.env) // the page itself shows what is not hidden
	f.mu.Lock()
	defer f.mu.Unlock()
	f.masked, f.mask = f.Now(), f.mask.And(mask)
}

// read follows one container from a time on. When its log ends, its next run can be followed.
func (f *following) read(ctx context.Context, env *v1alpha1.Environment, source inspect.Source, from time.Time) {
	options := corev1.PodLogOptions{Follow: true, SinceTime: &metav1.Time{Time: from}}
	// An error shows on the page when it is loaded again.
	_ = f.Logs.Follow(ctx, env, source, options, func(l inspect.Line) {
		f.mu.Lock()
		mask := f.mask
		f.mu.Unlock()
		shown := lineOf(l, mask)
		f.mu.Lock()
		defer f.mu.Unlock()
		if !l.Time.After(from) { // the API server knows only whole seconds
			return
		}
		if f.last[source] = l.Time; f.choice.shows(shown) && len(f.lines) < maxBacklog {
			f.lines = append(f.lines, shown)
		}
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.open, source)
}

// take returns the collected lines as HTML in JSON.
func (f *following) take() string {
	f.mu.Lock()
	lines := f.lines
	f.lines = nil
	f.mu.Unlock()
	if len(lines) == 0 {
		return ""
	}
	var html bytes.Buffer
	// Tests execute this template.
	_ = f.views.pages["logs"].ExecuteTemplate(visible{&html}, "lines", lines)
	text, err := json.Marshal(html.String())
	if err != nil {
		return ""
	}
	return string(text)
}
