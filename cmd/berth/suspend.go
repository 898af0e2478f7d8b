package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
)

func newSuspend(s streams) *cobra.Command {
	e := &errand{}
	c := &cobra.Command{
		Use:   "suspend ENV | suspend --repository NAME",
		Short: "Suspend an environment: no syncs, no correction of drift",
		Long: `Suspend an environment: the agent changes nothing in it, and corrects no drift, until you run berth resume.
With --repository alone, the agent no longer lists the branches of that Repository. Its environments
stay at their commits, and are still corrected.

Exits with 0 once the agent has seen it, with 1 on a timeout, with 3 if the request is refused.`,
		Example: `  berth suspend posts.production.main
  berth suspend --repository posts`,
		Args: atMostOne,
		RunE: func(c *cobra.Command, args []string) error { return e.setSuspended(c, s, args, true) },
	}
	e.addTo(c)
	return c
}

func newResume(s streams) *cobra.Command {
	e := &errand{}
	c := &cobra.Command{
		Use:   "resume ENV | resume --repository NAME",
		Short: "Resume a suspended environment, and follow its progress",
		Long: `Resume a suspended environment, and follow the progress until there is a result. With --repository
alone, the agent lists the branches of that Repository again.

Exits with 0 if the environment becomes healthy, with 1 if it does not, or not in time, with 3 if the
request is refused.`,
		Example: `  berth resume posts.production.main
  berth resume --repository posts`,
		Args: atMostOne,
		RunE: func(c *cobra.Command, args []string) error { return e.setSuspended(c, s, args, nil) },
	}
	e.addTo(c)
	return c
}

// setSuspended sets spec.suspend, or removes it if the value is nil.
func (e *errand) setSuspended(c *cobra.Command, s streams, args []string, value any) error {
	if e.isRepository(args) {
		f, err := e.follower(c, s, &e.connection)
		if err != nil {
			return err
		}
		return e.suspendRepository(c.Context(), f, value)
	}
	return e.run(c, s, args, func(ctx context.Context, f *follower, env *v1alpha1.Environment) (judgement, error) {
		if err := f.setSpec(ctx, env, "suspend", value); err != nil {
			return nil, err
		}
		if value == nil {
			return generationSeen(env.Generation), nil
		}
		return stopped(env.Generation), nil
	})
}

// stopped returns a judgement that is good once the agent has seen that an Environment is suspended.
func stopped(generation int64) judgement {
	return func(env *v1alpha1.Environment) verdict {
		if v := generationSeen(generation)(env); v.stage == stale || env.DeletionTimestamp != nil {
			return v
		}
		return verdict{stage: good}
	}
}

func (e *errand) suspendRepository(ctx context.Context, f *follower, value any) error {
	repo, err := f.repositoryNamed(ctx, e.repository)
	if err != nil {
		return err
	}
	if err := f.setSpec(ctx, repo, "suspend", value); err != nil || e.noWait {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	err = f.attend(waiting, &repositoryKind, append(f.among(""), named(repo.Name)...), func(all []client.Object) bool {
		if len(all) == 0 {
			return true
		}
		now := all[0].(*v1alpha1.Repository)
		ready := readyOf(now.Status.Conditions)
		seen := now.Status.ObservedGeneration >= repo.Generation
		if seen {
			f.progress.say(fmt.Sprintf("%s: %s: %s", now.Name, ready.Reason, ready.Message))
		}
		return seen
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return unhealthy("waited %s for the agent to see it; to find out whether the agent runs: berth check", e.timeout)
	}
	return errors.Join(err, f.progress.err)
}
