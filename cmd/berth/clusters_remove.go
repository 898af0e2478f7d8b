package main

import (
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"berth.dev/berth/cmd/internal/membership"
)

// clusterRemoveOptions are the flags of `berth cluster remove`.
type clusterRemoveOptions struct {
	pair
	dryRun, yes, gone bool
}

func newClusterRemove(s streams) *cobra.Command {
	o := &clusterRemoveOptions{}
	c := &cobra.Command{
		Use:   "remove NAME",
		Short: "Remove a cluster, the agent's account there, and its Secret",
		Long: `Remove a cluster from an installation. In the other cluster, which --context selects, the command
deletes the agent's account, with which its tokens end, its rights, its namespace and the admission
policies. Objects that other agents need there stay. Then it deletes the Secret NAME in the agent's
namespace.

It refuses while environments run in the cluster, or entries name it. If the cluster no longer
exists, remove the entries, delete the Environments without it by berth confirm --cluster NAME, and
then delete the Secret with --gone.

On a terminal the command asks for confirmation; elsewhere it requires --yes. If it was interrupted,
run it again: it continues.`,
		Example: `  berth cluster remove staging --context staging --dry-run
  berth cluster remove staging --context staging
  berth confirm --cluster staging         the cluster no longer exists: first its Environments,
  berth cluster remove staging --gone     and then its Secret`,
		Args: oneName("cluster remove"),
		RunE: func(c *cobra.Command, args []string) error { return o.run(c, s, args[0]) },
	}
	f := c.Flags()
	o.pair.addTo(f)
	f.BoolVar(&o.gone, "gone", false, "delete only the Secret, because the cluster no longer exists")
	f.BoolVar(&o.dryRun, "dry-run", false, "show what would be removed, and remove nothing")
	f.BoolVarP(&o.yes, "yes", "y", false, "do not ask for confirmation")
	must(c.RegisterFlagCompletionFunc("context", completeContexts(&o.there)))
	must(c.RegisterFlagCompletionFunc("home-context", completeContexts(&o.home)))
	c.ValidArgsFunction = func(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return o.home.completed(c, clusterOf), cobra.ShellCompDirectiveNoFileComp
	}
	return c
}

func (o *clusterRemoveOptions) run(c *cobra.Command, s streams, name string) error {
	named := o.there.context != "" || o.there.kubeconfig != ""
	switch {
	case o.gone && named:
		return usageError(c, "--gone contacts no cluster: leave --context and --kubeconfig out")
	case !o.gone && !named:
		return usageError(c, "name the cluster with --context, or with --kubeconfig; if it no longer exists, use --gone")
	}
	p := progress{view: newView(s.out)}
	r := &membership.Removal{Name: name, Progress: p.say}
	var err error
	if o.gone {
		r.Home, err = o.openHome()
	} else {
		r.Home, r.There, err = o.open()
	}
	if err != nil {
		return err
	}
	home := r.Home
	lines, err := r.Plan(c.Context())
	if err != nil {
		return err
	}
	if len(lines) == 0 {
		_, err := fmt.Fprintf(s.out, "there is no cluster %s, and no account of this agent in the cluster; there is nothing to remove\n", name)
		return err
	}
	plan := strings.Join(append([]string{"This removes the cluster " + name + " from the agent in the namespace " + home.Namespace + " of " + home.Context}, prefixed("- ", lines)...), ".\n") + "."
	if o.dryRun {
		_, err := fmt.Fprintln(s.out, plan)
		return err
	}
	if !o.yes {
		if err := ask(c, s, plan); err != nil {
			return err
		}
	}
	if err := r.Apply(c.Context()); err != nil {
		return fmt.Errorf("%w; to continue, run berth cluster remove %s again", err, name)
	}
	p.say("the cluster " + name + " is removed")
	return p.err
}

func prefixed(prefix string, lines []string) []string {
	for i, line := range lines {
		lines[i] = prefix + line
	}
	return lines
}

// isLoopback reports whether an address is this computer, seen from this computer.
func isLoopback(server string) bool {
	u, err := url.Parse(server)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
