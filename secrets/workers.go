package secrets

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"berth.dev/berth/internal/worker"
)

// WorkersConfig configures Workers.
type WorkersConfig struct {
	// Command is the worker program with its arguments. The program must only call Serve.
	Command []string
	// CertificateFile and CertificateFolder hold the certificate authorities to trust for remote services. An empty
	// field means that of the system.
	CertificateFile, CertificateFolder string
	// AtOnce bounds the number of workers; 0 means 4.
	AtOnce int
	// Idle is how long an idle worker is kept; 0 means 30 seconds.
	Idle time.Duration
	// Limits bounds the decryption of one file; the zero value means DefaultLimits.
	Limits Limits
	// Observe is called after each decryption, unless its caller gave up; nil: it is not. The error is that of Open.
	Observe func(took time.Duration, err error)
}

// Limits bounds the decryption of one file.
type Limits struct {
	// Memory is in bytes.
	Memory int64
	// CPU is processor time, and Time is wall time. The latter must leave time for remote keys.
	CPU, Time time.Duration
}

// DefaultLimits fits the largest files that are accepted.
var DefaultLimits = Limits{Memory: 128 << 20, CPU: 10 * time.Second, Time: 2 * time.Minute}

// maxAnswered bounds the size of an answer in bytes.
const maxAnswered = 64 << 20

// Workers are the processes that decrypt, one for each recently used set of keys. They are safe for concurrent use.
type Workers struct {
	config WorkersConfig
	// places holds an item for each process.
	places chan struct{}
	// waiting counts the callers that wait for a place.
	waiting atomic.Int32

	mu      sync.Mutex
	byScope map[string]*desk
	entered int
}

// desk queues the files of one set of keys.
type desk struct {
	scope string
	// turn holds an item while the process is in use. Only the goroutine that put it there may use the fields below.
	turn    chan struct{}
	process *worker.Process
	idle    *time.Timer

	// Workers.mu guards these fields: the number of callers that use the desk or wait for it, whether it has a process,
	// and when it was last used.
	users int
	hired bool
	last  int
}

// NewWorkers returns Workers. It starts no process yet.
func NewWorkers(c WorkersConfig) *Workers {
	if c.AtOnce == 0 {
		c.AtOnce = 4
	}
	if c.Idle == 0 {
		c.Idle = 30 * time.Second
	}
	if c.Limits == (Limits{}) {
		c.Limits = DefaultLimits
	}
	return &Workers{config: c, places: make(chan struct{}, c.AtOnce), byScope: map[string]*desk{}}
}

// Close ends the idle workers. A busy worker ends with its parent.
func (w *Workers) Close() { w.evict(cap(w.places)) }

// unseal decrypts with the worker for a grant. It tries again with a new worker if one that was used before crashes or
// runs out of memory, because an earlier file may be the reason.
func (w *Workers) unseal(ctx context.Context, g grant, s Sealed) (Unsealed, error) {
	if w == nil {
		return Unsealed{}, &Error{Reason: Unfinished, Detail: "there is no worker"}
	}
	d, err := w.enter(ctx, g.scope)
	if err != nil {
		return Unsealed{}, err
	}
	defer w.leave(d)
	began := time.Now()
	unsealed, err := w.unsealAt(ctx, d, g, s)
	if w.config.Observe != nil && ctx.Err() == nil {
		w.config.Observe(time.Since(began), err)
	}
	return unsealed, err
}

// unsealAt decrypts while the caller has the turn.
func (w *Workers) unsealAt(ctx context.Context, d *desk, g grant, s Sealed) (Unsealed, error) {
	used := d.process != nil
	unsealed, err := w.ask(ctx, d, g, s)
	if limit, limited := errors.AsType[*worker.LimitError](err); used && (errors.Is(err, worker.ErrCrashed) || limited && limit.Resource == worker.Memory) {
		unsealed, err = w.ask(ctx, d, g, s)
	}
	if errors.Is(err, worker.ErrPanicked) {
		err = &Error{Reason: Failing}
	}
	var e *Error
	if errors.As(err, &e) && e.Reason == Failing && !g.isLocal {
		err = &Error{Reason: Unfinished, Detail: "SOPS failed on it"} // the answer of a service may be the reason
	}
	return unsealed, classified(err)
}

// classified decides whether the file or the worker is the reason for a missing answer.
func classified(err error) error {
	limit, ok := errors.AsType[*worker.LimitError](err)
	switch {
	case err == nil || errors.As(err, new(*Error)):
		return err
	case ok && !limit.MayPass():
		return &Error{Reason: Exhausting, Detail: fmt.Sprintf("the %s that decrypting one file may take: %s", limit.Resource, limit.Limit)}
	case ok:
		return &Error{Reason: Unfinished, Detail: limit.Error()}
	case errors.Is(err, worker.ErrTooLarge):
		return &Error{Reason: Exhausting, Detail: "the limit for one request"}
	case errors.Is(err, worker.ErrCrashed):
		return &Error{Reason: Unfinished, Detail: "berth-sops ended: " + err.Error() + "; if it happens again, compare its version with that of berth"}
	}
	return &Error{Reason: Unfinished, Detail: err.Error()}
}

