package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"berth.dev/berth/api/v1alpha1"
)

// which are the flags that select the environment of a command, in addition to its argument.
type which struct {
	connection
	branch, repository, entry string
}

func (w *which) addTo(c *cobra.Command) {
	f := c.Flags()
	w.connection.addTo(f)
	f.StringVar(&w.branch, "branch", "", "branch of the environment")
	f.StringVar(&w.repository, "repository", "", "Repository of the environment, if several have the branch")
	f.StringVar(&w.entry, "entry", "", "entry of the environment, if several match the branch")
	must(c.RegisterFlagCompletionFunc("branch", w.complete(branchOf)))
	must(c.RegisterFlagCompletionFunc("repository", w.complete(repositoryOf)))
	must(c.RegisterFlagCompletionFunc("entry", w.complete(entryOf)))
}

// needed returns an error if a command line names no environment.
func (w *which) needed(c *cobra.Command, args []string) error {
	if len(args) == 0 && w.branch == "" {
		return usageError(c, "name the environment, or its branch: berth %s ENV; berth get lists them", c.Name())
	}
	return nil
}

func atMostOne(_ *cobra.Command, args []string) error {
	if len(args) > 1 {
		return fmt.Errorf("%q is one argument too many: one environment at a time", args[1])
	}
	return nil
}

func (w *which) completeArgs(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return append(w.completed(c, nameOf), w.completed(c, branchOf)...), cobra.ShellCompDirectiveNoFileComp
}

// environment finds an environment by its name or its branch.
func (w *which) environment(ctx context.Context, v *viewer, args []string) (*v1alpha1.Environment, error) {
	branch := w.branch
	if len(args) > 0 {
		env := &v1alpha1.Environment{}
		err := v.Get(ctx, v.key(args[0]), env)
		if err == nil && (branch == "" || branch == env.Spec.Branch) {
			return env, nil
		}
		// A branch may have slashes, which are invalid in a name and lead to other errors than NotFound.
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
	return w.only(list, branch, v.namespace)
}

// only returns the one environment of a branch.
func (w *which) only(list *v1alpha1.EnvironmentList, branch, namespace string) (*v1alpha1.Environment, error) {
	var found []*v1alpha1.Environment
	var names []string
	for i := range list.Items {
		env := &list.Items[i]
		if env.Spec.Branch == branch && isOrAny(env.Spec.Repository, w.repository) && isOrAny(env.Spec.Entry, w.entry) {
			found, names = append(found, env), append(names, env.Name)
		}
	}
	switch len(found) {
	case 0:
		return nil, &noneError{branch, namespace}
	case 1:
		return found[0], nil
	}
	return nil, fmt.Errorf("%d environments have the branch %q: name one of %s", len(found), branch, strings.Join(names, ", "))
}

// noneError is the error for a name or branch without an environment.
type noneError struct{ branch, namespace string }

// Error names the environment, and how to list the existing ones.
func (e *noneError) Error() string {
	return fmt.Sprintf("there is no Environment %q, and none of a branch of that name, in the namespace %s; berth get lists them", e.branch, e.namespace)
}

// isOrAny reports whether a value is the one that a flag selects, or the flag is not set.
func isOrAny(is, flag string) bool { return flag == "" || flag == is }
