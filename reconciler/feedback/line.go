package feedback

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/control"
	"berth.dev/berth/reconciler/naming"
)

// line is what is reported for one Repository.
type line struct {
	*Sender
	repo   types.NamespacedName
	signal chan struct{}

	mu        sync.Mutex
	changed   map[string]bool // branches whose Environments changed
	heard     bool            // list the merge requests
	condition *metav1.Condition

	// deciding is held by who uses the following: its own goroutine, or one of several that compare branches. It is released
	// during a request to the forge.
	deciding sync.Mutex
	forge    Forge
	atOnce   int                  // how many requests the forge allows at a time
	setup    string               // identifies what forge was made from
	project  string               // identifies the project at the forge
	last     *v1alpha1.Repository // with what was last reported; nil: nothing was
	unusable error                // why there is no forge
	silent   bool                 // the Repository reports nothing any more
	begun    bool                 // all branches were compared since the start
	branches map[string]*branch
	statuses *duty
	notes    *duty
	// deployments need no list of merge requests.
	deployments *duty
	open        map[string][]int64      // merge requests, by branch
	merges      map[int64]*mergeRequest // the same, by number
	listed      time.Time               // when
	turn        int64                   // of the merge request that was opened or pushed to last
	later       map[string]bool         // branches that wait for the next list
	held        map[int64]heldNote      // notes of branches without environments
}

func newLine(s *Sender, repo types.NamespacedName) *line {
	l := &line{Sender: s, repo: repo, signal: make(chan struct{}, 1), changed: map[string]bool{}}
	l.reset()
	return l
}

// reset forgets everything.
func (l *line) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.changed)
	l.heard, l.condition = true, nil
	l.forge, l.setup, l.project, l.unusable, l.begun, l.open, l.listed = nil, "", "", nil, false, nil, time.Time{}
	l.last, l.merges, l.held, l.later = nil, nil, map[int64]heldNote{}, map[string]bool{}
	l.branches, l.statuses, l.notes, l.deployments = map[string]*branch{}, newDuty(), newDuty(), newDuty()
}

// requeue changes what the line shares, and lets it compare again.
func (l *line) requeue(change func()) {
	if change != nil {
		l.mu.Lock()
		change()
		l.mu.Unlock()
	}
	select {
	case l.signal <- struct{}{}:
	default:
	}
}

// farewell is how long a report that has begun may take after the context ends.
const farewell = 2 * time.Second

// lingering returns a context that ends a while after another one. Otherwise the forge would have a report that is not written
// down, and get it again after a restart.
func lingering(ctx context.Context) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	forget := context.AfterFunc(ctx, func() { time.AfterFunc(farewell, cancel) })
	return longer, func() {
		forget() // a line may end long before the agent
		cancel()
	}
}

// run compares and sends when there is a reason to, until the context ends or the Repository reports nothing any more.
func (l *line) run(ctx context.Context) {
	sending, cancel := lingering(ctx)
	defer cancel()
	timer := time.NewTimer(0)
	defer timer.Stop()
	signal := l.signal
	for {
		select {
		case <-ctx.Done():
			return
		case <-signal:
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return // there was another reason to go on, too
		}
		next, whole := l.tryRound(sending)
		if signal = l.signal; !whole {
			signal = nil // changes do not shorten the pause after a panic
		}
		if l.silent && l.retire(l) {
			return
		}
		if !next.IsZero() && ctx.Err() == nil {
			timer.Reset(max(next.Sub(l.Now()), time.Millisecond))
		}
	}
}

// round sends what differs, and returns when to do so again; zero: when something changes.
func (l *line) round(ctx context.Context) time.Time {
	repo := &v1alpha1.Repository{}
	switch err := l.Client.Get(ctx, l.repo, repo); {
	case apierrors.IsNotFound(err) || err == nil && repo.Spec.Feedback == nil:
		l.leave(ctx)
		l.reset()
		l.Left(l.repo.Name)
		l.silent = true
		return time.Time{}
	case err != nil:
		return l.Now().Add(pause) // the cache is not ready
	}
	l.silent = false
	repo = naming.ForAgent(repo, l.Agent)
	if l.idles(ctx, repo) {
		l.reset()
		return time.Time{}
	}
	if err := l.connect(ctx, repo); err != nil {
		l.judge(repo, err, patience)
		return l.Now().Add(lastRetry)
	}
	envs, err := l.environments(ctx)
	if err != nil {
		return l.Now().Add(pause)
	}
	l.last = repo
	l.mark(envs)
	l.send(ctx, repo, envs)
	if trouble := cmp.Or(l.statuses.trouble(), l.notes.trouble(), l.deployments.trouble()); ctx.Err() == nil && (trouble != nil || len(envs) > 0) {
		l.judge(repo, trouble, max(l.statuses.failures, l.notes.failures, l.deployments.failures))
	}
	next := earlier(l.markPlans(repo, envs), earlier(earlier(l.statuses.next(), l.notes.next()), l.deployments.next()))
	if len(l.notes.dirty) > 0 && !l.notes.blocked {
		next = l.Now()
	}
	if len(l.later) > 0 && !l.notes.blocked {
		next = earlier(next, l.listed.Add(pause))
	}
	for _, b := range l.branches {
		next = earlier(next, b.due)
	}
	return next
}

