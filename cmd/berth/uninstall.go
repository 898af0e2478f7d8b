package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/checkup"
	"berth.dev/berth/cmd/internal/installation"
	"berth.dev/berth/cmd/internal/output"
)

// uninstallOptions are the flags of `berth uninstall`.
type uninstallOptions struct {
	connection
	keep, dryRun, yes bool
	timeout           time.Duration
}

func newUninstall(s streams) *cobra.Command {
	o := &uninstallOptions{}
	c := &cobra.Command{
		Use:   "uninstall",
		Short: "Remove Berth from a cluster",
		Long: `Remove Berth from a cluster: its Repositories and Environments, the agent, its namespace with the
Secrets in it, its rights and admission policies, and the CRDs. If the namespace holds objects that
are not Berth's, it stays, and only Berth's objects in it are deleted.

Environments whose onRemoval is Delete, which is the default for patterns, are deleted with
everything in them; the agent does that first, with their Jobs that run on removal. All others keep
running. With --keep, all environments keep running. What keeps running loses the labels,
annotations and finalizers of Berth, and is not restarted. In other clusters it keeps them, because
the command changes nothing there; remove those clusters first: berth cluster remove --help.

If no agent runs, the command deletes the namespaces that Berth created for such environments, and
nothing outside them; no Jobs run. If its Secret berth-installation is lost too, all environments
keep running, because nothing proves what Berth created. Objects that other installations of Berth in the cluster need,
such as the CRDs, stay.

On a terminal the command asks for confirmation; elsewhere it requires --yes. If it was interrupted,
run it again: it continues.

Exits with 0 once Berth is removed, with 1 on a timeout, with 3 if the removal is refused.`,
		Example: `  berth uninstall --dry-run
  berth uninstall
  berth uninstall --keep --yes`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c, s) },
	}
	f := c.Flags()
	o.connection.addTo(f)
	f.BoolVar(&o.keep, "keep", false, "keep all environments running, without Berth's labels")
	f.BoolVar(&o.dryRun, "dry-run", false, "show what would be removed, and remove nothing")
	f.BoolVarP(&o.yes, "yes", "y", false, "do not ask for confirmation")
	f.DurationVar(&o.timeout, "timeout", defaultTimeout, "maximum time to wait")
	return c
}

func (o *uninstallOptions) run(c *cobra.Command, s streams) error {
	if o.timeout <= 0 {
		return usageError(c, "--timeout %s must be more than 0", o.timeout)
	}
	v, err := o.open()
	if err != nil {
		return err
	}
	p := progress{view: newView(s.out)}
	r := &installation.Remover{Client: v, Kubernetes: v.kubernetes, Namespace: v.namespace, Applications: installation.DeleteThem, ServerTime: checkup.ServerTime(v.kubernetes), Progress: p.say}
	if o.keep {
		r.Applications = installation.KeepThem
	}
	survey, err := r.Survey(c.Context())
	if err != nil {
		return o.denied(err)
	}
	switch {
	case survey.Nothing() && len(survey.Others) > 0:
		return fmt.Errorf("the namespace %s has no installation of Berth, but %s has; run berth uninstall -n %s", v.namespace, strings.Join(survey.Others, ", "), survey.Others[0])
	case survey.Nothing():
		_, err := fmt.Fprintln(s.out, "Berth is not installed in this cluster; there is nothing to remove")
		return err
	}
	plan := o.describe(survey)
	if err := r.Check(c.Context(), survey); err != nil {
		return o.denied(fmt.Errorf("nothing was removed: %w", err))
	}
	if o.dryRun {
		_, err := fmt.Fprintln(s.out, plan)
		return err
	}
	if !o.yes {
		if err := ask(c, s, plan); err != nil {
			return err
		}
	}
	return errors.Join(o.remove(c.Context(), s.out, r, survey), p.err)
}

// denied adds the next step to an error of the API server.
func (o *uninstallOptions) denied(err error) error {
	if !apierrors.IsForbidden(err) {
		return explain(err, o.connection.namespace)
	}
	return fmt.Errorf("%w; uninstalling needs the rights of a cluster administrator", err)
}

func (o *uninstallOptions) remove(ctx context.Context, w io.Writer, r *installation.Remover, survey *installation.Survey) error {
	waiting, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	err := r.Remove(waiting, survey)
	switch {
	case err == nil && len(survey.Foreign) > 0:
		_, err = fmt.Fprintf(w, "Berth is removed from the namespace %s. The namespace stays, because it holds objects that are not Berth's: %s\n", r.Namespace, abridged(survey.Foreign))
		return err
	case err == nil:
		_, err = fmt.Fprintf(w, "Berth is removed from the namespace %s\n", r.Namespace)
		return err
	case ctx.Err() != nil:
		return errors.New("interrupted; to continue, run berth uninstall again")
	case errors.Is(err, context.DeadlineExceeded):
		return unhealthy("waited %s: the removal is not complete; run berth uninstall again. If the agent does not work, stop it first: kubectl scale deployment berth -n %s --replicas=0", o.timeout, r.Namespace)
	}
	return fmt.Errorf("%w; to continue, run berth uninstall again", o.denied(err))
}

