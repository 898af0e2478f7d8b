package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/inspect"
	"berth.dev/berth/cmd/internal/output"
)

// describeOptions are the flags of `berth describe`.
type describeOptions struct {
	connection
	branch, repository, entry string
	output                    string
}

func newDescribe(s streams) *cobra.Command {
	o := &describeOptions{}
	c := &cobra.Command{
		Use:   "describe ENV",
		Short: "Show everything about one environment: its objects, Jobs, history, and what is wrong",
		Long: `Shows an environment with what a person needs when something is wrong: every object with its
health and the reason, Jobs, the last syncs, events, and the last lines that failing containers
wrote. ENV is the name of an Environment, or a branch if only one environment has it.

It reads the cluster with your rights; what these do not allow is said and left out. The values
of Secrets are not read.

Ends with 0 if the environment is healthy, with 1 if it is not.`,
		Example: `  berth describe feature/login
  berth describe posts.production.main
  berth describe --branch main --repository posts -o json`,
		Args:              atMostOne,
		ValidArgsFunction: o.completeArgs,
		RunE: func(c *cobra.Command, args []string) error {
			format, err := o.format()
			if err != nil {
				return usageError(c, "%w", err)
			}
			if len(args) == 0 && o.branch == "" {
				return usageError(c, "name the environment, or its branch: berth describe ENV; berth get lists them")
			}
			v, err := o.open()
			if err != nil {
				return err
			}
			env, err := o.environment(c.Context(), v, args)
			if err != nil {
				return err
			}
			return v.describe(c.Context(), s.out, env, format)
		},
	}
	o.addTo(c.Flags())
	c.Flags().StringVar(&o.branch, "branch", "", "the environment of this branch")
	c.Flags().StringVar(&o.repository, "repository", "", "of this Repository, if several have the branch")
	c.Flags().StringVar(&o.entry, "entry", "", "of this entry, if several take the branch")
	c.Flags().StringVarP(&o.output, "output", "o", "", "json or yaml")
	must(c.RegisterFlagCompletionFunc("branch", o.complete(branchOf)))
	must(c.RegisterFlagCompletionFunc("repository", o.complete(repositoryOf)))
	must(c.RegisterFlagCompletionFunc("entry", o.complete(entryOf)))
	return c
}

func atMostOne(_ *cobra.Command, args []string) error {
	if len(args) > 1 {
		return fmt.Errorf("%q is one argument too many: one environment at a time", args[1])
	}
	return nil
}

func (o *describeOptions) completeArgs(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return append(o.completed(c, nameOf), o.completed(c, branchOf)...), cobra.ShellCompDirectiveNoFileComp
}

func (o *describeOptions) format() (output.Format, error) {
	if o.output == "" {
		return formatTable, nil
	}
	return output.Parse(o.output, output.JSON, output.YAML)
}

// environment finds the one that is meant: by its name, or by the branch.
func (o *describeOptions) environment(ctx context.Context, v *viewer, args []string) (*v1alpha1.Environment, error) {
	branch := o.branch
	if len(args) > 0 {
		env := &v1alpha1.Environment{}
		err := v.Get(ctx, v.key(args[0]), env)
		if err == nil && (branch == "" || branch == env.Spec.Branch) {
			return env, nil
		}
		// A branch has slashes, which no name has: the answer to asking for one as a name is another error.
		if err != nil && !apierrors.IsNotFound(err) && !strings.Contains(args[0], "/") {
			return nil, explain(err, v.namespace)
		}
		if branch != "" {
			return nil, fmt.Errorf("there is no Environment %q of the branch %q in the namespace %s; leave one of the two out", args[0], branch, v.namespace)
		}
		branch = strings.TrimPrefix(args[0], "refs/heads/")
	}
	list, err := v.environments(ctx)
	if err != nil {
		return nil, err
	}
	return o.only(list, branch, v.namespace)
}

// only returns the one environment of a branch.
func (o *describeOptions) only(list *v1alpha1.EnvironmentList, branch, namespace string) (*v1alpha1.Environment, error) {
	var found []*v1alpha1.Environment
	var names []string
	for i := range list.Items {
		env := &list.Items[i]
		if env.Spec.Branch == branch && isOrAny(env.Spec.Repository, o.repository) && isOrAny(env.Spec.Entry, o.entry) {
			found, names = append(found, env), append(names, env.Name)
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("there is no Environment %q, and none of a branch of that name, in the namespace %s; berth get lists those there are", branch, namespace)
	case 1:
		return found[0], nil
	}
	return nil, fmt.Errorf("%d environments are of the branch %q: name one of %s", len(found), branch, strings.Join(names, ", "))
}

// isOrAny says whether something is what a flag asks for.
func isOrAny(is, flag string) bool { return flag == "" || flag == is }

// describe prints an environment, and ends with an error if it is not healthy.
func (v *viewer) describe(ctx context.Context, w io.Writer, env *v1alpha1.Environment, format output.Format) error {
	inspector := inspect.New(inspect.Config{Client: v, Discovery: v.discovery, Logs: v.logs, Now: time.Now})
	d := inspector.Describe(ctx, env)
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	if format == formatTable {
		page := &page{w: w, now: time.Now()}
		page.description(d)
		if page.err != nil {
			return page.err
		}
	} else {
		printer := printer{kind: &environmentKind}
		printer.complete(env)
		if err := format.Write(w, d); err != nil {
			return err
		}
	}
	if readyOf(env.Status.Conditions).Reason != v1alpha1.ReasonHealthy {
		return errUnhealthy
	}
	return nil
}
