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
		Short: "Allow deletions that the deletion guard blocks",
		Long: `Allow deletions that the agent blocks because they would delete much at once: objects of an
environment, the environment itself, or, with --repository alone, environments of a Repository.
The messages of berth get -o wide and berth get repo show what is blocked, and why. If the
Repository has been deleted, the confirmation allows the deletion of all its environments.

An environment that is being deleted also waits for its Jobs with berth.dev/job: on-removal. Once
one of them has failed, a confirmation deletes the environment all the same.

A confirmation counts once, for what is blocked when it is given: deletions of a later commit need
another one. Without this command, annotate the Environment or Repository with a new value:
kubectl annotate --overwrite env -n berth ENV berth.dev/confirmed="$(date)".

Exits with 0 once the confirmation is recorded, with 3 if it is refused. It does not wait for the
deletions.`,
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

// confirmRepository confirms the blocked deletions of a Repository, or of the Environments that a deleted one left.
func (f *follower) confirmRepository(ctx context.Context, name string) error {
	repo, err := f.repositoryNamed(ctx, name)
	if err == nil {
		_, err = f.request(ctx, repo, v1alpha1.AnnotationConfirmed)
		f.sayUnless(err, confirmed(repo.Name, repo.Status.Conditions))
		return err
	}
	var left v1alpha1.EnvironmentList
	if other := f.List(ctx, &left, client.InNamespace(f.namespace), client.MatchingLabels{v1alpha1.LabelRepository: name}); other != nil || len(left.Items) == 0 {
		return err // the error of reading the Repository is more helpful
	}
	for i := range left.Items {
		_, err := f.request(ctx, &left.Items[i], v1alpha1.AnnotationConfirmed)
		if f.sayUnless(err, left.Items[i].Name+": confirmed"); err != nil {
			return err
		}
	}
	return nil
}

// confirmed returns what a confirmation did. If something is blocked, a condition's message asks for a confirmation.
func confirmed(name string, conditions []metav1.Condition) string {
	for _, c := range conditions {
		if strings.Contains(c.Message, "berth confirm") {
			return name + ": confirmed"
		}
	}
	return name + ": nothing is held back now; deletions held later need a new confirmation"
}

// sayUnless prints what was done, unless there was an error.
func (f *follower) sayUnless(err error, what string) {
	if err == nil {
		f.progress.say(what)
	}
}
