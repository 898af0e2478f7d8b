package preview

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/robfig/cron/v3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/source"
)

// Repositories makes the Environments of a Repository those that its branches call for. It is the
// controller of Repositories.
type Repositories struct {
	RepositoriesConfig
	mu    sync.Mutex
	known map[string]*followed // by name
}

// RepositoriesConfig is what Repositories is made of.
type RepositoriesConfig struct {
	Client client.Client
	Stores *Stores
	// Report writes a Repository's status, if it is another than before.
	Report func(ctx context.Context, repo *v1alpha1.Repository, status v1alpha1.RepositoryStatus) error
	// Wake asks for a pass over an Environment.
	Wake func(types.NamespacedName)
	Now  func() time.Time
	Log  *slog.Logger
}

// followed is what is remembered of a Repository; all of it can be lost.
type followed struct {
	listing source.Listing
	opened  bool // its store can be read
	listed  bool // listing is a complete one
	absent  map[string]absence
	next    time.Time
	spec    int64 // the generation that was listed for
	// handled are the ids of the requests that were carried out.
	request, confirmation string
	trouble               error // with the Git server, or with the spec
	changed               time.Time
}

// NewRepositories returns the controller of Repositories.
func NewRepositories(c RepositoriesConfig) *Repositories {
	return &Repositories{RepositoriesConfig: c, known: map[string]*followed{}}
}

// Reconcile lists a Repository's branches when it is time to, and writes and deletes its Environments.
func (r *Repositories) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	repo := &v1alpha1.Repository{}
	if err := r.Client.Get(ctx, req.NamespacedName, repo); err != nil {
		if apierrors.IsNotFound(err) {
			return ctrl.Result{}, r.removed(ctx, req.NamespacedName)
		}
		return ctrl.Result{}, err
	}
	f := r.followed(repo.Name)
	if repo.Spec.Suspend {
		return ctrl.Result{}, r.Report(ctx, repo, statusOf(repo, f, nil))
	}
	schedule, err := Schedule(repo.Spec.Poll, repo.Spec.TimeZone)
	if err != nil {
		f.trouble = &source.Error{Reason: source.Invalid, Op: "follow the repository", Cause: err.Error()}
		return ctrl.Result{}, r.Report(ctx, repo, statusOf(repo, f, nil))
	}
	if r.due(repo, f) {
		r.list(ctx, repo, f)
		f.next = schedule.Next(r.Now())
	}
	c, err := r.converge(ctx, repo, f)
	if err := errors.Join(err, r.Report(ctx, repo, statusOf(repo, f, c.notes))); err != nil {
		return ctrl.Result{}, err
	}
	next := f.next
	if !c.next.IsZero() && c.next.Before(next) {
		next = c.next
	}
	return ctrl.Result{RequeueAfter: max(next.Sub(r.Now()), time.Millisecond)}, nil
}

