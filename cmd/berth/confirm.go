package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/inspect"
	"berth.dev/berth/reconciler/branches"
)

func newConfirm(s streams) *cobra.Command {
	e := &errand{}
	gone := ""
	c := &cobra.Command{
		Use:   "confirm ENV | confirm --repository NAME | confirm --cluster NAME",
		Short: "Allow deletions that the deletion guard blocks",
		Long: `Allow deletions that the agent blocks because they would delete much at once: objects of an
environment, the environment itself, or, with --repository alone, environments of a Repository.
berth describe ENV and berth get repo show what is blocked, and why. If the Repository has been
deleted, the confirmation allows the deletion of all its environments.

An environment that is being deleted also waits for its Jobs with berth.dev/job: on-removal. Once
one of them has failed, a confirmation deletes the environment all the same.

An environment that is being deleted in another cluster waits until that cluster can be reached. If
the cluster is gone for good, a confirmation deletes the Environment without it: of one environment,
or with --cluster of all that wait for that cluster. What still runs there stays.

A confirmation counts once, for what is blocked when it is given: deletions of a later commit need
another one. Without this command, annotate the Environment or Repository with a new value:
kubectl annotate --overwrite env -n berth ENV berth.dev/confirmed="$(date)".

Exits with 0 once the confirmation is recorded, with 3 if it is refused. It does not wait for the
deletions.`,
		Example: `  berth confirm posts.production.main
  berth confirm --repository posts
  berth confirm --cluster staging`,
		Args: atMostOne,
		RunE: func(c *cobra.Command, args []string) error {
			if c.Flags().Changed("cluster") {
				return e.leaveBehind(c, s, args, gone)
			}
			return e.confirm(c, s, args)
		},
	}
	e.which.addTo(c)
	c.Flags().StringVar(&gone, "cluster", "", "cluster that is gone for good: delete the Environments that wait for it")
	must(c.RegisterFlagCompletionFunc("cluster", e.complete(clusterOf)))
	c.ValidArgsFunction = e.completeArgs
	e.followOptions = followOptions{timeout: defaultTimeout}
	return c
}

func (e *errand) confirm(c *cobra.Command, s streams, args []string) error {
	if !e.isRepository(args) {
		return e.run(c, s, args, func(ctx context.Context, f *follower, env *v1alpha1.Environment) (judgement, error) {
			_, err := f.request(ctx, env, v1alpha1.AnnotationConfirmed)
			said := confirmed(env.Name, env.Status.Conditions)
			if names := inspect.Blocked(env.Status.BlockedDeletions); len(names) > 0 {
				said += ", the deletion of " + strings.Join(names, ", ")
			}
			f.sayUnless(err, said)
			return nil, err
		})
	}
	f, err := e.follower(c, s, &e.connection)
	if err != nil {
		return err
	}
	return f.confirmRepository(c.Context(), e.repository)
}

// leaveBehind confirms the deletion of the Environments that wait for a cluster.
func (e *errand) leaveBehind(c *cobra.Command, s streams, args []string, cluster string) error {
	switch {
	case len(args) > 0 || e.branch != "" || e.repository != "" || e.entry != "":
		return usageError(c, "--cluster is about all environments of a cluster that wait for it; leave out either that or the environment")
	case cluster == "":
		return usageError(c, "name the cluster: --cluster NAME; berth cluster list lists them")
	}
	f, err := e.follower(c, s, &e.connection)
	if err != nil {
		return err
	}
	list, err := f.environments(c.Context())
	if err != nil {
		return err
	}
	waiting := slices.DeleteFunc(list.Items, func(env v1alpha1.Environment) bool {
		return env.Spec.Cluster != cluster || env.DeletionTimestamp.IsZero() || !branches.Asks(&env, branches.LeaveBehind(&env))
	})
	for i := range waiting {
		_, err := f.request(c.Context(), &waiting[i], v1alpha1.AnnotationConfirmed)
		if f.sayUnless(err, waiting[i].Name+": confirmed; what runs in the cluster "+cluster+" stays"); err != nil {
			return err
		}
	}
	if len(waiting) == 0 {
		f.progress.say("no environment in the cluster " + cluster + " waits to be deleted without it; berth get --cluster " + cluster + " -o wide shows what is there")
	}
	return nil
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
