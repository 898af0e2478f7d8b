package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// The times of the event stream. Changes that follow each other closely are sent at once, so that a rollout of many
// environments does not keep browsers busy.
const (
	collect   = 250 * time.Millisecond
	heartbeat = 15 * time.Second
)

// maxNames is how many changes are sent by name. Beyond, a browser loads the whole page again, which is cheaper.
const maxNames = 50

// subscribers are the open event streams.
type subscribers struct {
	mu  sync.Mutex
	all map[*subscriber]bool
	// origin distinguishes the replicas, and count counts the changes that this one has seen. A page has both as the version
	// that it shows.
	origin string
	count  int64
}

// subscriber collects what changed since it was last read.
type subscriber struct {
	news chan struct{}

	mu      sync.Mutex
	changed map[string]bool
	whole   bool
}

// update is what a browser receives.
type update struct {
	Names []string `json:"names,omitempty"`
	// Whole means that the list has other members or another order.
	Whole bool `json:"whole,omitempty"`
	// Versions are those that the answer to the browser's next request must have.
	Versions string `json:"versions,omitempty"`
}

// add returns a subscriber for a page that shows a version. If anything changed since, or if another replica served the page,
// everything is news to it.
func (s *subscribers) add(shown string) *subscriber {
	sub := &subscriber{news: make(chan struct{}, 1), changed: map[string]bool{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[sub] = true
	if shown != s.version() {
		sub.note(change{all: true})
	}
	return sub
}

// shown returns the version of what the board has now.
func (s *subscribers) shown() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.version()
}

func (s *subscribers) version() string { return s.origin + "." + strconv.FormatInt(s.count, 10) }

func (s *subscribers) remove(sub *subscriber) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, sub)
}

func (s *subscribers) tell(c change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	for sub := range s.all {
		sub.note(c)
	}
}

func (s *subscriber) note(c change) {
	s.mu.Lock()
	s.whole = s.whole || c.all || c.moved
	if c.name != "" {
		s.changed[c.name] = true
	}
	s.mu.Unlock()
	select {
	case s.news <- struct{}{}:
	default: // it has not read the previous news yet
	}
}

// read returns what changed since the last read.
func (s *subscriber) read() update {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := update{Whole: s.whole || len(s.changed) > maxNames}
	for name := range s.changed {
		u.Names = append(u.Names, name)
	}
	if slices.Sort(u.Names); len(u.Names) > maxNames {
		u.Names = nil
	}
	s.changed, s.whole = map[string]bool{}, false
	return u
}

// live streams what changes. A browser then asks for what it shows of it.
func (s *Server) live(w http.ResponseWriter, r *http.Request) {
	stream := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	sub := s.board.subscribers.add(r.URL.Query().Get("shown"))
	defer s.board.subscribers.remove(sub)
	send := func(text string) bool {
		_, err := fmt.Fprint(w, text)
		return err == nil && stream.Flush() == nil
	}
	follows := s.board.follows(r.Context())
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for ok := send("retry: 1000\n\n"); ok; {
		select {
		case <-r.Context().Done():
			return
		case <-beat.C:
			ok = send(": alive\n\n")
			if now := s.board.follows(r.Context()); now != follows {
				follows = now
				ok = ok && send(all) // the browser shows what the viewer may see now
			}
		case <-sub.news:
			select {
			case <-r.Context().Done():
				return
			case <-time.After(collect):
			}
			before, news := follows, sub.read()
			if follows = s.board.follows(r.Context()); !follows {
				ok = !before || send(all)
				continue
			}
			news.Whole = news.Whole || !before // the browser shows what the viewer could see before
			news.Versions = s.board.versions()
			data, err := json.Marshal(news)
			ok = err == nil && send("data: "+string(data)+"\n\n")
		}
	}
}

// all is the event after which a browser loads the whole page again.
const all = "data: {\"whole\":true}\n\n"
