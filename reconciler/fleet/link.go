package fleet

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/internal/panics"
	"berth.dev/berth/reconciler"
	"berth.dev/berth/reconciler/remote"
)

const (
	// answerTime is how long a probe waits for an answer, and listTime how long the first list of the namespaces may take.
	answerTime = 5 * time.Second
	listTime   = 30 * time.Second
	// firstPause is the pause between two attempts to reach a cluster. It doubles up to lastPause.
	firstPause = time.Second
	lastPause  = 15 * time.Second
	// calm is the pause between two probes of a cluster that answers them, although something raises doubts.
	calm = time.Second
	// recheck is how often it is checked whether a cluster still has another name.
	recheck = 30 * time.Second
)

var (
	// errReplaced reports that another cluster answers at the same address.
	errReplaced = errors.New("another cluster answers at its address")
	// errRefused reports that the cluster has another name.
	errRefused = errors.New("the cluster has another name")
)

// link keeps the connection to one cluster with one kubeconfig.
type link struct {
	member *member
	config remote.Config
	cancel context.CancelFunc
	// doubt has a value while it is doubtful whether the cluster answers.
	doubt chan struct{}
	line  *line
	// ended is closed once the watches have ended; nil before they begin.
	ended chan struct{}
	// down is the current outage; zero: there is none.
	down outage
}

// outage is why a cluster cannot be used, and since when.
type outage struct {
	since time.Time
	cause string
}

// run connects, and connects again after each outage, until the context ends.
func (l *link) run(ctx context.Context) {
	defer l.close()
	var err error
	if l.line, err = newLine(l); err != nil {
		l.fail(ctx, err)
		<-ctx.Done()
		return
	}
	pause := firstPause
	for ctx.Err() == nil {
		err := l.tryConnect(ctx)
		switch {
		case errors.Is(err, errReplaced):
			l.renew()
			return
		case errors.Is(err, errRefused):
			l.rest(ctx, recheck)
			continue
		case err != nil:
			l.fail(ctx, err)
			l.rest(ctx, pause)
			pause = min(2*pause, lastPause)
			continue
		}
		pause = firstPause
		l.serve(ctx)
		select {
		case <-ctx.Done():
		case <-l.doubt:
			l.rest(ctx, calm)
		}
	}
}

// tryConnect connects. If an answer of the cluster makes that panic, the cluster cannot be used for a while.
func (l *link) tryConnect(ctx context.Context) error {
	err := panics.Catch(func() error { return l.connect(ctx) })
	if caught, ok := errors.AsType[*panics.Error](err); ok {
		l.member.fleet.Log.Error("connecting to a cluster failed", "cluster", l.member.name, "panic", caught.Cause, "stack", caught.Stack)
	}
	return err
}

// close ends the connections, once the watches have ended.
func (l *link) close() {
	if l.line != nil {
		l.line.shut(errors.New("the connection to the cluster has ended"))
		l.line.dialer.CloseAll()
	}
	if l.ended != nil {
		<-l.ended
	}
}

// connect reaches the cluster and, the first time, begins to watch it.
func (l *link) connect(ctx context.Context) error {
	identity, err := l.reach(ctx)
	if err != nil {
		return err
	}
	if err := l.identify(ctx, identity); err != nil {
		return err
	}
	if l.refused(ctx) {
		return errRefused
	}
	reopened := l.line.open()
	passes, err := l.begin(ctx, identity)
	if err != nil {
		return err
	}
	if reopened {
		passes.Cluster.Watches.Resume()
	}
	listing, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	if passes.Cluster.Watches.WaitForNamespaces(listing) != nil && ctx.Err() == nil {
		return fmt.Errorf("its namespaces were not listed within %s", listTime)
	}
	return ctx.Err()
}

// begin returns the Reconciler, whose watches it begins the first time.
func (l *link) begin(ctx context.Context, identity types.UID) (*reconciler.Reconciler, error) {
	f, m := l.member.fleet, l.member
	if passes := f.passesOf(l); passes != nil {
		return passes, nil
	}
	passes, err := f.Wire(Connection{Name: m.name, Identity: identity, REST: l.line.config, HTTP: l.line.client()})
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	if l.current() {
		m.passes = passes
	}
	f.mu.Unlock()
	l.ended = make(chan struct{})
	go func() {
		defer close(l.ended)
		_ = passes.Cluster.Run(ctx) // it returns no error
	}()
	return passes, nil
}

// passesOf returns the Reconciler of a connection; nil: it has none yet.
func (f *Fleet) passesOf(l *link) *reconciler.Reconciler {
	f.mu.Lock()
	defer f.mu.Unlock()
	if l.current() {
		return l.member.passes
	}
	return nil
}

// serve lets passes be made.
func (l *link) serve(ctx context.Context) {
	if !l.down.since.IsZero() {
		l.member.fleet.Log.Info("the cluster can be reached again", "cluster", l.member.name, "after", l.member.fleet.Now().Sub(l.down.since).Round(time.Second))
	}
	l.down = outage{}
	l.become(ctx, "")
}

// fail records that the cluster cannot be used. Users see the first cause of an outage, because later ones change often.
func (l *link) fail(ctx context.Context, err error) {
	f, name := l.member.fleet, l.member.name
	if errors.Is(err, context.Canceled) {
		return
	}
	if l.down.since.IsZero() {
		l.down = outage{since: f.Now(), cause: causeOf(err)}
		f.Log.Warn("a cluster cannot be used", "cluster", name, "error", err)
	}
	text := l.down.text(name, l.withEnd(err))
	if l.line != nil {
		l.line.shut(errors.New(text))
		l.line.dialer.CloseAll()
	}
	l.become(ctx, text)
}

// withEnd returns an error that also says when the credentials ended, if a cluster refuses them because of that.
func (l *link) withEnd(err error) error {
	at := l.config.Expires
	if !apierrors.IsUnauthorized(err) || at.IsZero() || l.member.fleet.Now().Before(at) {
		return err
	}
	return apierrors.NewUnauthorized(fmt.Sprintf("%s ended at %s", l.config.ExpiresWhat, at.UTC().Format(time.RFC3339)))
}

// renew connects again from the beginning, with nothing known of the cluster.
func (l *link) renew() {
	f, m := l.member.fleet, l.member
	f.mu.Lock()
	if l.current() {
		m.link, m.identity, m.passes, m.usable, m.trouble = nil, "", nil, false, ""
		l.cancel()
		m.start()
	}
	f.mu.Unlock()
	f.Log.Warn("another cluster answers at the address of a cluster", "cluster", m.name)
}

// become records why the cluster cannot be used, or that it can if there is no trouble, and reports the change.
func (l *link) become(ctx context.Context, trouble string) {
	f, m, usable := l.member.fleet, l.member, trouble == ""
	f.mu.Lock()
	changed := l.current() && (m.usable != usable || m.trouble != trouble)
	if changed {
		m.usable, m.trouble = usable, trouble
	}
	f.mu.Unlock()
	if changed {
		f.Changed(ctx, m.name)
	}
}

// rest waits, with some jitter.
func (l *link) rest(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(pause + time.Duration(float64(pause)*l.member.fleet.Jitter()/4))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// suspect raises a doubt about the cluster. It does not block.
func (l *link) suspect() {
	select {
	case l.doubt <- struct{}{}:
	default:
	}
}
