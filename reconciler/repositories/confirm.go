package repositories

import (
	"context"
	"maps"
	"slices"

	"berth.dev/berth/api/v1alpha1"
)

// confirm tears down the Environments that a new confirmation covers: those in status.held, and those due to expire. It
// stores them first, before any other action. Environments that are blocked later need a new confirmation.
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
		f.confirmation = id // otherwise it may cover what the next listing brings, if that is doubtful
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
