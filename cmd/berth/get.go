package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/output"
)

// The formats of `berth get` in addition to those for scripts.
const (
	formatTable output.Format = ""
	formatWide  output.Format = "wide"
	formatName  output.Format = "name"
)

// getOptions are the flags of `berth get`.
type getOptions struct {
	connection
	repository string
	cluster    string
	output     string
	watch      bool
	noHeaders  bool
}

// addOutput adds -o. The value of target is the default.
func addOutput(c *cobra.Command, target *string, usage string, formats ...output.Format) {
	c.Flags().StringVarP(target, "output", "o", *target, usage)
	names := make([]cobra.Completion, 0, len(formats))
	for _, f := range formats {
		names = append(names, string(f))
	}
	must(c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp)))
}

func newGet(s streams) *cobra.Command {
	o := &getOptions{}
	c := &cobra.Command{
		Use:   "get [env|repo] [NAME|BRANCH...]",
		Short: "List environments or repositories, and their status",
		Long: `List Environments or Repositories: the branch, the commit that runs or is being applied, the
status, the age of the environment, and the link. The status ends with ",Pinned" if the environment
is pinned to a commit, and with ",BranchGone" if its branch is gone. -o wide adds the namespace, the
commit's age, author and subject, and the message. If environments run in several clusters, the
column CLUSTER names them, and is <none> for the agent's own.

With -w it keeps running, and prints a line for every change. It exits with 0 even if something is
not healthy; berth describe reports that by its exit code.`,
		Example: `  berth get                              list all environments
  berth get -o wide --repository posts   list one repository, with all columns
  berth get feature/login                list the environments of a branch
  berth get --cluster staging            list the environments in another cluster
  berth get -w                           list them, and print changes
  berth get repo
  berth get posts.production.main -o yaml`,
		RunE: func(c *cobra.Command, args []string) error {
			l, err := o.listing(c, s, args)
			if err != nil {
				return err
			}
			return l.run(c.Context(), o.watch)
		},
		ValidArgsFunction: o.completeArgs,
	}
	o.addTo(c.Flags())
	c.Flags().StringVar(&o.repository, "repository", "", "Repository whose environments to list")
	c.Flags().StringVar(&o.cluster, "cluster", "", "cluster whose environments to list; \"\" is the agent's own (default: all)")
	must(c.RegisterFlagCompletionFunc("cluster", o.complete(clusterOf)))
	addOutput(c, &o.output, "output format: wide, json, yaml or name", formatWide, output.JSON, output.YAML, formatName)
	c.Flags().BoolVarP(&o.watch, "watch", "w", false, "keep running, and print changes")
	c.Flags().BoolVar(&o.noHeaders, "no-headers", false, "omit the header line")
	must(c.RegisterFlagCompletionFunc("repository", o.complete(repositoryOf)))
	return c
}

func (o *getOptions) completeArgs(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	offers := o.completed(c, nameOf)
	if len(args) == 0 {
		offers = append(offers, "env", "repo")
	}
	return offers, cobra.ShellCompDirectiveNoFileComp
}

// listing is one `berth get`: what it lists, and how it prints that.
type listing struct {
	*viewer
	kind  *kind
	names []string // of objects, or branches of Environments; empty for all
	// repository is the one whose Environments are listed; empty for all.
	repository string
	// cluster is the one whose Environments are listed; nil for all.
	cluster *string
	options []client.ListOption
	printer printer
	// complain prints a message to the standard error.
	complain func(format string, args ...any)
}

func (o *getOptions) listing(c *cobra.Command, s streams, args []string) (*listing, error) {
	format := formatTable
	if o.output != "" {
		var err error
		if format, err = output.Parse(o.output, formatWide, output.JSON, output.YAML, formatName); err != nil {
			return nil, usageError(c, "%w", err)
		}
	}
	kind := &environmentKind
	if len(args) > 0 {
		if k := kindNamed(args[0]); k != nil {
			kind, args = k, args[1:]
		}
	}
	v, err := o.open()
	if err != nil {
		return nil, err
	}
	l := &listing{viewer: v, kind: kind, names: args, repository: o.repository, options: v.among(o.repository)}
	if c.Flags().Changed("cluster") {
		if kind == &repositoryKind {
			return nil, usageError(c, "--cluster selects environments, and a Repository may have some in several clusters: leave it out")
		}
		l.cluster = &o.cluster
	}
	if kind == &repositoryKind && o.repository != "" {
		l.names, l.options = append(l.names, o.repository), v.among("")
	}
	l.printer = printer{w: s.out, kind: kind, format: format, headers: !o.noHeaders, headed: !o.noHeaders, now: time.Now, table: output.NewTable(s.out)}
	l.complain = func(format string, args ...any) { fmt.Fprintf(s.err, "berth: "+format+"\n", args...) }
	return l, nil
}

func (l *listing) run(ctx context.Context, watch bool) error {
	all, version, err := l.read(ctx)
	if err != nil {
		return explain(err, l.namespace)
	}
	objects := l.wanted(all)
	if l.cluster == nil {
		l.printer.notice(all)
	}
	for _, name := range l.names {
		if !slices.ContainsFunc(objects, func(o client.Object) bool { return isNamed(o, name) }) {
			return fmt.Errorf("there is no %s %q in the namespace %s; berth get %s lists them", l.kind.singular, name, l.namespace, l.kind.short)
		}
	}
	if len(objects) == 0 && l.repository != "" {
		if _, err := l.repositoryNamed(ctx, l.repository); err != nil && !apierrors.IsForbidden(err) {
			return err
		}
	}
	if watch {
		return l.watch(ctx, objects, version)
	}
	if len(objects) == 0 && l.printer.format != output.JSON && l.printer.format != output.YAML {
		if l.cluster != nil && len(all) > 0 {
			l.complain("there are no environments in the cluster %q; berth get lists those in all clusters", *l.cluster)
			return nil
		}
		l.complain("there are no %s in the namespace %s; if the agent has another namespace, name it with -n", l.kind.plural, l.namespace)
		return nil
	}
	return l.printer.all(objects)
}

// read lists all objects, sorted by name, and returns the version of the listing.
func (l *listing) read(ctx context.Context) (objects []client.Object, version string, err error) {
	list := l.kind.list()
	if err := l.List(ctx, list, l.options...); err != nil {
		return nil, "", err
	}
	objects = l.kind.items(list)
	slices.SortFunc(objects, func(a, b client.Object) int { return strings.Compare(a.GetName(), b.GetName()) })
	return objects, list.GetResourceVersion(), nil
}

// wanted returns the objects that the command line names.
func (l *listing) wanted(all []client.Object) []client.Object {
	var objects []client.Object
	for _, object := range all {
		if l.wants(object) {
			objects = append(objects, object)
		}
	}
	return objects
}

func (l *listing) wants(object client.Object) bool {
	if env, ok := object.(*v1alpha1.Environment); ok && l.cluster != nil && env.Spec.Cluster != *l.cluster {
		return false
	}
	return len(l.names) == 0 || slices.ContainsFunc(l.names, func(name string) bool { return isNamed(object, name) })
}

// isNamed reports whether name is that of an object, or the branch of an Environment.
func isNamed(object client.Object, name string) bool {
	env, ok := object.(*v1alpha1.Environment)
	return object.GetName() == name || ok && env.Spec.Branch == strings.TrimPrefix(name, "refs/heads/")
}

// isPermanent reports whether repeating a request cannot help.
func isPermanent(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || apierrors.IsNotFound(err)
}
