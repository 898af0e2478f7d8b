package reconciler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"berth.dev/berth/reconciler/kustomize"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/plan"
)

// wanted returns what should run. That is the environment's commit: its pin, or the head of its branch. If that input
// was rejected and the entry asks for rollbacks, it is the last healthy commit. If the commit cannot be fetched, it is
// what ran before. In all but the first case, the error says why.
func (r *Reconciler) wanted(ctx context.Context, e Environment, m *memory, record plan.Record) (desired, error) {
	if e.Problem != nil {
		return r.known(ctx, e, m, record), e.Problem
	}
	why := m.rejected.of(e, r.Now())
	if why == nil {
		d, err := r.newest(ctx, e, m, record.Rejected)
		if d.commit != "" {
			return d, err
		}
		if lasts(err) {
			m.rejected = e.rejects(err, d.about, r.again(err))
		}
		why = err
	}
	if ran := e.ran(record); m.runs.commit == "" && ran != "" && ran != e.Commit {
		before, err := r.before(ctx, e, m, ran)
		if isRendering(err) {
			return desired{}, err
		}
		if err != nil {
			return desired{}, fmt.Errorf("%w; drift is not corrected, because the last applied commit cannot be fetched either: %w", why, err)
		}
		m.runs = before
	}
	if _, ok := errors.AsType[*unread](why); ok && m.runs.commit != "" {
		why = fmt.Errorf("%w; the environment keeps running commit %.8s", why, m.runs.commit)
	}
	return m.runs, why
}

// newest returns the commit that should run, or the last healthy one and the reason why. If neither can be read, it
// returns only the error.
func (r *Reconciler) newest(ctx context.Context, e Environment, m *memory, rejected plan.Rejected) (desired, error) {
	head, err := r.desire(ctx, e, m, e.Commit, m.head)
	if err != nil {
		return head, err
	}
	m.head = head
	if e.Rollback && rejected.Digest == head.digest && !m.trial.reached(head.digest, held) {
		return r.lastHealthy(ctx, e, m, rejected)
	}
	return head, nil
}

// ran returns the commit that a restarted agent finds in the cluster: that of the last sync, even if the sync had not ended. An
// earlier commit that was applied as a whole would undo what the sync has written.
func (e Environment) ran(record plan.Record) string {
	if sync := record.Sync; sync.Commit != "" && sync.Commit != e.Commit && !sync.Settled {
		return sync.Commit
	}
	return e.Applied
}

// again returns when to retry although nothing changed; zero: never. A server may deliver later what it refused, and a
// build may have timed out on a busy machine. The same files always give the same result.
func (r *Reconciler) again(err error) time.Time {
	limit, limited := errors.AsType[*kustomize.LimitError](err)
	if _, ok := errors.AsType[*unread](err); !ok && !(limited && limit.MayPass()) {
		return time.Time{}
	}
	return r.Now().Add(fatalPause + time.Duration(float64(fatalPause)*r.Jitter()/2))
}

// before returns what Git said at a commit that ran before.
func (r *Reconciler) before(ctx context.Context, e Environment, m *memory, commit string) (desired, error) {
	d, err := r.desire(ctx, e, m, commit, desired{})
	d.past = true
	return d, err
}

// known returns what runs. It is used while the entry lacks something, such as a Secret to copy, and cannot be
// rendered. A restarted agent reads the applied commit again. It uses the result only if every object is recorded as
// applied, because a changed entry must not alter what is running.
func (r *Reconciler) known(ctx context.Context, e Environment, m *memory, record plan.Record) desired {
	if m.runs.commit == "" && e.Applied != "" {
		before, err := r.before(ctx, e, m, e.Applied)
		if err == nil && before.ran(record) {
			before.digest, before.incomplete = record.Sync.Digest, true
			m.runs = before
		}
	}
	return m.runs
}

// ran reports whether all objects were last applied as they are here. It ignores Jobs, which do not run again.
func (d desired) ran(record plan.Record) bool {
	return !slices.ContainsFunc(d.set.Objects, func(o manifest.Object) bool {
		return !manifest.IsJob(o.Key().GroupKind()) && o.As(record.Applied[o.Key()].Digest) == nil
	})
}

// lastHealthy returns the last healthy commit in place of the head, which did not become healthy. If there is none, or
// if it says the same as the head, the head stays. If it cannot be fetched, the head does not return, because it is
// known to be bad.
func (r *Reconciler) lastHealthy(ctx context.Context, e Environment, m *memory, rejected plan.Rejected) (desired, error) {
	head, healthy := m.head, desired{}
	if e.Healthy != "" {
		var err error
		healthy, err = r.before(ctx, e, m, e.Healthy)
		if isRendering(err) {
			return desired{}, err
		}
		if err != nil {
			return desired{}, fmt.Errorf("commit %.8s did not become healthy, and the last healthy one, %.8s, cannot be fetched; push a fix, or to try the newer one again: berth retry %s; it failed because of %s; the older one: %w",
				e.Commit, e.Healthy, e.Name, rejected.Message, err)
		}
	}
	if healthy.commit == "" || healthy.digest == head.digest {
		m.trial.reaches(head.digest, held)
		return head, nil
	}
	m.head, m.runs = desired{}, healthy
	why := &rolledBackError{Name: e.Name, Commit: e.Commit, To: healthy.commit, Message: rejected.Message}
	m.rejected = e.rejects(why, head.about, time.Time{})
	return healthy, why
}

