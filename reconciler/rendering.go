package reconciler

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"berth.dev/berth/internal/panics"
	"berth.dev/berth/reconciler/render"
	"berth.dev/berth/source"
)

// A render may take long. A Kustomize build waits for its turn and runs as long as its limits allow. A pass waits for a
// render only briefly. The end of the render then requeues the environment.
const (
	// renderPatience is how long a pass waits for a render that it began.
	renderPatience = 200 * time.Millisecond
	// renderQuiet is after what time users see that a render is still running.
	renderQuiet = 2 * time.Second
)

// rendering is a render that runs in parallel with the passes. Unlike a call of a singleflight.Group, it outlives the passes
// that wait for it, and is cancelled once no pass needs its commit.
type rendering struct {
	commit, settings string
	since            time.Time
	cancel           context.CancelFunc
	// left is true once no pass waits for the result.
	left atomic.Bool
	// done is closed when result, took and err are set.
	done   chan struct{}
	result render.Result
	took   time.Duration
	err    error
	// panicked is the panic of the render. The pass that takes the result panics with it, which its controller survives.
	panicked error
}

// renderingError says that a commit is still being rendered.
type renderingError struct {
	commit string
	since  time.Time
}

// Error returns the commit and since when it is being rendered.
func (e *renderingError) Error() string {
	return fmt.Sprintf("rendering commit %.8s since %s", e.commit, e.since.UTC().Format(time.RFC3339))
}

// isRendering reports whether an error is a renderingError.
func isRendering(err error) bool {
	_, is := errors.AsType[*renderingError](err)
	return is
}

// render renders a commit, or continues the render that an earlier pass began, and returns how long that took. It returns
// a renderingError if it takes longer than a pass waits.
func (r *Reconciler) render(ctx context.Context, e Environment, m *memory, commit string, tree *source.Snapshot) (render.Result, time.Duration, error) {
	job := m.renderings[commit]
	if job != nil && job.settings != e.Settings {
		job.cancel()
		job = nil
	}
	patience := time.Duration(0)
	if job == nil {
		job = r.begin(ctx, e, commit, tree)
		if m.renderings == nil {
			m.renderings = map[string]*rendering{}
		}
		m.renderings[commit] = job
		patience = renderPatience
		if r.RenderPatience > 0 {
			patience = r.RenderPatience
		}
	}
	if !job.ends(ctx, patience) {
		return render.Result{}, 0, &renderingError{commit: commit, since: job.since}
	}
	delete(m.renderings, commit)
	if ctx.Err() != nil {
		return render.Result{}, 0, &unavailable{ctx.Err()}
	}
	panics.Again(job.panicked)
	return job.result, job.took, job.err
}

// begin starts a render, which ends with ctx, the agent's context.
func (r *Reconciler) begin(ctx context.Context, e Environment, commit string, tree *source.Snapshot) *rendering {
	ctx, cancel := context.WithCancel(ctx)
	job := &rendering{commit: commit, settings: e.Settings, since: r.Now(), cancel: cancel, done: make(chan struct{})}
	options := r.RenderOptions(e, commit)
	go func() {
		defer cancel()
		job.panicked = panics.Catch(func() error {
			job.result, job.err = render.Render(ctx, tree, options)
			return nil
		})
		job.took = r.Now().Sub(job.since)
		close(job.done)
		if job.left.Load() && ctx.Err() == nil {
			r.Requeue(e.ID)
		}
	}()
	return job
}

// ends waits for the end of a render, and reports whether it came in time. If not, the end requeues the environment.
func (j *rendering) ends(ctx context.Context, patience time.Duration) bool {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-j.done:
		return true
	case <-ctx.Done():
		return true
	case <-timer.C:
	}
	j.left.Store(true)
	select {
	case <-j.done: // it ended just now, and may not have seen that this pass left
		return true
	default:
		return false
	}
}

// abandon cancels the renders of commits that are not needed.
func (m *memory) abandon(needed ...string) {
	for commit, job := range m.renderings {
		unneeded := true
		for _, other := range needed {
			unneeded = unneeded && other != commit
		}
		if unneeded {
			job.cancel()
			delete(m.renderings, commit)
		}
	}
}

// unrendered is why the last commit could not be rendered, and what that depended on.
type unrendered struct {
	settings, source string
	inputs           render.Inputs
	err              error
}

// same returns the recorded error if a new render would depend on the same input; else nil.
func (u unrendered) same(r *Reconciler, e Environment, tree *source.Snapshot, variables map[string]any) error {
	if u.err == nil || u.settings != e.Settings || u.source != e.Source || !u.inputs.SameScopes(r.Cluster.ClusterScoped) || !u.inputs.Same(tree, variables) {
		return nil
	}
	return u.err
}
