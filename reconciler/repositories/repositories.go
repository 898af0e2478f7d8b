package repositories

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/robfig/cron/v3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/branches"
	"berth.dev/berth/reconciler/control"
	"berth.dev/berth/reconciler/fleet"
	"berth.dev/berth/reconciler/naming"
	"berth.dev/berth/reconciler/stores"
	"berth.dev/berth/source"
)

// Controller is the controller of Repositories: it makes the Environments of a Repository match its branches.
type Controller struct {
	Config
	inbox  control.Inbox
	mu     sync.Mutex
	known  map[string]*followed                  // by name
	hooks  map[string]*hooks                     // by name
	called map[string]map[string]branches.Wanted // the wanted Environments, by repository and name
}

// Config configures a Controller.
type Config struct {
	Client client.Client
	// Reader reads from the API server, where the cache may be stale.
	Reader client.Reader
	// Fleet has the clusters with the namespaces, from which lost Environments are restored.
	Fleet  *fleet.Fleet
	Stores *stores.Set
	Guard  *branches.Guard
	// Departures stores which Environments will be deleted.
	Departures *branches.Departures
	// Namespace is the agent's own, Installation the random id of this installation of Berth. Agent is the agent's name: only
	// entries with the same one are followed.
	Namespace, Installation, Agent string
	// Report writes a Repository's status if it changed.
	Report func(ctx context.Context, repo *v1alpha1.Repository, status v1alpha1.RepositoryStatus) error
	// Listed records a listing: why it failed (empty: it did not), when it ended, and how long it took. Forgotten drops what it keeps of a
	// Repository.
	Listed    func(repository, reason string, at time.Time, took time.Duration)
	Forgotten func(repository string)
	// Heard is called after a webhook; nil: nothing is.
	Heard func(repo types.NamespacedName)
	// HookMissed warns of a change without a webhook if webhooks have announced changes before.
	HookMissed func(repo *v1alpha1.Repository, change string)
	// Requeue requeues an Environment.
	Requeue func(types.NamespacedName)
	// ProgressPause is the time between two progress reports of a fetch; 0 means 10 s.
	ProgressPause time.Duration
	// Pulse shows that the controller makes progress.
	Pulse *control.Pulse
	Now   func() time.Time
	Log   *slog.Logger
}

// followed is the state that the controller keeps of a Repository. Losing it is harmless.
type followed struct {
	listing source.Listing
	listed  bool // listing is a complete one
	leftOut branches.LeftOut
	lacking bool   // one of its commits could not be fetched
	store   string // the key of the open store, or the error
	absent  map[string]branches.Absence
	next    time.Time
	missing time.Time     // since when the Repository does not exist
	grace   time.Duration // spec.goneAfter, for use after the Repository is deleted
	spec    int64         // the generation of the last listing
	cause   cause         // of the last listing
	// onlyPolled reports that only the poll triggered the last listing.
	onlyPolled bool
	spare      spare
	// request and confirmation are the ids of the last handled ones. bound is the newest confirmation whose environments
	// have been determined, and confirmed are these.
	request, confirmation, bound string
	confirmed                    map[string]bool
	elsewhere                    branches.Elsewhere
	clusters                     []metav1.Condition
	trouble                      error // with the Git server, or with the spec
	changed                      time.Time
	told                         time.Time // when a webhook last announced a change
}

// New returns the controller of Repositories.
func New(c Config) *Controller {
	if c.Heard == nil {
		c.Heard = func(types.NamespacedName) {}
	}
	return &Controller{Config: c, inbox: control.NewInbox(), known: map[string]*followed{}, hooks: map[string]*hooks{}, called: map[string]map[string]branches.Wanted{}}
}

