package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"k8s.io/apimachinery/pkg/api/meta"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/checkup"
	"berth.dev/berth/cmd/internal/output"
)

// checkOptions are the flags of `berth check`.
type checkOptions struct {
	connection
	// files are the flags of a check without a cluster.
	files  renderOptions
	output string
}

func newCheck(s streams) *cobra.Command {
	o := &checkOptions{}
	c := &cobra.Command{
		Use:   "check [REPOSITORY]",
		Short: "Check the installation, Repositories, and encrypted files",
		Long: `Check the installation: the cluster's version and clock, the CRDs, the agent and its lease, its
rights, and the admission policies. For every Repository, or the named one, check its state, the
Secrets that it names, whether webhooks reach the agent, the permissions of the forge's token,
environments and their accounts, and which encrypted files each entry can decrypt. Files are read from the commits that should run: from the Git
server with the Repository's credentials, otherwise from the repository around the current folder.
For every other cluster of the installation, check the connection, the version, when the agent's
credentials end, the rights of its account and of the environments' accounts, and the admission
policies, with these credentials and from this computer.
All other checks use your rights. A check that they do not allow is "unknown", which is not a problem.

With --path or --repository it needs no cluster: it checks the files of a checkout, including
uncommitted changes, for every entry of the Repository or for one. Without --keys it lists the keys
that files are encrypted for, and whether files are intact. It always decrypts in memory, prints no
value, and uses no remote key.

Exits with 0 if there is no problem, with 1 if there is one. Warnings do not count.`,
		Example: `  berth check
  berth check posts -o json
  berth check --repository berth/repository.yaml --entry review --keys review.agekey`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return o.run(c, s, args) },
	}
	f := c.Flags()
	o.connection.addTo(f)
	f.StringVar(&o.files.repository, "repository", "", "file with the Repository, to check a checkout without a cluster; - for the standard input")
	f.StringVar(&o.files.path, "path", "", "folder of the manifests, to check it without a cluster (default with --repository: the entry's path)")
	f.StringVar(&o.files.root, "root", "", "root folder of the repository (default: the one with .git)")
	f.StringVar(&o.files.entry, "entry", "", "entry to check (default: all)")
	f.StringVar(&o.files.branch, "branch", "", "only entries that match this branch, checked as rendered for it")
	addKeys(c, &o.files.keys, "; without it, each entry's key Secret in the cluster is read")
	addOutput(c, &o.output, "json or yaml", output.JSON, output.YAML)
	c.ValidArgsFunction = func(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return o.completed(c, repositoryOf), cobra.ShellCompDirectiveNoFileComp
	}
	return c
}

func (o *checkOptions) run(c *cobra.Command, s streams, args []string) error {
	r := newCheckReport(s.out)
	if o.output != "" {
		var err error
		if r.format, err = output.Parse(o.output, output.JSON, output.YAML); err != nil {
			return usageError(c, "%w", err)
		}
	}
	offline := o.files.path != "" || o.files.repository != ""
	switch {
	case offline && len(args) > 0:
		return usageError(c, "%s is a Repository in the cluster, but --path and --repository check files: choose one", args[0])
	case !offline && o.files.root != "":
		return usageError(c, "--root requires --path or --repository")
	case !offline && o.files.keys.file != "" && o.files.entry == "":
		return usageError(c, "--keys are the keys of one entry: name it with --entry")
	}
	var err error
	if offline {
		err = o.checkFiles(c, s, r)
	} else {
		err = o.checkCluster(c.Context(), s, args, r)
	}
	if err != nil {
		return err
	}
	return r.end()
}

