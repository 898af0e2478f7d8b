package main

import (
	"context"

	"github.com/spf13/cobra"

	"berth.dev/berth/api/v1alpha1"
)

func newRetry(s streams) *cobra.Command {
	e := &errand{}
	c := &cobra.Command{
		Use:   "retry ENV",
		Short: "Try again what failed: Jobs, refused objects, a commit that was rolled back",
		Long: `Asks the agent to try again what failed in an environment, and shows how that goes until it has
settled. Failed Jobs run again, which they otherwise do only when they change; a commit that was
rolled back is tried once more. Nothing that went well is done again.

Ends with 0 if the environment is healthy, with 1 if it is not or not in time, with 3 if what is
asked is refused.`,
		Example: `  berth retry feature/login
  berth retry posts.production.main --no-wait`,
		Args: atMostOne,
		RunE: func(c *cobra.Command, args []string) error { return e.run(c, s, args, retry) },
	}
	e.addTo(c)
	return c
}

func retry(ctx context.Context, f *follower, env *v1alpha1.Environment) (judgement, error) {
	if err := refuseSuspended(env); err != nil {
		return nil, err
	}
	id, err := f.request(ctx, env, v1alpha1.AnnotationRetry)
	return handled(id, func(s v1alpha1.EnvironmentStatus) string { return s.HandledRetry }), err
}