// Reconcile lists a Repository's branches when it is time to, and writes and deletes its Environments.
func (r *Controller) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	repo := &v1alpha1.Repository{}
	if err := r.Client.Get(ctx, req.NamespacedName, repo); err != nil {
		if apierrors.IsNotFound(err) {
			wait, err := r.removed(ctx, req.NamespacedName)
			return ctrl.Result{RequeueAfter: wait}, err
		}
		return ctrl.Result{}, err
	}
	f := r.followed(repo.Name)
	if !f.missing.IsZero() { // it was re-created, and starts over
		r.forget(repo.Name)
		r.depart(req.NamespacedName, nil)
		f = r.followed(repo.Name)
	}
	f.grace, f.elsewhere = repo.Spec.GoneAfter.Duration, branches.ElsewhereOf(repo, r.Agent)
	repo = naming.ForAgent(repo, r.Agent)
	f.clusters = r.clusterTroubles(ctx, repo)
	schedule, err := scheduleOf(repo.Spec.Poll, repo.Spec.TimeZone)
	switch {
	case repo.Spec.Suspend:
		// Drift correction goes on, and may need a commit from the store.
		_, f.trouble = r.open(ctx, repo, f)
		return ctrl.Result{}, r.Report(ctx, repo, statusOf(repo, f, branches.Changes{}))
	case err != nil:
		f.trouble = &source.Error{Reason: source.Invalid, Op: "follow the repository", Cause: err.Error()}
		f.request = repo.Annotations[v1alpha1.AnnotationRequested] // the status shows the error to whoever asked
		return ctrl.Result{}, r.Report(ctx, repo, statusOf(repo, f, branches.Changes{}))
	case r.due(ctx, repo, f) && followsAny(repo):
		r.list(ctx, repo, f)
		f.next = schedule.Next(r.Now())
	case !followsAny(repo):
		f.rest(schedule.Next(r.Now()))
	}
	c, err := r.converge(ctx, repo, f)
	if err := errors.Join(err, r.Report(ctx, repo, statusOf(repo, f, c))); err != nil {
		return ctrl.Result{}, err
	}
	if !c.List.IsZero() && c.List.Before(f.next) {
		f.next = c.List
	}
	next := f.next
	for _, sooner := range []time.Time{c.Next, r.missedHook(repo)} {
		if !sooner.IsZero() && sooner.Before(next) {
			next = sooner
		}
	}
	return ctrl.Result{RequeueAfter: max(next.Sub(r.Now()), time.Millisecond)}, nil
}

// scheduleOf reads a cron expression, or a descriptor such as @every 1m, in a time zone.
func scheduleOf(poll, zone string) (cron.Schedule, error) {
	location, err := time.LoadLocation(zone)
	if err != nil {
		return nil, fmt.Errorf("timeZone %q is not known: %w", zone, err)
	}
	schedule, err := cron.ParseStandard("TZ=" + location.String() + " " + poll)
	if err != nil {
		return nil, fmt.Errorf("poll %q is not a schedule: %w", poll, err)
	}
	return schedule, nil
}

func (r *Controller) followed(name string) *followed {
	r.mu.Lock()
	defer r.mu.Unlock()
	f, ok := r.known[name]
	if !ok {
		f = &followed{absent: map[string]branches.Absence{}}
		r.known[name] = f
	}
	return f
}

// due reports whether to list the branches now: because of the poll, a change of the spec or of the credentials, a user's
// request, or a webhook.
func (r *Controller) due(ctx context.Context, repo *v1alpha1.Repository, f *followed) bool {
	request := repo.Annotations[v1alpha1.AnnotationRequested]
	asked := request != "" && request != repo.Status.HandledRequest && request != f.request
	hooked := r.hooked(repo.Name) || asked && r.hookRequested(repo.Name, request)
	_, doubted := errors.AsType[*errDoubtful](f.trouble)
	called := f.spec != repo.Generation || asked || hooked || f.store != r.Stores.Key(ctx, repo) || doubted && confirmed(repo)
	due := called || !r.Now().Before(f.next)
	f.onlyPolled = !called
	f.spec, f.request, f.cause = repo.Generation, request, byPoll
	if hooked {
		f.cause = byHook
		r.Heard(client.ObjectKeyFromObject(repo))
	}
	return due
}

