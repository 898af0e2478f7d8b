package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
)

// person is the manager of the fields that these commands write: another than the agent's, which therefore never takes
// them back.
const person = client.FieldOwner("berth-cli")

// merge changes fields of an object; nil takes one away.
func (v *viewer) merge(ctx context.Context, object client.Object, fields map[string]any) error {
	patch, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	err = v.Patch(ctx, object, client.RawPatch(types.MergePatchType, patch), person)
	if apierrors.IsForbidden(err) {
		role := "edit"
		if _, ok := object.(*v1alpha1.Repository); ok {
			role = "admin"
		}
		return fmt.Errorf("%w; ask for the role %s in the namespace %s", err, role, v.namespace)
	}
	return explain(err, v.namespace)
}

// request asks for something by an annotation, and returns the id by which the answer can be told.
func (v *viewer) request(ctx context.Context, object client.Object, annotation string) (id string, err error) {
	id = "cli-" + strings.ToLower(rand.Text()[:12])
	return id, v.merge(ctx, object, map[string]any{"metadata": map[string]any{"annotations": map[string]any{annotation: id}}})
}

// setSpec sets one field of a spec, or with nil takes it away.
func (v *viewer) setSpec(ctx context.Context, object client.Object, field string, value any) error {
	return v.merge(ctx, object, map[string]any{"spec": map[string]any{field: value}})
}

// repositoryNamed reads a Repository.
func (v *viewer) repositoryNamed(ctx context.Context, name string) (*v1alpha1.Repository, error) {
	repo := &v1alpha1.Repository{}
	err := v.Get(ctx, v.key(name), repo)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("there is no Repository %q in the namespace %s; berth get repo lists those there are", name, v.namespace)
	}
	return repo, explain(err, v.namespace)
}

// errand is what a person asks of an environment, and the flags of the command for it.
type errand struct {
	which
	followOptions
	noWait bool
}

func (e *errand) addTo(c *cobra.Command) {
	e.which.addTo(c)
	e.followOptions.addTo(c)
	c.Flags().BoolVar(&e.noWait, "no-wait", false, "only ask, and do not wait for what becomes of it")
	c.ValidArgsFunction = e.completeArgs
}

// isRepository says whether a command is about a whole Repository.
func (e *errand) isRepository(args []string) bool {
	return len(args) == 0 && e.branch == "" && e.repository != ""
}

// run finds the environment, asks, and follows what becomes of it.
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

// refuseSuspended says what has to be done before anything is.
func refuseSuspended(env *v1alpha1.Environment) error {
	if env.Spec.Suspend {
		return fmt.Errorf("%s is suspended, and left as it is until somebody says berth resume %s", env.Name, env.Name)
	}
	return nil
}
