package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
)

// Repository follows one remote repository. It is safe for concurrent use.
type Repository struct {
	dir         string
	url         *url.URL
	limits      Limits
	credentials Credentials
	remote      *remote
	now         func() time.Time
	budget      *Budget
	room        func(ctx context.Context, bytes int64) error
	received    atomic.Int64
	fetching    chan struct{}     // held during a fetch or renewal; a channel, so that waiting ends with a context
	tooLarge    map[string]excess // commits that exceeded a limit, by id; guarded by fetching

	swap  sync.RWMutex // readers hold it while they read; a renewal, which has fetching too, while it replaces the store
	store *store
}

// Open opens the repository's store, or creates it, without a request to the server. Its errors are *Error, like all
// of this package.
func Open(config Config) (*Repository, error) {
	u, err := parseURL(config)
	if err != nil {
		return nil, err
	}
	r := &Repository{
		dir:         config.Dir,
		url:         u,
		limits:      config.Limits.withDefaults(),
		credentials: config.Credentials,
		now:         config.Now,
		budget:      config.Budget,
		room:        config.Room,
		fetching:    make(chan struct{}, 1),
		tooLarge:    map[string]excess{},
	}
	if r.now == nil {
		r.now = time.Now
	}
	if r.remote, err = newRemote(config, u); err != nil {
		return nil, classify("use "+redact(u), r.credentials, err)
	}
	if err := r.openStore(); err != nil {
		return nil, r.storeTrouble(err)
	}
	return r, nil
}

// Close releases connections and files. Snapshots become unreadable.
func (r *Repository) Close() error {
	r.remote.transport.close()
	r.swap.Lock()
	defer r.swap.Unlock()
	return r.store.close()
}

// List requests all branches and returns those for which keep returns true. Once the server is known, that is one
// request. Memory grows with the kept branches, not with the server's answer. A nil keep accepts every branch. A
// repository without branches is an error with the reason [Empty], one with more than Limits.Branches an error with the
// reason [TooLarge].
func (r *Repository) List(ctx context.Context, keep func(branch string) bool) (Listing, error) {
	if keep == nil {
		keep = func(string) bool { return true }
	}
	return r.list(ctx, query{keep: keep, branches: r.limits.Branches})
}

// ListOnly requests some branches by name, however many others exist. The Listing has only those of them that exist.
func (r *Repository) ListOnly(ctx context.Context, branches []string) (Listing, error) {
	return r.list(ctx, query{keep: func(branch string) bool { return slices.Contains(branches, branch) }, only: branches})
}

func (r *Repository) list(ctx context.Context, q query) (Listing, error) {
	ctx, cancel := context.WithTimeout(ctx, r.limits.listTimeout())
	defer cancel()
	listing, err := r.remote.list(ctx, q, r.limits)
	if err == nil && listing.Branches == 0 && q.only == nil {
		err = &fault{reason: Empty, cause: "the repository has no branches", hint: "push one"}
	}
	if err != nil {
		return Listing{}, classify("list the branches of "+redact(r.url), r.credentials, err)
	}
	return listing, nil
}

// Fetch fetches the commits that the store lacks, each with its whole tree and without its history, in one request.
// If the server refuses some, the others still come, and the error joins one *Error for each missing one.
func (r *Repository) Fetch(ctx context.Context, commits ...string) error {
	for _, id := range commits {
		if !isObjectID(id) {
			return &Error{Reason: Invalid, Op: fmt.Sprintf("fetch %q", id), Commit: id, Cause: "it is not a full commit id",
				Hint: "write all 40 hexadecimal digits"}
		}
	}
	if r.verifiedAll(commits) {
		return nil // without waiting for a running fetch
	}
	return r.alone(ctx, func() error {
		ctx, cancel := context.WithTimeout(ctx, maxFetches*r.limits.FetchTimeout)
		defer cancel()
		return r.fetchMissing(ctx, commits)
	})
}

// maxFetches bounds the total time, as a multiple of Limits.FetchTimeout, when single commits are fetched again
// because one of them is bad.
const maxFetches = 3

// alone runs one fetch or renewal at a time.
func (r *Repository) alone(ctx context.Context, do func() error) error {
	select {
	case r.fetching <- struct{}{}:
	case <-ctx.Done():
		return classify("fetch from "+redact(r.url), r.credentials, ctx.Err())
	}
	defer func() { <-r.fetching }()
	return do()
}

func (r *Repository) fetchMissing(ctx context.Context, commits []string) error {
	missing, err := r.missing(ctx, commits)
	if isCorrupt(err) || r.store.distrusted() {
		// The extent of the damage is unknown, and everything can be fetched again.
		if err := r.startOver(); err != nil {
			return r.storeTrouble(err)
		}
		missing, err = r.missing(ctx, commits)
	}
	if err != nil {
		return r.explain(commits, err)
	}
	missing, failed := r.withoutTooLarge(missing)
	if len(missing) == 0 {
		return errors.Join(failed...)
	}
	err = r.explain(missing, r.bring(ctx, missing))
	switch reason := ReasonOf(err); {
	case len(missing) == 1:
		r.remember(missing[0], err)
	case slices.Contains([]Reason{Refused, TooLarge, Corrupt, Full}, reason):
		// One of them is bad; it must not keep the others away.
		err = nil
		for _, id := range missing {
			one := r.explain([]string{id}, r.bring(ctx, []string{id}))
			r.remember(id, one)
			failed = append(failed, one)
		}
	}
	return errors.Join(append([]error{err}, failed...)...)
}

