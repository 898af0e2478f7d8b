package main

import (
	"cmp"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"

	"berth.dev/berth/cmd/internal/installation"
	"berth.dev/berth/cmd/internal/membership"
	"berth.dev/berth/cmd/internal/output"
)

// clusterAddOptions are the flags of `berth cluster add`.
type clusterAddOptions struct {
	pair
	expires               time.Duration
	dryRun, export, force bool
	output                string
}

// The validity of tokens. The API server issues none that ends earlier than shortest.
const (
	aYear    = 365 * 24 * time.Hour
	shortest = 10 * time.Minute
)

func newClusterAdd(s streams) *cobra.Command {
	o := &clusterAddOptions{}
	c := &cobra.Command{
		Use:   "add NAME",
		Short: "Let the agent run environments in another cluster",
		Long: `Add a cluster to an installation. Entries of Repositories then select it by its name:

  cluster: {secretRef: {name: NAME}}

In the other cluster, which --context selects, the command creates a namespace with an account for
the agent, the roles of that account and the admission policies that limit it. These are the rights
that an agent installed there would have outside its own namespace; the account can read no Secrets
and write no workloads, but it can impersonate the accounts of environments. Then the command
requests a token of the account, and writes it into a Secret NAME in the agent's namespace, which
--home-context and -n select. Last it ends all earlier tokens.

Run it again to replace the token before it expires, or to update the rights after an upgrade of
berth; environments keep running. You need the rights of an administrator in both clusters. If one
step is refused, the command stops, and can be repeated.

The token is valid for as long as --expires says, or as the cluster allows, if that is shorter: the
command prints the date. The agent and berth check report it a week ahead. With --expires 0 the token
ends only when it is replaced or removed: for clusters that allow a day or less.`,
		Example: `  berth cluster add staging --context staging
  berth cluster add staging --kubeconfig staging.yaml --server https://10.0.0.1:6443
  berth cluster add staging --context staging --dry-run
  berth cluster add staging --export > account.yaml       print the objects for the other cluster`,
		Args: oneName("cluster add"),
		RunE: func(c *cobra.Command, args []string) error { return o.run(c, s, args[0]) },
	}
	f := c.Flags()
	o.pair.addTo(f)
	f.StringVar(&o.server, "server", "", "address of the API server as the agent reaches it (default: that of the kubeconfig)")
	f.StringVar(&o.serverName, "tls-server-name", "", "name in the certificate of --server, if it differs from the address")
	f.DurationVar(&o.expires, "expires", aYear, "how long the token is valid; 0 is until it is replaced or removed")
	f.BoolVar(&o.dryRun, "dry-run", false, "show what would change, as both API servers see it, and change nothing")
	f.BoolVar(&o.export, "export", false, "print the objects for the other cluster as YAML, without a cluster, and create no token")
	f.BoolVar(&o.force, "force-conflicts", false, "overwrite fields that other clients set")
	addOutput(c, &o.output, "json or yaml", output.JSON, output.YAML)
	must(c.RegisterFlagCompletionFunc("context", completeContexts(&o.there)))
	must(c.RegisterFlagCompletionFunc("home-context", completeContexts(&o.home)))
	c.ValidArgsFunction = cobra.NoFileCompletions
	return c
}

// oneName accepts exactly one argument, the name of a cluster.
func oneName(command string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return fmt.Errorf("name the cluster: berth %s NAME --context CONTEXT", command)
		case len(args) > 1:
			return fmt.Errorf("%q is one argument too many: one cluster at a time", args[1])
		}
		if wrong := validation.IsDNS1123Subdomain(args[0]); len(wrong) > 0 {
			return fmt.Errorf("%q is no name of a Secret: %s", args[0], wrong[0])
		}
		return nil
	}
}

func (o *clusterAddOptions) run(c *cobra.Command, s streams, name string) error {
	format, err := o.check(c)
	if err != nil {
		return err
	}
	if o.export {
		objects, err := installation.AccountObjects(cmp.Or(o.clusterNamespace, o.home.namespace))
		if err != nil {
			return err
		}
		return export(s.out, objects)
	}
	home, there, err := o.open()
	if err != nil {
		return err
	}
	show := func(step membership.Step) {
		if format == formatTable {
			fmt.Fprintf(s.out, "%s: %s %s\n", step.Cluster, step.Action, step.Object)
		}
	}
	a := &membership.Addition{Home: home, There: there, Name: name, Validity: o.expires, Conflicts: installation.Refuse, Progress: show, Now: time.Now}
	if o.force {
		a.Conflicts = installation.Force
	}
	steps, err := a.Plan(c.Context())
	switch {
	case err != nil:
		return fmt.Errorf("nothing was changed: %w", err)
	case o.dryRun && format != formatTable:
		return format.Write(s.out, map[string]any{"name": name, "steps": steps})
	case o.dryRun:
		return writeClusterSteps(s.out, steps)
	}
	result, err := a.Apply(c.Context())
	if err != nil {
		return fmt.Errorf("%w; to continue, run berth cluster add %s again", err, name)
	}
	if format != formatTable {
		return format.Write(s.out, result)
	}
	return o.conclude(s.out, result)
}

func (o *clusterAddOptions) check(c *cobra.Command) (output.Format, error) {
	switch {
	case o.dryRun && o.export:
		return "", usageError(c, "--dry-run asks the clusters, and --export needs none: choose one")
	case o.export && o.output != "":
		return "", usageError(c, "--export prints YAML for kubectl apply: leave -o out")
	case o.expires != 0 && o.expires < shortest:
		return "", usageError(c, "--expires %s is too short: a token is valid for at least %s", o.expires, shortest)
	case o.serverName != "" && o.server == "":
		return "", usageError(c, "--tls-server-name requires --server")
	case !o.export && o.there.context == "" && o.there.kubeconfig == "":
		return "", usageError(c, "name the cluster to add with --context, or with --kubeconfig")
	case o.output == "":
		return formatTable, nil
	}
	format, err := output.Parse(o.output, output.JSON, output.YAML)
	if err != nil {
		return "", usageError(c, "%w", err)
	}
	return format, nil
}

func writeClusterSteps(w io.Writer, steps []membership.Step) error {
	var rows [][]string
	for _, step := range steps {
		rows = append(rows, []string{step.Action, step.Cluster, step.Object})
	}
	return output.NewTable(w, len(installation.Unchanged)).Write(rows...)
}

// conclude says what was made, and what comes next.
func (o *clusterAddOptions) conclude(w io.Writer, r membership.Result) error {
	ends := "The token ends when it is replaced or removed."
	if !r.Expires.IsZero() {
		ends = fmt.Sprintf("The token expires on %s; to replace it before, run the same command again.", r.Expires.UTC().Format("2006-01-02 15:04 MST"))
	}
	if r.Shortened {
		ends += "\nThe cluster allows no longer one. With --expires 0 the token ends only when it is replaced."
	}
	if r.Unverified != "" {
		ends += fmt.Sprintf("\nThis computer cannot reach that address (%s). Whether the agent can, its environments show.", r.Unverified)
	}
	if isLoopback(r.Server) {
		ends += fmt.Sprintf("\n%s is this computer. An agent in a pod cannot reach it there: name the address for the agent with --server.", r.Server)
	}
	_, err := fmt.Fprintf(w, "\nThe agent reaches %s at %s. %s\nSelect the cluster in entries, and check it with berth check:\n\n  cluster: {secretRef: {name: %s}}\n", r.Name, r.Server, ends, r.Name)
	return err
}
