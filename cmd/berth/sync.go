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
		Short: "Have a branch listed and brought to the cluster now, and show how that goes",
		Long: `Asks the agent to list the branches of the Repository now instead of at the next poll or webhook,
and to look at the environment, and shows how that goes until it has settled. ENV is the name of
an Environment, or a branch if only one environment has it; a branch that is new, too, if there is
one Repository or --repository names its own. With --repository alone, the branches of that
Repository are listed, and nothing is waited for but that.

Having branches listed takes the role admin in the agent's namespace; with the role edit, the
environment is looked at as the branches were listed last.

Ends with 0 if the environment is healthy, with 1 if it is not or not in time, with 3 if the
branches cannot be listed, or what is asked is refused.`,
		Example: `  berth sync feature/login
  berth sync posts.production.main --timeout 20m
  berth sync feature/new --repository posts
  berth sync --repository posts            have the branches listed`,
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
			f.progress.say(env.Spec.Repository + ": your rights do not reach to have its branches listed now; going on with those that were listed last")
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

// first finds the environment of a branch that was never listed before: in the Repository that is named, or the only
// one that there is.
func (e *errand) first(ctx context.Context, f *follower, args []string, none error) (*v1alpha1.Environment, error) {
	name := e.repository
	if name == "" {
		all := &v1alpha1.RepositoryList{}
		if err := f.List(ctx, all, f.among("")...); err != nil || len(all.Items) == 0 {
			return nil, none
		}
		if name = all.Items[0].Name; len(all.Items) > 1 {
			return nil, fmt.Errorf("%w; for a branch that is new, name its Repository: --repository NAME", none)
		}
	}
	if err := e.list(ctx, f, name); err != nil {
		return nil, err
	}
	return e.environment(ctx, f.viewer, args)
}

// errTooLong ends a listing that takes too long.
var errTooLong = errors.New("too long")

// list has the branches of a Repository listed, and waits for that.
func (e *errand) list(ctx context.Context, f *follower, name string) error {
	repo, err := f.repositoryNamed(ctx, name)
	if err != nil {
		return err
	}
	if repo.Spec.Suspend {
		return fmt.Errorf("the Repository %s is suspended, and its branches are not listed until somebody says berth resume --repository %s", name, name)
	}
	id, err := f.request(ctx, repo, v1alpha1.AnnotationRequested)
	if err != nil || e.noWait {
		return err
	}
	f.progress.say(name + ": having its branches listed")
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
		return unhealthy("waited %s for the branches of the Repository %s to be listed; does the agent run? berth check tells", e.timeout, name)
	case err != nil:
		return err
	case latest == nil:
		return fmt.Errorf("the Repository %s is gone", name)
	}
	return listed(f, latest)
}

// heeded says whether the branches were listed since a request. Another one, of a webhook that a replica passes on for
// instance, may have taken its place before anybody saw it.
func heeded(repo *v1alpha1.Repository, id string) bool {
	handled := repo.Status.HandledRequest
	return handled != "" && (handled == id || handled == repo.Annotations[v1alpha1.AnnotationRequested])
}

// listed says how a listing went. What is wrong with one entry need not concern the environment in question.
func listed(f *follower, repo *v1alpha1.Repository) error {
	switch ready := readyOf(repo.Status.Conditions); ready.Reason {
	case v1alpha1.ReasonWatching, v1alpha1.ReasonInvalid, v1alpha1.ReasonWaiting:
		f.progress.say(fmt.Sprintf("%s: %s", repo.Name, ready.Message))
		return f.progress.err
	default:
		return fmt.Errorf("the branches of the Repository %s cannot be listed: %s: %s", repo.Name, ready.Reason, ready.Message)
	}
}