func (r *Repository) missing(ctx context.Context, commits []string) ([]string, error) {
	var missing []string
	asked := map[string]bool{}
	for _, id := range commits {
		if asked[id] {
			continue
		}
		asked[id] = true
		holds, err := r.store.holds(ctx, id)
		if err != nil {
			return nil, err
		}
		if !holds {
			missing = append(missing, id)
		}
	}
	return missing, nil
}

// maxHave bounds how many held commits a request names; the newest resemble the wanted ones most.
const maxHave = 64

// bring fetches commits and verifies them.
func (r *Repository) bring(ctx context.Context, commits []string) error {
	have := r.store.newest(maxHave)
	err := r.bringBeyond(ctx, wanted{commits: commits, have: have})
	if len(have) > 0 && (isCorrupt(err) || errors.Is(err, errLargeDelta)) {
		// The server left out more than we hold, or sent a delta that is too large: request everything, as if we held
		// nothing.
		err = r.bringBeyond(ctx, wanted{commits: commits})
	}
	return err
}

func (r *Repository) bringBeyond(ctx context.Context, w wanted) error {
	r.received.Store(0)
	defer r.received.Store(0)
	err := r.remote.fetch(ctx, w, r.limits, func(pack io.Reader) error { return r.store.add(ctx, pack, r.intake()) })
	if err != nil {
		return err
	}
	for _, id := range w.commits {
		if err := r.store.verify(ctx, id); err != nil {
			return err
		}
	}
	return r.store.hold(w.commits)
}

func (r *Repository) intake() intake {
	return intake{limits: r.limits, budget: r.budget, room: r.room, count: func(bytes int) { r.received.Add(int64(bytes)) }}
}

// Received returns how many bytes the running fetch has received; 0 if none runs.
func (r *Repository) Received() int64 { return r.received.Load() }

// Snapshot returns the files of a commit, which it fetches if the store lacks it.
func (r *Repository) Snapshot(ctx context.Context, commit string) (*Snapshot, error) {
	c, err := r.fetched(ctx, commit)
	if _, refused := errors.AsType[*Error](err); isCorrupt(err) && !refused {
		c, err = r.fetched(ctx, commit) // the damage arose after the commit was found whole, and this fetch repairs the store
	}
	if err != nil {
		return nil, r.explain([]string{commit}, err)
	}
	return &Snapshot{repository: r, commit: commit, object: c, trees: map[plumbing.Hash][]entry{}}, nil
}

// fetched reads a commit, which it fetches if the store lacks it.
func (r *Repository) fetched(ctx context.Context, commit string) (c commitObject, err error) {
	if err := r.Fetch(ctx, commit); err != nil {
		return c, err
	}
	err = r.reading(commit, func(s *store) (err error) {
		c, err = s.commit(commit)
		return err
	})
	return c, err
}

// Holds reports whether the store has a whole commit, as far as this process has verified: its Snapshot needs no
// server.
func (r *Repository) Holds(commit string) bool { return r.verifiedAll([]string{commit}) }

// reading runs a read of a commit. If it finds damage, the next fetch repairs the store.
func (r *Repository) reading(commit string, read func(*store) error) error {
	r.swap.RLock()
	defer r.swap.RUnlock()
	if !r.store.verified(commit) {
		return faultf(Dropped, "the store was renewed without this commit")
	}
	err := read(r.store)
	if isCorrupt(err) {
		r.store.distrust()
	}
	return err
}

// verifiedAll reports whether all these commits are here, and no damage was found since they were verified.
func (r *Repository) verifiedAll(commits []string) bool {
	r.swap.RLock()
	defer r.swap.RUnlock()
	for _, id := range commits {
		if !r.store.verified(id) {
			return false
		}
	}
	return !r.store.distrusted()
}

// explain completes an error about commits.
func (r *Repository) explain(commits []string, err error) error {
	if err == nil {
		return nil
	}
	what := fmt.Sprintf("%d commits", len(commits))
	if len(commits) == 1 {
		what = "commit " + short(commits[0])
	}
	err = classify(fmt.Sprintf("fetch %s of %s", what, redact(r.url)), r.credentials, err)
	var e *Error
	if len(commits) == 1 && errors.As(err, &e) {
		e.Commit = commits[0]
	}
	return err
}

// storeTrouble classifies errors of the disk.
func (r *Repository) storeTrouble(err error) error {
	var f *fault
	if err != nil && !errors.As(err, &f) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		err = &fault{reason: Unreachable, cause: err.Error(), hint: "check that the agent's folder for repositories is writable and not full", err: err}
	}
	return classify("use the store of "+redact(r.url), r.credentials, err)
}

func short(commit string) string { return strings.ToLower(commit[:min(len(commit), 10)]) }
