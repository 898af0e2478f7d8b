package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/checkout"
	"berth.dev/berth/cmd/internal/output"
	"berth.dev/berth/cmd/internal/reading"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/naming"
	"berth.dev/berth/reconciler/plan"
	"berth.dev/berth/reconciler/render"
)

// renderOptions are the flags of `berth render`.
type renderOptions struct {
	path, root        string
	branch, commit    string
	repository, entry string
	namespace         string
	variables         []string
	keys              keyFlags
	format            string
	showSecrets       bool
}

func newRender(s streams) *cobra.Command {
	o := &renderOptions{}
	c := &cobra.Command{
		Use:   "render --path DIR --branch NAME",
		Short: "Print what the agent would apply for a branch, without a cluster",
		Long: `Render a folder of a checkout, including uncommitted changes and without ignored files, and print
the objects in the order in which the agent would apply them. The agent's own labels and annotations
and the namespace are left out. Values are masked in Secrets, and in other kinds that the entry
allows to hold decrypted values.

With --repository it uses the entry's path, namespace, scope and variables. Otherwise it uses the
folder of --path, and placeholders: REPOSITORY is "repository", ENTRY is "entry", and the namespace
is the branch's slug. COMMIT is all zeros without --commit. ${TREE:<dir>} is the output of
"git rev-parse HEAD:<dir>" once everything is committed. Encrypted files need --keys, and are
decrypted in memory; remote keys are not used.

Exits with 3 if there are errors, and prints one per line, with file and line. Warnings do not count.`,
		Example: `  berth render --path infra/review --branch feature/login
  berth render --branch "$(git branch --show-current)" --repository berth/repository.yaml
  berth render --path infra/production --branch main --show-secrets | kubectl diff -f -`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runRender(c, s, o) },
	}
	f := c.Flags()
	f.StringVar(&o.path, "path", "", "folder of the manifests (default with --repository: the entry's path)")
	f.StringVar(&o.root, "root", "", "root folder of the repository (default: the one with .git)")
	f.StringVar(&o.branch, "branch", "", "branch to render for")
	f.StringVar(&o.commit, "commit", strings.Repeat("0", 40), "commit id for variables such as COMMIT")
	f.StringVar(&o.repository, "repository", "", "file with the Repository; - for the standard input")
	f.StringVar(&o.entry, "entry", "", "entry of the Repository; required only if several match the branch")
	f.StringVar(&o.namespace, "namespace", "", "namespace of the environment, instead of the entry's")
	f.StringArrayVar(&o.variables, "variable", nil, "variable NAME=VALUE that is added to those of the entry or overrides one; may be repeated")
	addKeys(c, &o.keys, "")
	o.format = string(output.YAML)
	addOutput(c, &o.format, "output format: yaml or json", output.YAML, output.JSON)
	f.BoolVar(&o.showSecrets, "show-secrets", false, "print the values of Secrets")
	return c
}

func runRender(c *cobra.Command, s streams, o *renderOptions) error {
	format, err := output.Parse(o.format, output.YAML, output.JSON)
	if err != nil {
		return usageError(c, "%w", err)
	}
	switch {
	case o.branch == "":
		return usageError(c, "name the branch to render for: --branch NAME")
	case o.path == "" && o.repository == "":
		return usageError(c, "name the folder of the manifests, --path DIR, or the Repository, --repository FILE")
	case o.entry != "" && o.repository == "":
		return usageError(c, "--entry is an entry of the Repository: name its file with --repository FILE")
	case o.namespace != "" && len(validation.IsDNS1123Label(o.namespace)) > 0:
		return usageError(c, "%q cannot be the name of a namespace: lower-case letters, digits and dashes can", o.namespace)
	}
	if o.branch, err = branchName(o.branch); err != nil {
		return usageError(c, "%w", err)
	}
	variables, err := variablesOf(o.variables)
	if err != nil {
		return usageError(c, "%w", err)
	}
	what, err := o.choose(s)
	if err != nil {
		return err
	}
	for name, value := range variables {
		what.entry.Variables[name] = value
	}
	return what.render(c.Context(), s, o, format)
}

// variablesOf parses variables of the form NAME=VALUE.
func variablesOf(flags []string) (map[string]intstr.IntOrString, error) {
	variables := map[string]intstr.IntOrString{}
	builtIn := naming.Variables(naming.Subject{})
	for _, flag := range flags {
		name, value, ok := strings.Cut(flag, "=")
		if _, reserved := builtIn[name]; reserved {
			return nil, fmt.Errorf("--variable %s: this one is built in", name)
		}
		if !ok || len(validation.IsCIdentifier(name)) > 0 {
			return nil, fmt.Errorf("--variable %q is not NAME=VALUE", flag)
		}
		variables[name] = intstr.FromString(value)
		if number, err := strconv.ParseInt(value, 10, 32); err == nil && strconv.FormatInt(number, 10) == value {
			variables[name] = intstr.FromInt32(int32(number))
		}
	}
	return variables, nil
}