// Schedule reads a cron expression, or a descriptor such as @every 1m, in a time zone.
func Schedule(poll, zone string) (cron.Schedule, error) {
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

func (r *Repositories) followed(name string) *followed {
	r.mu.Lock()
	defer r.mu.Unlock()
	f, ok := r.known[name]
	if !ok {
		f = &followed{absent: map[string]absence{}}
		r.known[name] = f
	}
	return f
}

// due says whether the branches are to be listed now: because of the poll, a change of the spec, or
// because somebody asked.
func (r *Repositories) due(repo *v1alpha1.Repository, f *followed) bool {
	request := repo.Annotations[v1alpha1.AnnotationRequested]
	asked := request != "" && request != repo.Status.HandledRequest && request != f.request
	due := !r.Now().Before(f.next) || f.spec != repo.Generation || asked
	f.spec, f.request = repo.Generation, request
	return due
}

// confirmed says whether somebody lets the mass deletion pass that the brake holds.
func confirmed(repo *v1alpha1.Repository) bool {
	id := repo.Annotations[v1alpha1.AnnotationConfirmed]
	return id != "" && id != repo.Status.HandledConfirmation
}

// list asks the Git server for all branches, and brings what has moved. What is known stays as it was
// if that fails.
func (r *Repositories) list(ctx context.Context, repo *v1alpha1.Repository, f *followed) {
	store, err := r.Stores.For(ctx, repo)
	if err != nil {
		f.trouble = err
		return
	}
	if !f.opened || f.trouble != nil {
		f.opened = true
		defer r.wakeAll(ctx, repo)
	}
	listing, err := store.List(ctx)
	if err != nil {
		f.trouble = err
		return
	}
	wanted, _ := want(repo, listing.Heads)
	commits := make([]string, 0, len(wanted))
	for _, w := range wanted {
		commits = append(commits, w.spec.Commit)
	}
	if err := store.Fetch(ctx, commits...); err != nil && source.ReasonOf(err) == source.Unreachable {
		f.trouble = err
		return
	}
	f.trouble = nil
	f.listing, f.listed = listing, true
	f.absent = r.evidence(ctx, repo, f)
}

// wakeAll asks for passes over all Environments of a Repository, which had to wait for its store.
func (r *Repositories) wakeAll(ctx context.Context, repo *v1alpha1.Repository) {
	have, err := r.environments(ctx, client.ObjectKeyFromObject(repo))
	if err != nil {
		return // the cache answers, and has nothing to fail at
	}
	for i := range have {
		r.Wake(client.ObjectKeyFromObject(&have[i]))
	}
}

// evidence counts the branches that are missing from the newest listing.
func (r *Repositories) evidence(ctx context.Context, repo *v1alpha1.Repository, f *followed) map[string]absence {
	have, err := r.environments(ctx, types.NamespacedName{Namespace: repo.Namespace, Name: repo.Name})
	if err == nil && f.trusted() {
		notice(f.absent, have, listed{heads: f.listing.Heads, now: r.Now()})
	}
	return f.absent
}

// trusted says whether a branch that the listing lacks may count as gone.
func (f *followed) trusted() bool {
	_, hasDefault := f.listing.Heads[f.listing.Default]
	return f.trouble == nil && f.listed && hasDefault
}

// converge writes and deletes Environments as the last complete listing says.
func (r *Repositories) converge(ctx context.Context, repo *v1alpha1.Repository, f *followed) (changes, error) {
	if !f.listed {
		return changes{}, nil
	}
	have, err := r.environments(ctx, client.ObjectKeyFromObject(repo))
	if err != nil {
		return changes{}, err
	}
	wanted, problems := want(repo, f.listing.Heads)
	c := compare(have, wanted, listed{
		heads:     f.listing.Heads,
		trusted:   f.trusted(),
		absent:    f.absent,
		now:       r.Now(),
		goneAfter: repo.Spec.GoneAfter.Duration,
		confirmed: confirmed(repo),
	})
	c.notes = append(problems, c.notes...)
	changed, err := r.carryOut(ctx, repo, have, c)
	if changed {
		f.changed = r.Now()
	}
	if len(c.delete) > 0 {
		f.confirmation = repo.Annotations[v1alpha1.AnnotationConfirmed]
	}
	return c, err
}

// carryOut writes and deletes Environments; one that fails delays no other.
func (r *Repositories) carryOut(ctx context.Context, repo *v1alpha1.Repository, have []v1alpha1.Environment, c changes) (changed bool, err error) {
	existing := make(map[string]*v1alpha1.Environment, len(have))
	for i := range have {
		existing[have[i].Name] = &have[i]
	}
	var errs []error
	for _, w := range c.write {
		wrote, err := r.write(ctx, repo, existing[w.name], w)
		changed = changed || wrote
		errs = append(errs, err)
	}
	for _, d := range c.delete {
		changed = true
		r.Log.Info("deleting the environment", "environment", d.environment.Name, "reason", d.why)
		uid := d.environment.UID
		err := r.Client.Delete(ctx, d.environment, client.Preconditions{UID: &uid})
		errs = append(errs, client.IgnoreNotFound(err))
	}
	return changed, errors.Join(errs...)
}

// write applies an Environment if it is not what it should be, and says whether it did.
func (r *Repositories) write(ctx context.Context, repo *v1alpha1.Repository, env *v1alpha1.Environment, w wanted) (bool, error) {
	if env != nil && (!env.DeletionTimestamp.IsZero() || upToDate(env, w)) {
		return false, nil
	}
	if err := r.Client.Apply(ctx, environmentApply(repo.Namespace, w), client.ForceOwnership, client.FieldOwner(fieldOwner)); err != nil {
		return false, fmt.Errorf("Environment/%s: %w", w.name, err)
	}
	return true, nil
}

// removed takes care of the Environments of a Repository that is gone: each goes as its own onRemoval
// says. They are not deleted if that would be more than the brake lets pass.
func (r *Repositories) removed(ctx context.Context, name types.NamespacedName) error {
	r.mu.Lock()
	delete(r.known, name.Name)
	r.mu.Unlock()
	have, err := r.environments(ctx, name)
	if err != nil {
		return err
	}
	doomedToDie := 0
	for _, env := range have {
		if env.Spec.OnRemoval == v1alpha1.RemovalDelete {
			doomedToDie++
		}
	}
	if doomedToDie > brakeCount {
		r.Log.Warn("keeping the environments of a removed repository: to delete them, delete the Environment objects",
			"repository", name.Name, "environments", len(have))
		return nil
	}
	var errs []error
	for i := range have {
		errs = append(errs, client.IgnoreNotFound(r.Client.Delete(ctx, &have[i])))
	}
	return errors.Join(append(errs, r.Stores.Drop(name.Name))...)
}

func (r *Repositories) environments(ctx context.Context, repo types.NamespacedName) ([]v1alpha1.Environment, error) {
	var list v1alpha1.EnvironmentList
	err := r.Client.List(ctx, &list, client.InNamespace(repo.Namespace), client.MatchingLabels{v1alpha1.LabelRepository: repo.Name})
	return list.Items, err
}