// checkCluster checks the installation and its Repositories.
func (o *checkOptions) checkCluster(ctx context.Context, s streams, args []string, r *checkReport) error {
	v, err := o.open()
	if err != nil {
		return err
	}
	server, err := v.discovery.ServerVersion()
	if err != nil {
		return explain(err, v.namespace)
	}
	checker := checkup.New(checkup.Config{Client: v, Kubernetes: v.kubernetes, Namespace: v.namespace, Proxy: http.ProxyFromEnvironment, Now: time.Now, ServerTime: checkup.ServerTime(v.kubernetes)})
	repositories, environments, err := v.toCheck(ctx, args)
	if err != nil && !meta.IsNoMatchError(err) { // a missing kind is a finding
		return err
	}
	if err := o.hasEntry(repositories); err != nil {
		return err
	}
	r.add(append([]checkup.Finding{checkup.Cluster(server)}, checker.Installation(ctx)...)...)
	r.add(checker.Strays(ctx)...)
	if err == nil {
		members, err := v.home(o.clusterName()).Members(ctx)
		if err != nil {
			return explain(err, v.namespace)
		}
		for i := range members {
			r.add(members[i].Check(ctx, time.Now())...)
		}
	}
	if err == nil && len(repositories) == 0 {
		r.add(checkup.Finding{Result: checkup.OK, About: "installation", Check: "repositories", Message: "there are none in the namespace " + v.namespace + "; docs/getting-started.md shows how to create one"})
	}
	for i := range repositories {
		repo := &repositories[i]
		of := environments[repo.Name]
		r.add(append(checker.Repository(ctx, repo, of), v.checkEntries(ctx, s, o, repo, of)...)...)
	}
	return nil
}

// hasEntry returns an error if no Repository has the entry of --entry.
func (o *checkOptions) hasEntry(repositories []v1alpha1.Repository) error {
	if o.files.entry == "" || len(repositories) == 0 {
		return nil
	}
	for i := range repositories {
		for _, entry := range repositories[i].Spec.Environments {
			if entry.Name == o.files.entry {
				return nil
			}
		}
	}
	return fmt.Errorf("no Repository here has an entry %q", o.files.entry)
}

// toCheck reads the Repositories to check, and the Environments of each.
func (v *viewer) toCheck(ctx context.Context, args []string) ([]v1alpha1.Repository, map[string][]v1alpha1.Environment, error) {
	repositories := &v1alpha1.RepositoryList{}
	if len(args) > 0 {
		repo, err := v.repositoryNamed(ctx, args[0])
		if err != nil {
			return nil, nil, err
		}
		repositories.Items = append(repositories.Items, *repo)
	} else if err := v.List(ctx, repositories, v.among("")...); err != nil {
		return nil, nil, explain(err, v.namespace)
	}
	list, err := v.environments(ctx)
	of := map[string][]v1alpha1.Environment{}
	for i := range list.Items {
		env := list.Items[i]
		of[env.Spec.Repository] = append(of[env.Spec.Repository], env)
	}
	return repositories.Items, of, err
}

// checkReport prints findings as they come, or all at once for scripts.
type checkReport struct {
	w        io.Writer
	format   output.Format
	marks    map[checkup.Result]string
	table    *output.Table
	all      []checkup.Finding
	err      error
	problems int
}

// newCheckReport returns a report with signs on a terminal, and with words elsewhere.
func newCheckReport(w io.Writer) *checkReport {
	if file, ok := w.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		return &checkReport{w: w, table: output.NewTable(w), marks: map[checkup.Result]string{checkup.OK: "✔", checkup.Warning: "!", checkup.Problem: "✗", checkup.Unknown: "?"}}
	}
	return &checkReport{w: w, table: output.NewTable(w, len(checkup.Unknown))}
}

func (r *checkReport) add(found ...checkup.Finding) {
	r.all = append(r.all, found...)
	var rows [][]string
	for _, f := range found {
		rows = append(rows, []string{cmp.Or(r.marks[f.Result], string(f.Result)), f.About, f.Check, f.Message})
		if f.Result == checkup.Problem {
			r.problems++
		}
	}
	if r.format == "" && r.err == nil {
		r.err = r.table.Write(rows...)
	}
}

// end writes the report for scripts, and returns an error if there are problems.
func (r *checkReport) end() error {
	if r.format != "" {
		r.err = r.format.Write(r.w, map[string]any{"sound": r.problems == 0, "checks": append([]checkup.Finding{}, r.all...)})
	}
	switch {
	case r.err != nil:
		return r.err
	case r.problems > 0:
		return &codedError{code: exitDifferent, err: fmt.Errorf("%s", output.Count(r.problems, "problem"))}
	}
	return nil
}
