package main

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd/api"

	"berth.dev/berth/cmd/internal/membership"
	"berth.dev/berth/cmd/internal/output"
)

// clusterListOptions are the flags of `berth cluster`.
type clusterListOptions struct {
	connection
	output string
}

func newCluster(s streams) *cobra.Command {
	c := newClusterList(s, "cluster")
	list := newClusterList(s, "list") // what other programs call it
	list.Hidden = true
	c.AddCommand(newClusterAdd(s), newClusterRemove(s), list)
	for _, sub := range c.Commands() {
		sub.Args = usageArgs(sub.Args)
	}
	return c
}

func newClusterList(s streams, name string) *cobra.Command {
	o := &clusterListOptions{}
	c := &cobra.Command{
		Use:   name,
		Short: "List, add and remove the clusters that the agent reaches",
		Long: `List the other clusters of an installation: those that were added, and those that entries name.
It contacts each one from this computer, with the agent's credentials from its Secret, if you may
read that. Whether the agent itself reaches them, berth get shows.

An agent needs no other clusters if each cluster has an agent of its own; docs/clusters.md compares
both ways.

Exits with 0 if all can be used, with 1 if one cannot.`,
		Example: `  berth cluster                                      list the clusters
  berth cluster add staging --context staging        let the agent run environments there
  berth cluster remove staging --context staging     end that`,
		Args: someCommand,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c, s) },
	}
	o.connection.addTo(c.Flags())
	addOutput(c, &o.output, "json or yaml", output.JSON, output.YAML)
	return c
}

func (o *clusterListOptions) run(c *cobra.Command, s streams) error {
	format := formatTable
	if o.output != "" {
		var err error
		if format, err = output.Parse(o.output, output.JSON, output.YAML); err != nil {
			return usageError(c, "%w", err)
		}
	}
	v, err := o.open()
	if err != nil {
		return err
	}
	members, err := v.home(o.clusterName()).Members(c.Context())
	if err != nil {
		return explain(err, v.namespace)
	}
	switch {
	case format != formatTable:
		err = format.Write(s.out, output.List(members))
	case len(members) == 0:
		_, err = fmt.Fprintf(s.err, "berth: the agent in the namespace %s reaches no other cluster; to add one: berth cluster add NAME --context CONTEXT\n", v.namespace)
	default:
		err = writeMembers(s.out, members, time.Now())
	}
	if err != nil {
		return err
	}
	for i := range members {
		if members[i].Problem != "" {
			return errUnhealthy
		}
	}
	return nil
}

func writeMembers(w io.Writer, members []membership.Member, now time.Time) error {
	rows := [][]string{{"NAME", "SERVER", "VERSION", "EXPIRES", "ENVIRONMENTS", "STATUS"}}
	for i := range members {
		m := &members[i]
		version, expires := "", "never"
		if m.Version != nil {
			version = m.Version.GitVersion
		}
		switch {
		case m.Server == "":
			expires = ""
		case m.Expires.IsZero():
		case !m.Expires.After(now):
			expires = "expired"
		default:
			expires = m.Expires.Format(time.DateOnly)
		}
		rows = append(rows, []string{m.Name, m.Server, version, expires, strconv.Itoa(len(m.Environments)), cmp.Or(m.Problem, m.Unknown, "reachable")})
	}
	return output.NewTable(w).Write(rows...)
}

// home returns the installation that a viewer reads.
func (v *viewer) home(context string) *membership.Home {
	return &membership.Home{Place: membership.Place{Context: cmp.Or(context, "here"), Flags: "--kubeconfig and --context"}, Server: v.config.Host, Client: v, Kubernetes: v.kubernetes, Namespace: v.namespace}
}

// pair are the flags that select two clusters: that of the agent, and the other one.
type pair struct {
	there              connection
	home               connection
	clusterNamespace   string
	server, serverName string
}

func (p *pair) addTo(f *pflag.FlagSet) {
	f.StringVar(&p.there.kubeconfig, "kubeconfig", "", "path of the kubeconfig with the other cluster (default: the same as kubectl's)")
	f.StringVar(&p.there.context, "context", "", "context of the other cluster, with the rights of an administrator")
	f.StringVar(&p.home.kubeconfig, "home-kubeconfig", "", "path of the kubeconfig with the agent's own cluster (default: the same as kubectl's)")
	f.StringVar(&p.home.context, "home-context", "", "context of the agent's own cluster (default: the current context)")
	p.home.addNamespace(f)
	f.StringVar(&p.clusterNamespace, "cluster-namespace", "", "namespace of the agent's account in the other cluster (default: the name of the agent's namespace)")
}

// openHome prepares the connection to the agent's cluster.
func (p *pair) openHome() (*membership.Home, error) {
	p.home.flag = "--home-kubeconfig"
	v, err := p.home.open()
	if err != nil {
		return nil, fmt.Errorf("the agent's own cluster: %w", err)
	}
	home := v.home(p.home.clusterName())
	home.Flags = "--home-kubeconfig and --home-context"
	return home, nil
}

// openThere prepares the connection to the other cluster.
func (p *pair) openThere() (*membership.There, error) {
	v, err := p.there.open()
	if err != nil {
		return nil, err
	}
	config := rest.CopyConfig(v.config)
	if err := rest.LoadTLSFiles(config); err != nil {
		return nil, fmt.Errorf("cannot read the kubeconfig: %w", err)
	}
	address := api.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData, TLSServerName: config.ServerName, InsecureSkipTLSVerify: config.Insecure}
	if config.Proxy != nil {
		address.ProxyURL = "https://proxy" // that there is one is refused, whatever its address
	}
	if p.server != "" {
		address.Server, address.ProxyURL = p.server, ""
		address.TLSServerName = p.serverName
	}
	there := &membership.There{
		Place: membership.Place{Context: cmp.Or(p.there.clusterName(), "there"), Flags: "--kubeconfig and --context"},
		REST:  config, Client: v, Kubernetes: v.kubernetes, Dynamic: v.dynamic, Address: address, Namespace: p.clusterNamespace,
	}
	return there, nil
}

// open prepares the connections to both clusters. Contexts with the same name, of two kubeconfigs, get their addresses.
func (p *pair) open() (*membership.Home, *membership.There, error) {
	home, err := p.openHome()
	if err != nil {
		return nil, nil, err
	}
	there, err := p.openThere()
	if err != nil {
		return nil, nil, err
	}
	if ours, theirs := hostOf(home.Server), hostOf(there.REST.Host); home.Context == there.Context && ours != theirs {
		home.Context += " (" + ours + ")"
		there.Context += " (" + theirs + ")"
	}
	return home, there, nil
}

// completeContexts offers the contexts of the kubeconfig.
func completeContexts(n *connection) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		names, _ := contextsOf(n.kubeconfig) // without any on an error
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
