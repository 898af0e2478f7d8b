package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
)

func newConfirm(s streams) *cobra.Command {
	e := &errand{}
	c := &cobra.Command{
		Use:   "confirm ENV | confirm --repository NAME",
		Short: "Let deletions pass that the brake holds back",
		Long: `Lets pass what the agent holds back because it would delete much at once: objects of an
environment, the environment itself, or, with --repository alone, environments of a Repository.
What is held back, and why, is in the message that berth get -o wide and berth get repo show. Where
the Repository has been deleted, it is all its environments that are let go. What comes to be held
back later needs another confirmation.

An environment that is being deleted also waits for its Jobs with berth.dev/job: on-removal. Once
one of them has failed, a confirmation deletes the environment without its success.

It counts once, for what that message says when it is given: what a later commit deletes has to be
confirmed again. Without this command, annotate the Environment or Repository with a value that it
has not had yet: kubectl annotate --overwrite env ENV berth.dev/confirmed="$(date)".

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
			f.sayUnless(err, confirmed(env.Name, env.Status.Conditions))
			return nil, err
		})
	}
	f, err := e.follower(c, s, &e.connection)
	if err != nil {
		return err
	}
	return f.confirmRepository(c.Context(), e.repository)
}

// confirmRepository confirms what is held back of a Repository, or of what a deleted one has left behind.
func (f *follower) confirmRepository(ctx context.Context, name string) error {
	repo, err := f.repositoryNamed(ctx, name)
	if err == nil {
		_, err = f.request(ctx, repo, v1alpha1.AnnotationConfirmed)
		f.sayUnless(err, confirmed(repo.Name, repo.Status.Conditions))
		return err
	}
	var left v1alpha1.EnvironmentList
	if other := f.List(ctx, &left, client.InNamespace(f.namespace), client.MatchingLabels{v1alpha1.LabelRepository: name}); other != nil || len(left.Items) == 0 {
		return err // why there is no Repository says more
	}
	for i := range left.Items {
		_, err := f.request(ctx, &left.Items[i], v1alpha1.AnnotationConfirmed)
		if f.sayUnless(err, left.Items[i].Name+": confirmed"); err != nil {
			return err
		}
	}
	return nil
}

// confirmed says what a confirmation is for. Whatever is held back asks for one in a condition's message.
func confirmed(name string, conditions []metav1.Condition) string {
	for _, c := range conditions {
		if strings.Contains(c.Message, "berth confirm") {
			return name + ": confirmed"
		}
	}
	return name + ": nothing is held back now; deletions held later need a new confirmation"
}

// sayUnless says that something was done, unless it was not.
func (f *follower) sayUnless(err error, what string) {
	if err == nil {
		f.progress.say(what)
	}
}