// refuses asks the cluster whether it would refuse a new input. It asks before the first write, if half a sync could
// break what runs. The answer is remembered, so that it costs once per input.
func (r *Reconciler) refuses(ctx context.Context, e Environment, m *memory, d desired, p plan.Plan) bool {
	sync := p.Record.Sync
	if e.Suspended || !sync.Running || sync.Settled || m.trial.reached(d.digest, valid) {
		return false
	}
	refused, obstacles := &refusedError{}, []manifest.Key(nil)
	for _, s := range p.Impossible() {
		refused.add(s, s.Describe())
	}
	pause := fatalPause
	for _, result := range r.Cluster.Applier.Validate(ctx, r.target(e), p.Changes()) {
		if result.Err == nil || result.Step.Failure != "" {
			continue
		}
		refused.add(result.Step, result.Err.Message)
		obstacles = append(obstacles, result.Err.Obstacles...)
		_, after := pauseAfter(result.Err.Class, m.trial.refused)
		pause = min(pause, after)
	}
	if len(refused.Problems) == 0 {
		m.trial = trial{digest: d.digest, stage: valid}
		return false
	}
	m.head = desired{}
	m.trial.refused++
	until := r.Now().Add(pause + time.Duration(float64(pause)*r.Jitter()/2))
	m.rejected = e.rejects(refused, d.about, until)
	m.rejected.by = obstacles
	for _, p := range refused.Problems {
		m.rejected.objects = append(m.rejected.objects, p.Key)
	}
	return true
}

// reject records that an input did not become healthy, if the entry asks for rollbacks and there is something to return
// to. The next pass is due at once and uses the record.
func (r *Reconciler) reject(e Environment, m *memory, d desired, p *plan.Plan) {
	rejected := &p.Record.Rejected
	if rejected.Digest != d.digest {
		*rejected = plan.Rejected{}
	}
	returns := e.Rollback && !e.Suspended && e.Healthy != "" && e.Healthy != e.Commit && !m.trial.reached(d.digest, held)
	if returns && p.State == plan.Failed && rejected.Digest == "" {
		*rejected = plan.Rejected{Digest: d.digest, Commit: d.commit, Message: p.Message}
		p.Deadline = r.Now()
	}
}

// rejection is why the commit that should run does not run. It holds while the commit, the settings and the source are
// the same.
type rejection struct {
	commit, settings, source string
	about                    CommitInfo
	err                      error
	// until is when to retry although nothing changed; zero: never.
	until time.Time
	// objects are the objects that the cluster would refuse. by are the objects that would refuse them. A change of any
	// of them may solve the problem.
	objects, by []manifest.Key
}

func (e Environment) rejects(err error, about CommitInfo, until time.Time) rejection {
	return rejection{commit: e.Commit, settings: e.Settings, source: e.Source, about: about, err: err, until: until}
}

// of returns what is known to be wrong with the commit that should run.
func (r rejection) of(e Environment, now time.Time) error {
	over := !r.until.IsZero() && !now.Before(r.until)
	if r.commit == e.Commit && r.settings == e.Settings && r.source == e.Source && !over {
		return r.err
	}
	return nil
}

// rolledBackError says that the last healthy commit was applied again in place of a newer one.
type rolledBackError struct {
	// Name is the name of the Environment. Commit is the newer commit, To is the last healthy one, and Message says
	// why.
	Name, Commit, To, Message string
}

// Error names both commits, and what a user can do.
func (e *rolledBackError) Error() string {
	return fmt.Sprintf("commit %.8s did not become healthy, and the last healthy one, %.8s, was applied again; push a fix, or to try it again: berth retry %s; it failed because of %s",
		e.Commit, e.To, e.Name, e.Message)
}

// refusedError says why the cluster would refuse objects of a commit. Nothing of that commit was applied.
type refusedError struct {
	Problems []Problem
	messages []string
}

func (e *refusedError) add(s plan.Step, message string) {
	s.Failure = cmp.Or(s.Failure, message)
	e.Problems = append(e.Problems, Problem{Key: s.Key, Health: s.Trouble()})
	e.messages = append(e.messages, message)
}

// Error names every problem.
func (e *refusedError) Error() string {
	return "nothing of this commit was applied, because the cluster would refuse " + counted(len(e.Problems)) + ": " + strings.Join(e.messages, "; ")
}

func counted(n int) string {
	if n == 1 {
		return "an object of it"
	}
	return fmt.Sprintf("%d objects of it", n)
}
