package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
)

func newSync(s streams) *cobra.Command {
	e := &errand{}
	c := &cobra.Command{
		Use:   "sync ENV",
		Short: "Sync a branch now, and follow its progress",
		Long: `Ask the agent to list the branches of the Repository now, instead of at the next poll or webhook,
and to reconcile the environment, and follow the progress until there is a result. ENV is the name of
an Environment, or a branch that only one environment has. It may be a new branch if there is only
one Repository, or --repository names one. With --repository alone, the command waits only until the
branches of that Repository are listed.

Listing branches requires the role admin in the agent's namespace. With the role edit, the agent
reconciles the environment with the last listing.

Exits with 0 if the environment becomes healthy, with 1 if it does not, or not in time, with 3 if the
branches cannot be listed or the request is refused.`,
		Example: `  berth sync feature/login
  berth sync posts.production.main --timeout 20m
  berth sync feature/new --repository posts
  berth sync --repository posts            only list the branches`,
		Args: atMostOne,
		RunE: func(c *cobra.Command, args []string) error { return e.sync(c, s, args) },
	}
	e.addTo(c)
	return c
}

func (e *errand) sync(c *cobra.Command, s streams, args []string) error {
	if e.repository == "" {
		if err := e.needed(c, args); err != nil {
			return err
		}
	}
	f, err := e.follower(c, s, &e.connection)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(c.Context(), e.timeout, errTooLong)
	defer cancel()
	if e.isRepository(args) {
		return e.list(ctx, f, e.repository)
	}
	env, err := e.environment(ctx, f.viewer, args)
	none, isNone := errors.AsType[*noneError](err)
	switch {
	case err == nil && env.Spec.Suspend:
		return refuseSuspended(env)
	case err == nil:
		if err = e.list(ctx, f, env.Spec.Repository); apierrors.IsForbidden(err) {
			f.progress.say(env.Spec.Repository + ": you are not allowed to trigger a listing; using the last one")
			err = nil
		}
	case isNone:
		env, err = e.first(ctx, f, args, none)
	}
	if err != nil {
		return err
	}
	return e.ask(c.Context(), f, env, func(ctx context.Context, f *follower, env *v1alpha1.Environment) (judgement, error) {
		id, err := f.request(ctx, env, v1alpha1.AnnotationRequested)
		return handled(id, func(s v1alpha1.EnvironmentStatus) string { return s.HandledRequest }), err
	})
}

// first finds the environment of a branch that was never listed before, in the named Repository or the only one.
func (e *errand) first(ctx context.Context, f *follower, args []string, none error) (*v1alpha1.Environment, error) {
	name := e.repository
	if name == "" {
		all := &v1alpha1.RepositoryList{}
		if err := f.List(ctx, all, f.among("")...); err != nil || len(all.Items) == 0 {
			return nil, none
		}
		if name = all.Items[0].Name; len(all.Items) > 1 {
			return nil, fmt.Errorf("%w; for a new branch, name its Repository with --repository", none)
		}
	}
	if err := e.list(ctx, f, name); err != nil {
		return nil, err
	}
	return e.environment(ctx, f.viewer, args)
}

// errTooLong ends a listing that takes too long.
var errTooLong = errors.New("too long")

// list requests a listing of the branches of a Repository, and waits for it.
func (e *errand) list(ctx context.Context, f *follower, name string) error {
	repo, err := f.repositoryNamed(ctx, name)
	if err != nil {
		return err
	}
	if repo.Spec.Suspend {
		return fmt.Errorf("the Repository %s is suspended, and its branches are not listed; to go on: berth resume --repository %s", name, name)
	}
	id, err := f.request(ctx, repo, v1alpha1.AnnotationRequested)
	if err != nil || e.noWait {
		return err
	}
	f.progress.say(name + ": listing its branches")
	var latest *v1alpha1.Repository
	err = f.attend(ctx, &repositoryKind, append(f.among(""), named(name)...), func(all []client.Object) bool {
		if len(all) == 0 {
			latest = nil
			return true
		}
		latest = all[0].(*v1alpha1.Repository)
		return heeded(latest, id) || latest.Spec.Suspend
	})
	switch {
	case errors.Is(err, errTooLong):
		return unhealthy("waited %s for the branches of the Repository %s to be listed; to find out whether the agent runs: berth check", e.timeout, name)
	case err != nil:
		return err
	case latest == nil:
		return fmt.Errorf("the Repository %s is gone", name)
	}
	return listed(f, latest)
}

// heeded reports whether the branches were listed since a request. A later request, such as one that a replica relays
// from a webhook, may have replaced it before the agent saw it.
func heeded(repo *v1alpha1.Repository, id string) bool {
	handled := repo.Status.HandledRequest
	return handled != "" && (handled == id || handled == repo.Annotations[v1alpha1.AnnotationRequested])
}

// listed prints the result of a listing, or returns its error. An invalid entry is no error, because it may be that of
// another environment.
func listed(f *follower, repo *v1alpha1.Repository) error {
	switch ready := readyOf(repo.Status.Conditions); ready.Reason {
	case v1alpha1.ReasonWatching, v1alpha1.ReasonInvalid, v1alpha1.ReasonWaiting:
		f.progress.say(fmt.Sprintf("%s: %s", repo.Name, ready.Message))
		return f.progress.err
	default:
		return fmt.Errorf("the branches of the Repository %s cannot be listed: %s: %s", repo.Name, ready.Reason, ready.Message)
	}
}
