package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
)

// deletion is a `berth delete`.
type deletion struct {
	errand
	yes bool
}

func newDelete(s streams) *cobra.Command {
	d := &deletion{}
	c := &cobra.Command{
		Use:   "delete ENV",
		Short: "Delete a preview and everything in it",
		Long: `Delete an environment of an entry with patterns: its namespace, if Berth created it, and its
objects elsewhere. The agent does this by itself once the branch has been gone for spec.goneAfter;
this command does it now. If the branch still exists, the agent then re-creates the environment from
nothing.

An environment whose onRemoval is Orphan, which is the default for entries that name their branch,
is refused: deleting it would leave everything running.

On a terminal it asks for confirmation; elsewhere it requires --yes. It needs the role edit in the
agent's namespace.

Exits with 0 once the environment is gone, with 1 on a timeout, with 3 if the deletion is refused.`,
		Example: `  berth delete posts.review.feature-login
  berth delete feature/login --yes`,
		Args: atMostOne,
		RunE: func(c *cobra.Command, args []string) error { return d.run(c, s, args) },
	}
	d.which.addTo(c)
	c.ValidArgsFunction = d.completeArgs
	c.Flags().DurationVar(&d.timeout, "timeout", defaultTimeout, "maximum time to wait")
	c.Flags().BoolVar(&d.noWait, "no-wait", false, "do not wait until the environment is gone")
	c.Flags().BoolVarP(&d.yes, "yes", "y", false, "do not ask for confirmation")
	return c
}

func (d *deletion) run(c *cobra.Command, s streams, args []string) error {
	if err := d.needed(c, args); err != nil {
		return err
	}
	f, err := d.follower(c, s, &d.connection)
	if err != nil {
		return err
	}
	env, err := d.environment(c.Context(), f.viewer, args)
	if err != nil {
		return err
	}
	if err := refuseOrphan(env); err != nil {
		return err
	}
	if !d.yes {
		if err := ask(c, s, consequence(env)); err != nil {
			return err
		}
	}
	return d.delete(c.Context(), f, env)
}

// refuseOrphan returns an error if deleting the Environment would leave its objects running.
func refuseOrphan(env *v1alpha1.Environment) error {
	if env.Spec.OnRemoval != v1alpha1.RemovalOrphan {
		return nil
	}
	return fmt.Errorf("%s: its onRemoval is Orphan, so deleting it would leave everything in %s running; to delete that, set onRemoval: Delete in entry %s of the Repository %s, then run: berth delete %s",
		env.Name, env.Spec.Namespace, env.Spec.Entry, env.Spec.Repository, env.Name)
}

// consequence describes what a deletion does.
func consequence(env *v1alpha1.Environment) string {
	after := "Its branch " + env.Spec.Branch + " still exists, so the environment is then created again, from nothing."
	if meta.IsStatusConditionTrue(env.Status.Conditions, v1alpha1.ConditionBranchGone) {
		after = "Its branch " + env.Spec.Branch + " is gone."
	}
	return fmt.Sprintf("This deletes %s with everything in it, volumes included: %s. %s", env.Name, placeOf(env), after)
}

// ask asks the user on the terminal to confirm.
func ask(c *cobra.Command, s streams, what string) error {
	terminal, ok := s.in.(interface{ Fd() uintptr })
	if !ok || !term.IsTerminal(int(terminal.Fd())) {
		return usageError(c, "%s To do so without a terminal, add --yes", what)
	}
	fmt.Fprintf(s.err, "%s\nContinue? [y/N] ", what)
	answer, err := bufio.NewReader(s.in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return errors.New("nothing was deleted")
	}
	return nil
}

// delete first confirms the deletion of this one Environment, because the deletion guard could block it.
func (d *deletion) delete(ctx context.Context, f *follower, env *v1alpha1.Environment) error {
	if _, err := f.request(ctx, env, v1alpha1.AnnotationConfirmed); err != nil {
		return err
	}
	uid := env.UID
	err := f.Delete(ctx, env, client.Preconditions{UID: &uid})
	if apierrors.IsForbidden(err) {
		return fmt.Errorf("%w; ask for the role edit in the namespace %s", err, f.namespace)
	}
	if client.IgnoreNotFound(err) != nil {
		return explain(err, f.namespace)
	}
	if d.noWait {
		f.progress.say(env.Name + ": asked")
		return f.progress.err
	}
	f.progress.say(env.Name + ": deleting")
	waiting, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	latest := env
	err = f.attend(waiting, &environmentKind, append(f.among(""), named(env.Name)...), func(all []client.Object) bool {
		if len(all) == 0 || all[0].GetUID() != uid {
			return true
		}
		latest = all[0].(*v1alpha1.Environment)
		f.progress.environment(latest, verdict{stage: going})
		return false
	})
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted; the agent goes on")
	case errors.Is(err, context.DeadlineExceeded):
		return unhealthy("waited %s for %s to be gone: %s; berth describe %s shows more", d.timeout, env.Name, reasonOf(latest, verdict{}), env.Name)
	case err != nil:
		return err
	}
	f.progress.say(env.Name + ": deleted")
	return f.progress.err
}