// choose returns the entry to render, or its stand-in if there is no Repository.
func (o *renderOptions) choose(s streams) (choice, error) {
	c := choice{
		repository: &v1alpha1.Repository{},
		entry:      &v1alpha1.Entry{Name: "entry", Namespace: naming.Slug(o.branch)},
	}
	c.repository.Name = "repository"
	if o.repository != "" {
		var err error
		if c, err = chooseEntry(s, o.repository, o.entry, o.branch); err != nil {
			return c, err
		}
	}
	if o.namespace != "" {
		c.entry.Namespace = o.namespace
	}
	if c.entry.Variables == nil {
		c.entry.Variables = map[string]intstr.IntOrString{}
	}
	return c, nil
}

// render prints the objects, or their problems.
func (c choice) render(ctx context.Context, s streams, o *renderOptions, format output.Format) error {
	tree, folder, err := c.open(o)
	if err != nil {
		return err
	}
	defer tree.Close()
	subject := c.subject(o.branch)
	subject.Commit = o.commit
	options := c.options(folder, subject)
	if options.Decrypter, err = openerOf(s, o.keys); err != nil {
		return err
	}
	read := reading.Of(tree)
	result, err := render.Render(ctx, read, options)
	warn(s.err, result.Set.Warnings)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err = cmp.Or(err, errors.Join(plan.Misdependent(result.Set)...)); err != nil {
		return complain(s.err, err)
	}
	for _, name := range read.Unlisted() {
		fmt.Fprintf(s.err, "warning: %s: %s\n", output.Plain(name), reading.NotListed)
	}
	if !o.showSecrets {
		for i := range result.Set.Objects {
			result.Set.Objects[i].Unstructured = c.mask().Object(result.Set.Objects[i].Unstructured)
		}
	}
	return c.printSet(s.out, result.Set, format)
}

// open finds the tree and the folder in it: that of --path, or the entry's folder in the repository around the
// current folder.
func (c choice) open(o *renderOptions) (*checkout.Tree, string, error) {
	open := checkout.Open
	if o.root != "" {
		open = func(dir string) (*checkout.Tree, string, error) { return checkout.OpenBelow(o.root, dir) }
	}
	if o.path != "" {
		tree, folder, err := open(o.path)
		if err != nil {
			return nil, "", fmt.Errorf("cannot open the folder %s: %w", o.path, err)
		}
		return tree, folder, nil
	}
	tree, _, err := open(cmp.Or(o.root, "."))
	if err != nil {
		return nil, "", fmt.Errorf("cannot open the repository: %w", err)
	}
	if _, err := tree.Stat(c.entry.Path); err != nil {
		defer tree.Close()
		return nil, "", fmt.Errorf("there is no folder %s in %s: go to the repository that entry %s is about, or name the folder with --path",
			c.entry.Path, filepath.ToSlash(tree.Root()), c.entry.Name)
	}
	return tree, c.entry.Path, nil
}

// warn prints warnings and notes, one per line.
func warn(w io.Writer, warnings []manifest.Warning) {
	for _, warning := range warnings {
		fmt.Fprintf(w, "%s: %s\n", warning.Level, output.Plain(warning.String()))
	}
}

// complain prints every problem as a line that begins with its file, as compilers do.
func complain(w io.Writer, err error) error {
	problems := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		problems = joined.Unwrap()
	}
	for _, p := range problems {
		fmt.Fprintln(w, output.Plain(p.Error()))
	}
	return fmt.Errorf("nothing can be applied: %s", output.Count(len(problems), "problem"))
}

// printSet prints objects in a form that kubectl reads. In YAML a comment names the origin of each.
func (c choice) printSet(w io.Writer, set manifest.Set, format output.Format) error {
	if format == output.JSON {
		items := make([]*unstructured.Unstructured, 0, set.Len())
		for _, o := range set.Objects {
			items = append(items, o.Unstructured)
		}
		return format.Write(w, output.List(items))
	}
	var errs []error
	for _, o := range set.Objects {
		fmt.Fprintf(w, "---\n# %s%s\n", output.Plain(o.Origin.String()), c.comment(&o))
		errs = append(errs, format.Write(w, o.Object))
	}
	return errors.Join(errs...)
}

// comment returns a note on an object about what its manifest does not show.
func (c choice) comment(o *manifest.Object) string {
	switch {
	case !plan.RunsOnRemoval(o):
		return ""
	case c.orphans():
		return ": never runs, because the removal policy of entry " + c.entry.Name + " is Orphan"
	}
	return ": runs when the environment is torn down, and is not in the cluster before"
}
