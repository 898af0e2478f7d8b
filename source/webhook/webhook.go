// Package webhook receives the requests that Git servers send after a push. An authentic delivery means "list this
// repository now", and nothing else.
package webhook

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Prefix is the path below which every repository has its endpoint: POST /hooks/<repository>.
const Prefix = "/hooks/"

// DefaultBodyLimit is the largest delivery that GitHub and GitLab send. A body is never held in memory, only
// hashed while it is read.
const DefaultBodyLimit = 25 << 20

// Config configures a receiver.
type Config struct {
	// Secrets returns the secrets that authenticate the deliveries for a repository; false if there is no such
	// repository, or it accepts none. It is called for every delivery, and is expected to answer from memory.
	Secrets func(ctx context.Context, repository string) (Secrets, bool)
	// Notify is called for every authentic delivery, concurrently and in bursts. It must not wait.
	Notify func(repository string, hook Hook)
	// Count is called with the result of every delivery; nil: it is not. The repository is empty if Secrets does not know
	// it, because anyone can send any name.
	Count func(repository string, result Result)
	// BodyLimit is how many bytes of a delivery are read; 0 means DefaultBodyLimit.
	BodyLimit int64
	Now       func() time.Time
	Log       *slog.Logger
}

// Result is the result of a delivery.
type Result string

// The results of deliveries.
const (
	Accepted     Result = "Accepted"
	Repeated     Result = "Repeated" // it was accepted before
	Unauthorized Result = "Unauthorized"
	TooLarge     Result = "TooLarge"
	Incomplete   Result = "Incomplete" // the connection broke off
)

// Hook is an authentic delivery. Its statements about the repository are not read: the agent asks the Git server
// itself.
type Hook struct {
	// Event is the sender's name for it, such as "Push Hook" or "pull_request". It is for people only.
	Event string
	// Received is when it arrived.
	Received time.Time
}

type receiver struct {
	Config
	// decoy replaces missing secrets, so that their absence does not change the timing.
	decoy   []byte
	replays replays

	mu         sync.Mutex
	complained map[string]complaints // by repository
}

// New returns the handler of all repositories' endpoints. The server that runs it has to bound the time of a
// delivery.
func New(c Config) http.Handler {
	if c.BodyLimit == 0 {
		c.BodyLimit = DefaultBodyLimit
	}
	if c.Count == nil {
		c.Count = func(string, Result) {}
	}
	decoy := make([]byte, 32)
	_, _ = rand.Read(decoy) // never fails: it ends the program instead
	return &receiver{Config: c, decoy: decoy, complained: map[string]complaints{}}
}

// ServeHTTP answers 202 to an authentic delivery, whatever its effect, because Git servers disable hooks that fail. A
// missing repository gets the same answer as a wrong credential.
func (h *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	repository, ok := strings.CutPrefix(r.URL.Path, Prefix)
	if !ok || repository == "" || strings.Contains(repository, "/") {
		http.NotFound(w, r)
		return
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "deliveries are sent by POST", http.StatusMethodNotAllowed)
		return
	}
	secrets, known := h.Secrets(r.Context(), repository)
	if !known {
		secrets = Secrets{}
	}
	now, body := h.Now(), http.MaxBytesReader(w, r.Body, h.BodyLimit)
	claim := claimOf(r.Header)
	if err := claim.prove(body, keysOf(secrets, h.decoy), now); err != nil {
		if _, unread := errors.AsType[*readError](err); !unread && secrets == (Secrets{}) {
			err = errNoSecrets
		}
		result := h.refuse(w, refusal{repository: repository, known: known, reason: err, at: now})
		if !known {
			repository = ""
		}
		h.Count(repository, result)
		return
	}
	h.Count(repository, h.accept(repository, claim, now))
	// A sender whose connection is closed while it still writes would count that as a failure.
	_, _ = io.Copy(io.Discard, body)
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, "the repository will be listed\n")
}

func (h *receiver) accept(repository string, c claim, now time.Time) Result {
	if c.envelope != nil && h.replays.repeated(repository, c.envelope.id, now) {
		h.Log.Debug("dropping a repeated webhook delivery", "repository", repository, "event", c.event)
		return Repeated
	}
	h.Log.Debug("received a webhook delivery", "repository", repository, "event", c.event)
	h.Notify(repository, Hook{Event: c.event, Received: now})
	return Accepted
}

// errNoSecrets is the reason for refusing all deliveries for a repository.
var errNoSecrets = errors.New("the Secret that spec.webhook names does not exist, or has neither token nor signingToken")

// refusal is a delivery that was not authentic, with the reason.
type refusal struct {
	repository string
	known      bool
	reason     error
	at         time.Time
}

func (h *receiver) refuse(w http.ResponseWriter, r refusal) Result {
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](r.reason); ok {
		http.Error(w, fmt.Sprintf("a signed delivery may have %d bytes", tooLarge.Limit), http.StatusRequestEntityTooLarge)
		return TooLarge
	}
	if _, ok := errors.AsType[*readError](r.reason); ok {
		http.Error(w, "the delivery did not arrive whole", http.StatusBadRequest)
		return Incomplete
	}
	h.complain(r)
	http.Error(w, "the credential is wrong, or there is no such repository, or it accepts no webhooks; the agent's log says which", http.StatusUnauthorized)
	return Unauthorized
}

// complaintPause is how long the same reason for refusing a repository's deliveries is not logged again, because
// anyone can cause one.
const complaintPause = time.Minute

// maxComplaints bounds how many reasons are logged for a repository within one pause, because reasons quote the
// request.
const maxComplaints = 4

// complaints are the reasons that were logged since a time.
type complaints struct {
	since   time.Time
	reasons []string
}

func (h *receiver) complain(r refusal) {
	if !r.known {
		h.Log.Debug("refused a webhook delivery: no repository of that name accepts webhooks", "repository", r.repository)
		return
	}
	if h.isNews(r) {
		h.Log.Warn("refused a webhook delivery", "repository", r.repository, "reason", r.reason)
	}
}

func (h *receiver) isNews(r refusal) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.complained[r.repository]
	if r.at.Sub(c.since) >= complaintPause {
		c = complaints{since: r.at}
	}
	if reason := r.reason.Error(); !slices.Contains(c.reasons, reason) && len(c.reasons) < maxComplaints {
		c.reasons = append(c.reasons, reason)
		h.complained[r.repository] = c
		return true
	}
	return false
}