// enter waits for the turn at a desk.
func (w *Workers) enter(ctx context.Context, scope string) (*desk, error) {
	w.mu.Lock()
	d := w.byScope[scope]
	if d == nil {
		d = &desk{scope: scope, turn: make(chan struct{}, 1)}
		w.byScope[scope] = d
	}
	w.entered++
	d.users, d.last = d.users+1, w.entered
	w.mu.Unlock()
	select {
	case d.turn <- struct{}{}:
		if d.idle != nil {
			d.idle.Stop()
		}
		return d, nil
	case <-ctx.Done():
		w.update(d, func() { d.users-- })
		return nil, ctx.Err()
	}
}

// leave passes the turn on. If no caller waits, the process ends some time later, or at once if its place is needed.
func (w *Workers) leave(d *desk) {
	if d.process != nil {
		d.idle = time.AfterFunc(w.config.Idle, func() {
			d.turn <- struct{}{} // leave may not have passed it on yet
			w.endIfRunning(d)
		})
	}
	<-d.turn
	w.update(d, func() { d.users-- })
	if w.waiting.Load() > 0 {
		w.evict(1)
	}
}

// update changes the state of a desk, and removes the desk if it is unused.
func (w *Workers) update(d *desk, change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if change(); d.users == 0 && !d.hired {
		delete(w.byScope, d.scope)
	}
}

// end ends the process of an unused desk, and reports whether it did.
func (w *Workers) end(d *desk) bool {
	select {
	case d.turn <- struct{}{}:
		return w.endIfRunning(d)
	default:
		return false
	}
}

// endIfRunning ends the process of a desk if it has one, passes the turn on, and reports whether it ended a process.
// The caller must have the turn.
func (w *Workers) endIfRunning(d *desk) bool {
	defer func() { <-d.turn }()
	if d.process == nil {
		return false
	}
	w.dismiss(d)
	return true
}

// dismiss ends a process and frees its place. The caller must have the turn.
func (w *Workers) dismiss(d *desk) {
	d.process.Stop()
	d.process = nil
	w.update(d, func() { d.hired = false })
	<-w.places
}

// evict ends up to the given number of unused processes, the least recently used first.
func (w *Workers) evict(most int) {
	w.mu.Lock()
	desks := slices.SortedFunc(maps.Values(w.byScope), func(a, b *desk) int { return a.last - b.last })
	w.mu.Unlock()
	for _, d := range desks {
		if most > 0 && w.end(d) {
			most--
		}
	}
}

// hire starts a process as soon as a place is free.
func (w *Workers) hire(ctx context.Context, d *desk, g grant) error {
	select {
	case w.places <- struct{}{}:
	default:
		w.waiting.Add(1)
		defer w.waiting.Add(-1)
		w.evict(1)
		select {
		case w.places <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	process, err := worker.Start(worker.Config{Command: w.config.Command, Environment: w.environment(g), Limits: w.limits(g)})
	if err != nil {
		<-w.places
		return &Error{Reason: Unfinished, Detail: fmt.Sprintf("its worker does not start: %v; install berth-sops beside berth, or name it: --sops-worker FILE", err)}
	}
	d.process = process
	w.update(d, func() { d.hired = true })
	return nil
}

// ask sends one request and reads its answer.
func (w *Workers) ask(ctx context.Context, d *desk, g grant, s Sealed) (Unsealed, error) {
	r := request{Protocol: protocol, Sealed: s}
	if d.process == nil {
		if err := w.hire(ctx, d, g); err != nil {
			return Unsealed{}, err
		}
		r.Grant = &g
	}
	var a answer
	err := d.process.Exchange(ctx, func(c *worker.Conn) error {
		if err := c.Send(r); err != nil {
			return err
		}
		return c.Receive(&a)
	})
	if err != nil {
		w.dismiss(d)
		return Unsealed{}, err
	}
	return a.unsealed()
}

func (w *Workers) limits(g grant) worker.Limits {
	l := worker.Limits{Memory: w.config.Limits.Memory, CPU: w.config.Limits.CPU, Time: w.config.Limits.Time, Message: maxAnswered}
	if !g.isLocal {
		l.Reach = worker.Everything
	}
	return l
}

// nowhere is a path that does not exist.
const nowhere = "/nonexistent"

// environment returns all environment variables of a worker. The SOPS library and those of the clouds search many
// variables, and the home directory, for keys, programs and addresses.
func (w *Workers) environment(g grant) []string {
	all := []string{
		"HOME=" + nowhere, "XDG_CONFIG_HOME=" + nowhere, "XDG_CACHE_HOME=" + nowhere, "XDG_DATA_HOME=" + nowhere, "PATH=",
		// Each service is asked once; the caller retries.
		"AWS_MAX_ATTEMPTS=1", "VAULT_MAX_RETRIES=0", "VAULT_DISABLE_REDIRECTS=true",
		// No entry may use the role of the node that the pod runs on.
		"AWS_EC2_METADATA_DISABLED=true",
	}
	if w.config.CertificateFile != "" {
		all = append(all, "SSL_CERT_FILE="+w.config.CertificateFile)
	}
	if w.config.CertificateFolder != "" {
		all = append(all, "SSL_CERT_DIR="+w.config.CertificateFolder)
	}
	if g.Identity != nil && g.Identity.GCP.MetadataHost != "" {
		all = append(all, "GCE_METADATA_HOST="+g.Identity.GCP.MetadataHost)
	}
	return all
}
