package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/checkup"
	"berth.dev/berth/reconciler/branches"
	"berth.dev/berth/reconciler/naming"
)

// waitOptions are the flags of `berth wait`.
type waitOptions struct {
	which
	followOptions
	commit     string
	allowNewer bool
}

func newWait(s streams) *cobra.Command {
	o := &waitOptions{}
	c := &cobra.Command{
		Use:   "wait ENV | wait --branch NAME",
		Short: "Wait until a commit is healthy in its environment, in a pipeline",
		Long: `Wait until an environment exists and is healthy, and follow its progress. ENV is the name of an
Environment, or a branch. With --commit it waits for exactly that commit, and ignores the health of
older and newer ones. It only reads, and needs no more than the role view in the agent's namespace.

A commit that was superseded before it was healthy counts as not healthy; with --allow-newer the
command waits for the newer one instead. A commit that was healthy before it was superseded counts
as healthy.

Exits with 0 if it is healthy, with 1 if it failed, was superseded or was not healthy in time, with 2
for a usage error, with 3 if the cluster cannot be reached or no entry matches the branch.`,
		Example: `  berth wait --branch "$CI_COMMIT_BRANCH" --commit "$CI_COMMIT_SHA" --repository posts
  berth wait posts.production.main --timeout 20m`,
		Args:              atMostOne,
		ValidArgsFunction: o.completeArgs,
		RunE:              func(c *cobra.Command, args []string) error { return o.run(c, s, args) },
	}
	o.which.addTo(c)
	o.followOptions.addTo(c)
	c.Flags().StringVar(&o.commit, "commit", "", "id of the commit to wait for; git rev-parse HEAD prints it")
	c.Flags().BoolVar(&o.allowNewer, "allow-newer", false, "wait for the newer commit if the commit is superseded")
	return c
}

func (o *waitOptions) run(c *cobra.Command, s streams, args []string) error {
	if err := o.needed(c, args); err != nil {
		return err
	}
	commit := strings.ToLower(o.commit)
	switch {
	case commit != "" && (!commitID.MatchString(commit) || len(commit) < 7):
		return usageError(c, "--commit %q is not the id of a commit; git rev-parse HEAD prints it", o.commit)
	case commit == "" && o.allowNewer:
		return usageError(c, "--allow-newer requires --commit")
	}
	f, err := o.follower(c, s, &o.connection)
	if err != nil {
		return err
	}
	o.branch = strings.TrimPrefix(o.branch, "refs/heads/")
	w := waiting{waitOptions: o, judge: current}
	if len(args) > 0 {
		w.name = strings.TrimPrefix(args[0], "refs/heads/")
	}
	if commit != "" {
		a := &awaited{commit: commit, orNewer: o.allowNewer}
		w.judge = a.judge
	}
	if err := w.possible(c.Context(), f.viewer); err != nil {
		return err
	}
	return f.until(c.Context(), w.what(), nil, w.choose)
}

// waiting is one `berth wait`.
type waiting struct {
	*waitOptions
	// name is the name of an Environment or a branch, or empty.
	name  string
	judge judgement
}

// possible returns an error if waiting is pointless because no entry matches. It returns nil if there is no Repository
// yet, or if the user may not read them.
func (w *waiting) possible(ctx context.Context, v *viewer) error {
	branch := cmp.Or(w.branch, w.name)
	repositories, environments := &v1alpha1.RepositoryList{}, &v1alpha1.EnvironmentList{}
	if v.List(ctx, repositories, v.among("")...) != nil || v.List(ctx, environments, v.among("")...) != nil {
		return nil // the wait itself reports the error
	}
	if len(repositories.Items) == 0 || slices.ContainsFunc(environments.Items, func(env v1alpha1.Environment) bool { return w.means(&env) }) {
		return nil
	}
	var others *v1alpha1.Entry // of another agent
	for i := range repositories.Items {
		repo := &repositories.Items[i]
		if !isOrAny(repo.Name, w.repository) {
			continue
		}
		entry := w.matching(repo, branch, func(entry *v1alpha1.Entry) bool { return checkup.RunsHere(repo, entry) })
		if entry != nil {
			return nil
		}
		others = cmp.Or(others, w.matching(repo, branch, func(*v1alpha1.Entry) bool { return true }))
	}
	if others != nil {
		return fmt.Errorf("cannot wait for the %s: its entry %s belongs to %s, which runs in another cluster; use the kubeconfig of that cluster", w.what(), others.Name, branches.NameOf(others.Agent))
	}
	return fmt.Errorf("cannot wait for the %s: no entry of a Repository in the namespace %s matches it; %s", w.what(), v.namespace, known(environments.Items))
}

// matching returns an entry of a Repository, among some, that gives a branch an environment; nil: none does. Patterns that cannot
// be read match everything, because a user may be about to fix them.
func (w *waiting) matching(repo *v1alpha1.Repository, branch string, among func(*v1alpha1.Entry) bool) *v1alpha1.Entry {
	for i := range repo.Spec.Environments {
		entry := &repo.Spec.Environments[i]
		patterns, err := naming.CompilePatterns(entry.Branches)
		if among(entry) && isOrAny(entry.Name, w.entry) && (err != nil || branch == "" || patterns.Match(branch)) {
			return entry
		}
	}
	return nil
}

// known lists branches that have an environment, so that users notice a typo.
func known(environments []v1alpha1.Environment) string {
	const most = 5
	var branches []string
	for _, env := range environments {
		if !slices.Contains(branches, env.Spec.Branch) {
			branches = append(branches, env.Spec.Branch)
		}
	}
	slices.Sort(branches)
	switch more := len(branches) - most; {
	case len(branches) == 0:
		return "no branch has an environment yet"
	case more > 0:
		return fmt.Sprintf("branches with an environment: %s and %d more", strings.Join(branches[:most], ", "), more)
	}
	return "branches with an environment: " + strings.Join(branches, ", ")
}

// choose returns the environment to wait for, as soon as it exists.
func (w *waiting) choose(all []client.Object) (*v1alpha1.Environment, verdict) {
	var found []*v1alpha1.Environment
	var names []string
	for _, object := range all {
		if env := object.(*v1alpha1.Environment); w.means(env) {
			found, names = append(found, env), append(names, env.Name)
		}
	}
	switch len(found) {
	case 0:
		return nil, verdict{}
	case 1:
		return found[0], w.judge(found[0])
	}
	return nil, verdict{bad, fmt.Sprintf("several environments match the %s: name one of %s", w.what(), strings.Join(names, ", "))}
}

func (w *waiting) means(env *v1alpha1.Environment) bool {
	return (w.name == "" || w.name == env.Name || w.name == env.Spec.Branch) && isOrAny(env.Spec.Branch, w.branch) &&
		isOrAny(env.Spec.Repository, w.repository) && isOrAny(env.Spec.Entry, w.entry)
}

// what describes the environment to wait for.
func (w *waiting) what() string {
	var text strings.Builder
	text.WriteString("Environment")
	for _, part := range []struct{ word, value string }{{"", w.name}, {"of the branch ", w.branch}, {"of the Repository ", w.repository}, {"of the entry ", w.entry}} {
		if part.value != "" {
			text.WriteString(" " + part.word + part.value)
		}
	}
	return text.String()
}

// environmentsOf converts objects that are all Environments.
func environmentsOf(objects []client.Object) []v1alpha1.Environment {
	list := make([]v1alpha1.Environment, 0, len(objects))
	for _, object := range objects {
		list = append(list, *object.(*v1alpha1.Environment))
	}
	return list
}
