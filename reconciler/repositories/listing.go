package repositories

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/branches"
	"berth.dev/berth/reconciler/control"
	"berth.dev/berth/source"
)

// errDoubtful reports that the URL may point to a different repository.
type errDoubtful struct{ repository string }

func (e *errDoubtful) Error() string {
	return fmt.Sprintf("none of the known commits exist any more; the URL may point to a different repository; nothing is changed; if that is intended: berth confirm --repository %s",
		e.repository)
}

// list lists all branches and fetches the commits that moved. If that fails, the last listing stays in use.
func (r *Controller) list(ctx context.Context, repo *v1alpha1.Repository, f *followed) {
	if f.trouble != nil || !f.listed {
		defer r.requeueAll(ctx, repo)
	}
	began, before := r.Now(), f.listing.Heads
	f.trouble = r.tryToList(ctx, repo, f)
	ended, reason := r.Now(), ""
	if f.trouble != nil {
		reason = reasonOf(f.trouble)
	}
	if !maps.Equal(before, f.listing.Heads) {
		r.Stores.Arrived(repo.Name, f.listing.Heads, ended.Sub(began))
	}
	r.Listed(repo.Name, reason, ended, ended.Sub(began))
	r.retryHook(repo, f)
}

func (r *Controller) tryToList(ctx context.Context, repo *v1alpha1.Repository, f *followed) error {
	store, err := r.open(ctx, repo, f)
	if err != nil {
		return err
	}
	have, err := control.Environments(ctx, r.Client, client.ObjectKeyFromObject(repo))
	if err != nil {
		return err
	}
	if f.onlyPolled && f.spare.saves(r.Now()) {
		if f.spare.literals {
			_ = r.followLiterals(ctx, repo, store, f) // the error of the whole listing is reported
		}
		return f.trouble
	}
	interest := branches.NewInterest(repo, have)
	listing, err := store.List(ctx, interest.Keep)
	if source.ReasonOf(err) == source.TooLarge {
		// A user who pushes too many branches must not block those that entries name.
		also := r.followLiterals(ctx, repo, store, f)
		f.spare = f.spare.after(err, also, r.Now())
		if also != nil {
			return fmt.Errorf("%w; nor those that entries name: %w", err, also)
		}
		return err
	}
	f.spare = spare{} // any other answer is asked for at every poll
	if err != nil {
		return err
	}
	if known := branches.KnownCommits(f.listing, have); branches.Doubtful(have, known, listing) && !confirmed(repo) && !r.Stores.Continues(ctx, repo, known) {
		return &errDoubtful{repository: repo.Name}
	}
	wanted := branches.Want(repo, listing.Heads)
	err = r.fetch(ctx, repo, store, wanted.Commits())
	if source.ReasonOf(err) == source.Full {
		r.renew(ctx, repo.Name, slices.Concat(wanted.Commits(), needed(have)), r.Stores.Renew)
		err = r.fetch(ctx, repo, store, wanted.Commits())
	}
	if source.ReasonOf(err) == source.Unreachable {
		return err // other errors concern single commits, and their environments report them
	}
	if f.lacking && err == nil {
		defer r.requeueAll(ctx, repo)
	}
	f.lacking = err != nil
	if !maps.Equal(listing.Heads, f.listing.Heads) {
		r.renew(ctx, repo.Name, slices.Concat(wanted.Commits(), needed(have)), r.Stores.RenewIfGrown)
	}
	r.compareHooks(repo, f, listing.Heads)
	f.listing, f.listed, f.leftOut = listing, true, interest.LeftOut
	branches.Notice(f.absent, have, listing, r.Now())
	if source.ReasonOf(err) == source.Full {
		return err // users other than the commit's author can fix it
	}
	return nil
}

// followLiterals updates the branches that entries name after a whole listing failed. It proves nothing about other
// branches, and never that one is gone.
func (r *Controller) followLiterals(ctx context.Context, repo *v1alpha1.Repository, store *source.Repository, f *followed) error {
	named := branches.Literals(repo)
	if len(named) == 0 {
		return nil
	}
	some, err := store.ListOnly(ctx, named)
	if err != nil {
		return err
	}
	listing := f.listing
	listing.Heads = maps.Clone(f.listing.Heads)
	if listing.Heads == nil {
		listing.Heads = map[string]string{}
	}
	maps.Copy(listing.Heads, some.Heads)
	if err := r.fetch(ctx, repo, store, branches.Want(repo, some.Heads).Commits()); source.ReasonOf(err) == source.Unreachable {
		return err
	}
	f.listing, f.listed = listing, true
	return nil
}

// open opens the store of a Repository. It requeues its Environments once they can be read.
func (r *Controller) open(ctx context.Context, repo *v1alpha1.Repository, f *followed) (*source.Repository, error) {
	store, key, err := r.Stores.Open(ctx, repo)
	if err == nil && key != f.store {
		r.requeueAll(ctx, repo)
	}
	f.store = key
	return store, err
}

// needed returns the commits that a renewal of the store must keep, besides the heads.
func needed(have []v1alpha1.Environment) []string {
	var commits []string
	for _, env := range have {
		for _, commit := range []string{env.Spec.Commit, env.Spec.Pin, env.Status.AppliedCommit, env.Status.HealthyCommit} {
			if commit != "" {
				commits = append(commits, commit)
			}
		}
	}
	slices.Sort(commits)
	return slices.Compact(commits)
}

// renewal is a method of stores.Set that renews a store.
type renewal func(ctx context.Context, repository string, keep []string) (bool, error)

// renew renews the store of a Repository. If that fails, the old content stays in use.
func (r *Controller) renew(ctx context.Context, repository string, keep []string, how renewal) {
	renewed, err := how(ctx, repository, keep)
	switch {
	case err != nil && !errors.Is(err, context.Canceled):
		r.Log.Warn("cannot renew the store of a repository", "repository", repository, "error", err)
	case renewed:
		r.Log.Info("renewed the store of a repository", "repository", repository)
	}
}

// requeueAll requeues all Environments of a Repository, which had to wait for its store.
func (r *Controller) requeueAll(ctx context.Context, repo *v1alpha1.Repository) {
	have, err := control.Environments(ctx, r.Client, client.ObjectKeyFromObject(repo))
	if err != nil {
		return // the cache answers, and cannot fail
	}
	for i := range have {
		r.Requeue(client.ObjectKeyFromObject(&have[i]))
	}
}
