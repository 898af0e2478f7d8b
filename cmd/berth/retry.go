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
		Short: "Retry what failed: Jobs, refused objects, a commit that was rolled back",
		Long: `Ask the agent to retry what failed in an environment, and follow the progress until there is a
result. Failed Jobs run again, which otherwise happens only when they change. A commit that was
rolled back is applied once more. What succeeded is not repeated.

Exits with 0 if the environment becomes healthy, with 1 if it does not, or not in time, with 3 if the
request is refused.`,
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
