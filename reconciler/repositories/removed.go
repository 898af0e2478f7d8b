package repositories

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/branches"
	"berth.dev/berth/reconciler/control"
	"berth.dev/berth/reconciler/stores"
)

// removed deletes the Environments of a Repository that does not exist, as their onRemoval says, once the Repository has
// been missing for its goneAfter. It returns when to check again; 0: never.
//
// A missing Repository proves nothing: its kind may be deleted, or a restore may be under way. In those cases, and if the
// deletion guard blocks, each Environment waits for a confirmation.
func (r *Controller) removed(ctx context.Context, name types.NamespacedName) (time.Duration, error) {
	have, err := control.Environments(ctx, r.Client, name)
	if err != nil {
		return 0, err
	}
	going, err := control.KindIsGoing(ctx, r.Reader, "repositories")
	if err != nil || going {
		return 0, err
	}
	at := r.goneAt(name.Name)
	due, left := !at.IsZero() && !r.Now().Before(at), []v1alpha1.Environment{}
	if branches.Count(have, nil, r.Now()).BlocksAll() {
		at, due = time.Time{}, false
	}
	var errs []error
	for i := range have {
		switch env := &have[i]; {
		case !env.DeletionTimestamp.IsZero():
		case due || branches.ConfirmedBy(env):
			errs = append(errs, r.delete(ctx, env, "its Repository was removed"))
		default:
			left = append(left, *env)
		}
	}
	r.depart(name, r.orphans(name.Name, left, at))
	errs = append(errs, r.Stores.Drop(name.Name), r.Stores.Drop(stores.ForMergeRequests(name.Name)))
	if len(left) > 0 && !at.IsZero() {
		return max(at.Sub(r.Now()), time.Millisecond), errors.Join(errs...)
	}
	if len(left) == 0 {
		r.forget(name.Name)
	}
	return 0, errors.Join(errs...)
}

// goneAt returns when the Environments of a missing Repository may be deleted; zero if this process never saw the
// Repository.
func (r *Controller) goneAt(name string) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	f, seen := r.known[name]
	if !seen {
		return time.Time{}
	}
	if f.missing.IsZero() {
		f.missing = r.Now()
	}
	return f.missing.Add(f.grace)
}

// orphans returns the Departures of the Environments of a missing Repository. A zero time means that they wait for a
// confirmation.
func (r *Controller) orphans(repository string, left []v1alpha1.Environment, at time.Time) map[string]branches.Departure {
	if at.IsZero() {
		return nil
	}
	all := make(map[string]branches.Departure, len(left))
	for _, env := range left {
		since := r.followed(repository).missing
		all[env.Name] = branches.Departure{Since: since.Truncate(time.Second), At: at.Truncate(time.Second), Orphaned: true}
	}
	return all
}

func (r *Controller) forget(repository string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Forgotten(repository)
	delete(r.known, repository)
	delete(r.hooks, repository)
	delete(r.called, repository)
}
