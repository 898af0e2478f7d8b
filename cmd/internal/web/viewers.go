package web

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/cmd/internal/login"
)

// The limits of a page with many viewers. Beyond them a request is refused, and the browser tries again.
const (
	// maxViewers is how many viewers have state in memory, and idleViewer how long one does who asks for nothing.
	maxViewers = 200
	idleViewer = 10 * time.Minute
	// The event streams of all viewers and of one, and those of logs, which are requests to the API server.
	maxStreams, maxOwnStreams = 500, 30
	maxFollows, maxOwnFollows = 40, 4
	// maxDownloads is how many downloads of logs are put together at the same time, and maxLogs how many pages with logs. Each
	// holds megabytes, as long as the lines are that pods write.
	maxDownloads, maxOwnDownloads = 2, 1
	maxLogs, maxOwnLogs           = 12, 4
	// The other requests that are answered at the same time.
	maxRequests, maxOwnRequests = 64, 12
)

// ViewersConfig configures Viewers.
type ViewersConfig struct {
	// Watch watches Environments and Repositories with the rights of the program. Viewers see what they may read of them.
	Watch client.WithWatch
	// Namespace and Cluster are as in Config.
	Namespace, Cluster string
	// Of returns what the page of one viewer does, with the viewer's rights. Watch, Namespace, Cluster and Now are added.
	Of  func(login.Viewer) Config
	Now func() time.Time
}

// Viewers serve one page to many viewers, each with the rights of that viewer. They share one watch per kind.
type Viewers struct {
	ViewersConfig
	common  common
	visitor *Server // for people who are not logged in

	mu    sync.Mutex
	seats map[string]*seat
	busy  load
}

// seat is what one viewer has in memory.
type seat struct {
	server *Server
	used   time.Time
	busy   load
}

// load counts the requests of each sort that are being answered.
type load [sorts]int

// sort distinguishes requests by what they cost.
type sort int

const (
	sortPage sort = iota
	sortStream
	sortFollow
	sortDownload
	sortLogs
	sorts
)

var (
	mostOfAll = load{maxRequests, maxStreams, maxFollows, maxDownloads, maxLogs}
	mostOfOne = load{maxOwnRequests, maxOwnStreams, maxOwnFollows, maxOwnDownloads, maxOwnLogs}
)

// NewViewers returns Viewers. They show nothing before Run is called.
func NewViewers(c ViewersConfig) (*Viewers, error) {
	shared, err := newCommon(c.Watch, c.Namespace, c.Now)
	if err != nil {
		return nil, err
	}
	v := &Viewers{ViewersConfig: c, common: shared, seats: map[string]*seat{}}
	v.visitor = newServer(Config{Namespace: c.Namespace, Cluster: c.Cluster, Now: c.Now}, shared)
	return v, nil
}

// Run keeps the page current until the context ends.
func (v *Viewers) Run(ctx context.Context) { v.common.board.run(ctx) }

// sessionKey is the key of a request's session.
type sessionKey struct{}

// serve serves the page to a viewer. Event streams end with the session.
func (v *Viewers) serve(w http.ResponseWriter, r *http.Request, session login.Session) {
	kind := sortOf(r)
	at := v.seatOf(session.Viewer)
	if !v.begin(at, kind) {
		w.Header().Set("Retry-After", "5")
		http.Error(w, "too many requests at the same time; try again", http.StatusServiceUnavailable)
		return
	}
	defer v.end(at, kind)
	ctx := context.WithValue(r.Context(), sessionKey{}, session)
	if !session.Expires.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, session.Expires.Sub(v.Now()))
		defer cancel()
	}
	at.server.ServeHTTP(w, r.WithContext(ctx))
}

func sortOf(r *http.Request) sort {
	switch {
	case r.URL.Path == "/live":
		return sortStream
	case strings.HasSuffix(r.URL.Path, "/logs/live"):
		return sortFollow
	case strings.HasSuffix(r.URL.Path, "/logs/file"):
		return sortDownload
	case strings.HasSuffix(r.URL.Path, "/logs"):
		return sortLogs
	}
	return sortPage
}

// seatOf returns the seat of a viewer, and forgets those of others that are idle.
func (v *Viewers) seatOf(viewer login.Viewer) *seat {
	text, _ := json.Marshal(append([]string{viewer.User}, viewer.Groups...)) // texts can always be encoded
	sum := sha256.Sum256(text)
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.Now()
	at := v.seats[string(sum[:])]
	if at == nil {
		v.clear(now)
		at = &seat{server: v.serverOf(viewer)}
		v.seats[string(sum[:])] = at
	}
	at.used = now
	return at
}

// clear makes room for one viewer. Requests that go on keep what they use.
func (v *Viewers) clear(now time.Time) {
	oldest := ""
	for key, at := range v.seats {
		switch {
		case at.busy == load{} && now.Sub(at.used) >= idleViewer:
			delete(v.seats, key)
		case oldest == "" || at.used.Before(v.seats[oldest].used):
			oldest = key
		}
	}
	if len(v.seats) >= maxViewers {
		delete(v.seats, oldest)
	}
}

func (v *Viewers) serverOf(viewer login.Viewer) *Server {
	c := v.Of(viewer)
	c.Namespace, c.Cluster, c.Now = v.Namespace, v.Cluster, v.Now
	return newServer(c, v.common)
}

// begin counts a request, unless there are too many.
func (v *Viewers) begin(at *seat, kind sort) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.busy[kind] >= mostOfAll[kind] || at.busy[kind] >= mostOfOne[kind] {
		return false
	}
	v.busy[kind]++
	at.busy[kind]++
	return true
}

func (v *Viewers) end(at *seat, kind sort) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.busy[kind]--
	at.busy[kind]--
	at.used = v.Now()
}
