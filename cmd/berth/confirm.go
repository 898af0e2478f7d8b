package main

import (
	"context"

	"github.com/spf13/cobra"

	"berth.dev/berth/api/v1alpha1"
)

func newConfirm(s streams) *cobra.Command {
	e := &errand{}
	c := &cobra.Command{
		Use:   "confirm ENV | confirm --repository NAME",
		Short: "Let deletions pass that the brake holds back",
		Long: `Lets pass what the agent holds back because it would delete much at once: objects of an
environment, the environment itself, or, with --repository alone, environments of a Repository.
What is held back, and why, is in the message that berth get -o wide and berth get repo show.

Ends with 0 once that is noted, with 3 if what is asked is refused. It does not wait for the deletions.`,
		Example: `  berth confirm posts.production.main
  berth confirm --repository posts`,
		Args: atMostOne,
		RunE: func(c *cobra.Command, args []string) error { return e.confirm(c, s, args) },
	}
	e.which.addTo(c)
	c.ValidArgsFunction = e.completeArgs
	e.followOptions = followOptions{timeout: defaultTimeout}
	return c
}

func (e *errand) confirm(c *cobra.Command, s streams, args []string) error {
	if !e.isRepository(args) {
		return e.run(c, s, args, func(ctx context.Context, f *follower, env *v1alpha1.Environment) (judgement, error) {
			_, err := f.request(ctx, env, v1alpha1.AnnotationConfirmed)
			f.sayUnless(err, env.Name+": confirmed")
			return nil, err
		})
	}
	f, err := e.follower(c, s, &e.connection)
	if err != nil {
		return err
	}
	repo, err := f.repositoryNamed(c.Context(), e.repository)
	if err != nil {
		return err
	}
	_, err = f.request(c.Context(), repo, v1alpha1.AnnotationConfirmed)
	f.sayUnless(err, repo.Name+": confirmed")
	return err
}

// sayUnless says that something was done, unless it was not.
func (f *follower) sayUnless(err error, what string) {
	if err == nil {
		f.progress.say(what)
	}
}
