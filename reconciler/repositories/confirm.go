package repositories

import (
	"context"
	"maps"
	"slices"

	"berth.dev/berth/api/v1alpha1"
)

// confirm takes down whom a new confirmation lets go, before anything is done because of it: those that were told to be
// held, and those whose time is over. Whatever comes to be held later needs another one.
func (r *Controller) confirm(ctx context.Context, repo *v1alpha1.Repository, f *followed, over []*v1alpha1.Environment) error {
	if f.confirmed == nil {
		f.confirmed = nameSet(repo.Status.Confirmed...)
	}
	id := repo.Annotations[v1alpha1.AnnotationConfirmed]
	if !confirmed(repo) || f.bound == id {
		return nil
	}
	all := nameSet(repo.Status.Held...)
	for _, env := range over {
		all[env.Name] = true
	}
	if len(all) > 0 {
		maps.Copy(all, f.confirmed)
		status := *repo.Status.DeepCopy()
		status.HandledConfirmation, status.Held, status.Confirmed = id, nil, slices.Sorted(maps.Keys(all))
		if err := r.Report(ctx, repo, status); err != nil {
			return err
		}
		f.confirmed = all
	}
	f.bound = id
	if len(all) > 0 || f.trouble == nil {
		f.confirmation = id // else it may be for what the next listing brings, if that is doubtful
	}
	return nil
}

func nameSet(names ...string) map[string]bool {
	all := make(map[string]bool, len(names))
	for _, name := range names {
		all[name] = true
	}
	return all
}
