package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/acting"
)

// actor returns who writes for the user.
func (v *viewer) actor() acting.Actor {
	return acting.Actor{Client: v, Name: "berth-cli", User: acting.Self(v.kubernetes.AuthenticationV1().SelfSubjectReviews())}
}

// request requests something by an annotation, and returns the id that the status shows once it is handled.
func (v *viewer) request(ctx context.Context, object client.Object, annotation string) (id string, err error) {
	id, err = v.actor().Request(ctx, object, annotation)
	return id, v.refused(object, err)
}

// setSpec sets one field of a spec, or removes it if the value is nil.
func (v *viewer) setSpec(ctx context.Context, object client.Object, field string, value any) error {
	return v.refused(object, v.actor().Set(ctx, object, field, value))
}

// refused adds the role that a user lacks to the error of a write.
func (v *viewer) refused(object client.Object, err error) error {
	if !apierrors.IsForbidden(err) {
		return explain(err, v.namespace)
	}
	role := "edit"
	if _, ok := object.(*v1alpha1.Repository); ok {
		role = "admin"
	}
	return fmt.Errorf("%w; ask for the role %s in the namespace %s", err, role, v.namespace)
}

// repositoryNamed reads a Repository.
func (v *viewer) repositoryNamed(ctx context.Context, name string) (*v1alpha1.Repository, error) {
	repo := &v1alpha1.Repository{}
	err := v.Get(ctx, v.key(name), repo)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("there is no Repository %q in the namespace %s; berth get repo lists them", name, v.namespace)
	}
	return repo, explain(err, v.namespace)
}

// errand is a user's request about an environment, and the flags of its command.
type errand struct {
	which
	followOptions
	noWait bool
}

func (e *errand) addTo(c *cobra.Command) {
	e.which.addTo(c)
	e.followOptions.addTo(c)
	c.Flags().BoolVar(&e.noWait, "no-wait", false, "do not wait for the result")
	c.ValidArgsFunction = e.completeArgs
}

// isRepository reports whether a command is about a whole Repository.
func (e *errand) isRepository(args []string) bool {
	return len(args) == 0 && e.branch == "" && e.repository != ""
}

// run finds the environment, sends the request, and follows its progress.
func (e *errand) run(c *cobra.Command, s streams, args []string, ask func(context.Context, *follower, *v1alpha1.Environment) (judgement, error)) error {
	if err := e.needed(c, args); err != nil {
		return err
	}
	f, err := e.follower(c, s, &e.connection)
	if err != nil {
		return err
	}
	env, err := e.environment(c.Context(), f.viewer, args)
	if err != nil {
		return err
	}
	return e.ask(c.Context(), f, env, ask)
}

func (e *errand) ask(ctx context.Context, f *follower, env *v1alpha1.Environment, ask func(context.Context, *follower, *v1alpha1.Environment) (judgement, error)) error {
	judge, err := ask(ctx, f, env)
	switch {
	case err != nil:
		return err
	case judge == nil:
		return f.conclude(env, verdict{stage: good})
	case e.noWait:
		f.progress.say(env.Name + ": asked")
		return f.conclude(env, verdict{stage: good})
	}
	return f.one(ctx, env, judge)
}

// refuseSuspended returns an error if the environment is suspended, because the agent would ignore requests.
func refuseSuspended(env *v1alpha1.Environment) error {
	if env.Spec.Suspend {
		return fmt.Errorf("%s is suspended, and nothing in it changes; to go on: berth resume %s", env.Name, env.Name)
	}
	return nil
}