// idles reports whether there is nothing to report, because no entry of the Repository belongs to this agent. The Secret with the
// token may then be in other clusters only.
func (l *line) idles(ctx context.Context, repo *v1alpha1.Repository) bool {
	if len(repo.Spec.Environments) > 0 || len(l.branches) > 0 {
		return false
	}
	envs, err := l.environments(ctx)
	return err == nil && len(envs) == 0
}

// environments returns the Environments of the Repository, by branch. Callers must not change them.
func (l *line) environments(ctx context.Context) (map[string][]*v1alpha1.Environment, error) {
	all, err := control.Environments(ctx, l.Client, l.repo)
	if err != nil {
		return nil, err
	}
	of := map[string][]*v1alpha1.Environment{}
	for i := range all {
		of[all[i].Spec.Branch] = append(of[all[i].Spec.Branch], &all[i])
	}
	return of, nil
}

// mark marks the branches to compare: after a start all, then those that changed, and those whose note was edited too
// recently.
func (l *line) mark(envs map[string][]*v1alpha1.Environment) {
	now := l.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.begun {
		l.begun = true
		for name, of := range envs {
			l.changed[name] = true
			for _, env := range of {
				l.recallPlans(env)
			}
		}
	}
	for name := range l.changed {
		l.statuses.dirty[name], l.notes.dirty[name], l.deployments.dirty[name] = true, true, true
	}
	clear(l.changed)
	if !now.Before(l.listed.Add(pause)) {
		for name := range l.later {
			l.notes.dirty[name] = true
		}
	}
	for name, b := range l.branches {
		if !b.due.IsZero() && !now.Before(b.due) {
			l.notes.dirty[name], b.due = true, time.Time{}
		}
	}
}

// send sends what differs, and writes down what was sent.
func (l *line) send(ctx context.Context, repo *v1alpha1.Repository, envs map[string][]*v1alpha1.Environment) {
	held := maps.Clone(l.held)
	tried := slices.Concat(l.sendStatuses(ctx, repo, envs), l.sendNotes(ctx, repo, envs), l.sendDeployments(ctx, repo, envs))
	tried = append(tried, l.holders(held, envs)...)
	slices.Sort(tried)
	for _, name := range slices.Compact(tried) {
		l.writeDown(ctx, name)
	}
}

// sendStatuses sends the commit statuses that differ, and returns the branches that it tried.
func (l *line) sendStatuses(ctx context.Context, repo *v1alpha1.Repository, envs map[string][]*v1alpha1.Environment) []string {
	return l.each(l.statuses, l.statuses.take(l.Now()), func(name string) error {
		b := l.branch(name, envs[name])
		if repo.Spec.Feedback.Statuses == v1alpha1.StatusesNever {
			return l.endStatuses(ctx, b) // those of the time before
		}
		return l.setStatuses(ctx, repo, b)
	})
}

// sendNotes writes the notes that differ, and returns the branches that it tried.
func (l *line) sendNotes(ctx context.Context, repo *v1alpha1.Repository, envs map[string][]*v1alpha1.Environment) []string {
	if repo.Spec.Feedback.Note == v1alpha1.NoteNever {
		return l.muteNotes(ctx, envs)
	}
	names, err := l.toNote(ctx, repo, envs, l.Now())
	if err != nil {
		for _, name := range names {
			l.branch(name, envs[name])
		}
		return l.notes.halt(names, err, l.Now(), l.Jitter())
	}
	return l.each(l.notes, names, func(name string) error {
		return l.putNotes(ctx, repo, l.branch(name, envs[name]), envs)
	})
}
