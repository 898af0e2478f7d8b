package main

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/output"
)

func newPin(s streams) *cobra.Command {
	e := &errand{}
	unpin := false
	c := &cobra.Command{
		Use:   "pin ENV COMMIT | pin ENV --unpin",
		Short: "Pin an environment to a commit, and follow its progress",
		Long: `Pin an environment to a commit that its branch contains, whatever is pushed. For a commit of the
environment's history, which berth describe shows, the beginning of the id is enough; otherwise give
the full id. Jobs that already ran in this environment with the same content do not run again.

With --unpin the environment follows its branch again. Only what was pushed since then can run a Job
again.

Exits with 0 if the environment becomes healthy, with 1 if it does not, or not in time, with 3 if the
request is refused.`,
		Example: `  berth pin posts.production.main 1a2b3c4d
  berth pin feature/login "$(git rev-parse HEAD~1)"
  berth pin posts.production.main --unpin`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 2 {
				return fmt.Errorf("%q is one argument too many: an environment and a commit", args[2])
			}
			return nil
		},
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		commit := ""
		if named := len(args) > 0 && e.branch == ""; !unpin {
			if len(args) == 0 || named && len(args) == 1 {
				return usageError(c, "name the environment and the commit: berth pin ENV COMMIT; or, to follow the branch again: berth pin ENV --unpin")
			}
			given := args[len(args)-1]
			commit, args = strings.ToLower(given), args[:len(args)-1]
			if !commitID.MatchString(commit) {
				return usageError(c, "%q is not the id of a commit; git rev-parse prints it", given)
			}
		}
		if len(args) > 1 {
			return usageError(c, "%q is one argument too many", args[1])
		}
		return e.run(c, s, args, pinTo(commit))
	}
	e.addTo(c)
	c.ValidArgsFunction = e.completePin
	c.Flags().BoolVar(&unpin, "unpin", false, "follow the branch again")
	return c
}

// completePin completes environments, and then the commits of the named environment.
func (e *errand) completePin(c *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) != 1 {
		return e.completeArgs(c, args, typed)
	}
	v, err := e.open()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	env, err := e.environment(c.Context(), v, args)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var offers []cobra.Completion
	for _, sync := range env.Status.History {
		offers = append(offers, cobra.CompletionWithDesc(output.ShortCommit(sync.Commit), sync.Outcome))
	}
	return offers, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}

// commitID matches the id of a commit, or the beginning of one.
var commitID = regexp.MustCompile(`^[0-9a-f]{4,64}$`)

// pinTo pins to a commit, or unpins if it is "".
func pinTo(commit string) func(context.Context, *follower, *v1alpha1.Environment) (judgement, error) {
	return func(ctx context.Context, f *follower, env *v1alpha1.Environment) (judgement, error) {
		var pin any
		if commit != "" {
			full, err := commitOfHistory(env, commit)
			if err != nil {
				return nil, err
			}
			pin = full
		}
		err := f.setSpec(ctx, env, "pin", pin)
		return generationSeen(env.Generation), err
	}
}

// commitOfHistory completes the beginning of an id from the commits of an Environment's spec and status.
func commitOfHistory(env *v1alpha1.Environment, commit string) (string, error) {
	if len(commit) == 40 || len(commit) == 64 {
		return commit, nil
	}
	known := []string{env.Spec.Commit, env.Spec.Pin, env.Status.AppliedCommit, env.Status.HealthyCommit}
	for _, sync := range env.Status.History {
		known = append(known, sync.Commit)
	}
	slices.Sort(known)
	known = slices.DeleteFunc(slices.Compact(known), func(k string) bool { return !strings.HasPrefix(k, commit) })
	switch len(known) {
	case 0:
		return "", fmt.Errorf("no commit in the history of %s begins with %s; give the full id, as git rev-parse %s prints it", env.Name, commit, commit)
	case 1:
		return known[0], nil
	}
	short := make([]string, 0, len(known))
	for _, k := range known {
		short = append(short, output.ShortCommit(k))
	}
	return "", fmt.Errorf("%d commits in the history of %s begin with %s: %s; give more of it", len(known), env.Name, commit, strings.Join(short, ", "))
}