// confirmed reports whether a user confirmed a doubtful listing.
func confirmed(repo *v1alpha1.Repository) bool {
	id := repo.Annotations[v1alpha1.AnnotationConfirmed]
	return id != "" && id != repo.Status.HandledConfirmation
}

// converge writes and deletes Environments to match the last complete listing.
func (r *Controller) converge(ctx context.Context, repo *v1alpha1.Repository, f *followed) (branches.Changes, error) {
	have, err := control.Environments(ctx, r.Client, client.ObjectKeyFromObject(repo))
	if err != nil {
		return branches.Changes{}, err
	}
	warnings, err := r.restore(ctx, repo, have)
	if text := f.elsewhere.Summary(); text != "" {
		warnings = append(warnings, text)
	}
	if err != nil || !f.listed && followsAny(repo) {
		return branches.Changes{Warnings: warnings}, err
	}
	over := branches.Overdue(have, repo, r.Now())
	if err := r.confirm(ctx, repo, f, over); err != nil {
		return branches.Changes{}, err
	}
	c := branches.Compare(have, branches.Want(repo, f.listing.Heads), branches.Evidence{
		Listing:   f.listing,
		Current:   f.trouble == nil,
		Absent:    f.absent,
		Over:      over,
		Now:       r.Now(),
		GoneAfter: repo.Spec.GoneAfter.Duration,
		Confirmed: f.confirmed,
		Elsewhere: f.elsewhere,
	})
	c.Warnings = warnings
	f.confirmed = nameSet(c.Confirmed...)
	r.depart(client.ObjectKeyFromObject(repo), c.Departing)
	changed, err := r.carryOut(ctx, repo, have, c)
	if changed {
		f.changed = r.Now()
	}
	return c, err
}

// carryOut writes and deletes Environments. One that fails does not delay the others.
func (r *Controller) carryOut(ctx context.Context, repo *v1alpha1.Repository, have []v1alpha1.Environment, c branches.Changes) (changed bool, err error) {
	existing := branches.ByName(have)
	r.call(repo.Name, c.Write)
	var errs []error
	for _, w := range c.Write {
		wrote, err := r.write(ctx, repo, existing[w.Name], w)
		changed = changed || wrote
		errs = append(errs, err)
	}
	for _, d := range c.Delete {
		changed = true
		errs = append(errs, r.delete(ctx, d.Environment, d.Why))
	}
	for _, env := range c.Release {
		r.Guard.Allow(env)
		r.Requeue(client.ObjectKeyFromObject(env))
	}
	return changed, errors.Join(errs...)
}

// call stores the wanted Environments of a repository before they are written.
func (r *Controller) call(repository string, all []branches.Wanted) {
	called := make(map[string]branches.Wanted, len(all))
	for _, w := range all {
		called[w.Name] = w
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.called[repository] = called
}

// delete starts the deletion of an Environment that the deletion guard allows.
func (r *Controller) delete(ctx context.Context, env *v1alpha1.Environment, why string) error {
	r.Log.Info("deleting the environment", "environment", env.Name, "reason", why)
	r.Guard.Allow(env)
	uid := env.UID
	return client.IgnoreNotFound(r.Client.Delete(ctx, env, client.Preconditions{UID: &uid}))
}

// write applies an Environment that differs from the wanted one, and reports whether it did.
func (r *Controller) write(ctx context.Context, repo *v1alpha1.Repository, env *v1alpha1.Environment, w branches.Wanted) (bool, error) {
	if env != nil && (!env.DeletionTimestamp.IsZero() || upToDate(env, w)) {
		return false, nil
	}
	if err := r.Client.Apply(ctx, environmentApply(repo.Namespace, w), client.ForceOwnership, fieldOwner); err != nil {
		return false, fmt.Errorf("the environment %s: %w", w.Name, err)
	}
	return true, nil
}

// depart stores which Environments of a repository will be deleted, and requeues those whose status changes.
func (r *Controller) depart(repo types.NamespacedName, all map[string]branches.Departure) {
	for _, name := range r.Departures.Set(repo.Name, all) {
		r.Requeue(types.NamespacedName{Namespace: repo.Namespace, Name: name})
	}
}