// describe lists what the command does to an installation.
func (o *uninstallOptions) describe(s *installation.Survey) string {
	lines := []string{fmt.Sprintf("This removes Berth from the namespace %s", o.connection.namespace)}
	say := func(format string, args ...any) { lines = append(lines, "- "+fmt.Sprintf(format, args...)) }
	deleted, kept := s.Deleted(), s.Kept()
	if o.keep || s.Lost() {
		deleted, kept = nil, s.Environments
	}
	if s.Lost() && !o.keep && len(kept) > 0 {
		say("No environment is deleted, because no agent runs and the Secret berth-installation is missing: nothing proves what Berth created")
	}
	if len(deleted) > 0 {
		say("It deletes %s completely, volumes included: %s", output.Count(len(deleted), "environment"), placesOf(deleted))
	}
	if len(deleted) > 0 && s.Dead != "" {
		say("%s. So Jobs that run on removal do not run, and objects outside namespaces that Berth created, and in other clusters, keep running", capital(s.Dead))
	}
	here, there := byCluster(kept)
	if len(here) > 0 {
		say("These keep running, without Berth's labels: %s", placesOf(here))
	}
	if len(there) > 0 {
		say("These keep running in other clusters, and keep Berth's labels: %s", placesOf(there))
	}
	if clusters := s.Clusters(); len(clusters) > 0 {
		say("The agent's accounts, their rights and the admission policies in other clusters stay: %s", abridged(clusters))
	}
	if len(s.Accounts) > 0 {
		say("To remove those too, do it before you uninstall: delete the environments there, and run berth cluster remove %s --context CONTEXT", s.Accounts[0])
	}
	switch {
	case len(s.Foreign) > 0:
		say("The namespace %s stays, because it holds objects that are not Berth's: %s; only Berth's objects in it are deleted, and the Secrets of users stay", o.connection.namespace, abridged(s.Foreign))
	case s.Ours && len(s.Secrets) > 0:
		say("It deletes the namespace %s with %s and the Secrets %s", o.connection.namespace, repositoriesOf(s), abridged(s.Secrets))
	case s.Ours && len(s.Repositories) == 0:
		say("It deletes the namespace %s", o.connection.namespace)
	case s.Ours:
		say("It deletes the namespace %s with %s", o.connection.namespace, repositoriesOf(s))
	case s.Namespace != nil:
		say("The namespace %s stays, because it was not created for Berth; only Berth's objects in it are deleted", o.connection.namespace)
	}
	if n := len(s.Shared) + len(s.Definitions); n > 0 {
		say("It deletes %s outside namespaces: %s", output.Count(n, "object"), abridged(objectsNamed(s)))
	}
	if len(s.Others) > 0 {
		say("Another installation in %s stays, with the objects that all installations share", strings.Join(s.Others, ", "))
	}
	return strings.Join(lines, ".\n") + "."
}

// mostListed is how many names a line lists.
const mostListed = 12

func abridged(names []string) string {
	if len(names) <= mostListed {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:mostListed], ", "), len(names)-mostListed)
}

func placesOf(environments []v1alpha1.Environment) string {
	var names []string
	for _, env := range environments {
		names = append(names, fmt.Sprintf("%s (%s)", env.Name, placeOf(&env)))
	}
	return abridged(names)
}

// placeOf returns where an environment is, for users.
func placeOf(env *v1alpha1.Environment) string {
	if env.Spec.Cluster != "" {
		return "namespace " + env.Spec.Namespace + " in the cluster " + env.Spec.Cluster
	}
	return "namespace " + env.Spec.Namespace
}

// byCluster separates the environments of the agent's own cluster from those of others.
func byCluster(environments []v1alpha1.Environment) (here, there []v1alpha1.Environment) {
	for _, env := range environments {
		if env.Spec.Cluster == "" {
			here = append(here, env)
		} else {
			there = append(there, env)
		}
	}
	return here, there
}

func objectsNamed(s *installation.Survey) (names []string) {
	for _, object := range slices.Concat(s.Definitions, s.Shared) {
		names = append(names, installation.Name(object))
	}
	return names
}

func capital(text string) string {
	return strings.ToUpper(text[:1]) + text[1:]
}

func repositoriesOf(s *installation.Survey) string {
	if len(s.Repositories) == 1 {
		return "1 Repository"
	}
	return fmt.Sprintf("%d Repositories", len(s.Repositories))
}
