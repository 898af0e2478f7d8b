package main

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"berth.dev/berth/reconciler/naming"
)

func newSlug(s streams) *cobra.Command {
	file, entry, commit := "", "", ""
	c := &cobra.Command{
		Use:   "slug BRANCH",
		Short: "Print the names that derive from a branch, for scripts and pipelines",
		Long: `Print the built-in variables of a branch as NAME=value lines, as the agent computes them, for eval
in a shell or for a dotenv report of a pipeline. It needs no cluster.

Without flags it prints the variables that depend only on the branch. --entry adds GitLab's names
of the environment, as an entry with a pattern has them. --repository adds all others.`,
		Example: `  berth slug feature/login
  eval "$(berth slug "$CI_COMMIT_BRANCH")"; echo "https://$BRANCH_SLUG.review.example.com"
  berth slug main --repository berth/repository.yaml --entry production`,
		Args: exactly(1, "name the branch: berth slug BRANCH"),
		RunE: func(c *cobra.Command, args []string) error {
			branch, err := branchName(args[0])
			if err != nil {
				return usageError(c, "%w", err)
			}
			names, err := namesOf(s, file, naming.Subject{Branch: branch, Entry: entry, Commit: commit})
			if err != nil {
				return err
			}
			for _, name := range slices.Sorted(maps.Keys(names)) {
				fmt.Fprintf(s.out, "%s=%s\n", name, quoted(names[name]))
			}
			return nil
		},
	}
	c.Flags().StringVar(&file, "repository", "", "file with the Repository, for names that depend on it; - for the standard input")
	c.Flags().StringVar(&entry, "entry", "", "entry of the Repository; with --repository it is required only if several match the branch")
	c.Flags().StringVar(&commit, "commit", "", "commit id for variables such as COMMIT")
	return c
}

// namesOf returns the variables that the given flags determine.
func namesOf(s streams, file string, subject naming.Subject) (map[string]string, error) {
	if file != "" {
		choice, err := chooseEntry(s, file, subject.Entry, subject.Branch)
		if err != nil {
			return nil, err
		}
		commit := subject.Commit
		subject = choice.subject(subject.Branch)
		subject.Commit = commit
	}
	names := naming.Variables(subject)
	if subject.Commit == "" {
		drop(names, "COMMIT", "COMMIT_SHORT", "CI_COMMIT_SHA", "CI_COMMIT_SHORT_SHA")
	}
	if subject.Repository == "" {
		drop(names, "REPOSITORY", "ENVIRONMENT", "NAMESPACE")
	}
	if subject.Entry == "" {
		drop(names, "ENTRY", "CI_ENVIRONMENT_NAME", "CI_ENVIRONMENT_SLUG")
	}
	return names, nil
}

func drop(names map[string]string, unknown ...string) {
	for _, name := range unknown {
		delete(names, name)
	}
}

// exactly requires n arguments. If there are fewer, it returns the command's own error.
func exactly(n int, otherwise string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < n:
			return errors.New(otherwise)
		case len(args) > n:
			return fmt.Errorf("%q is one argument too many", args[n])
		}
		return nil
	}
}

// branchName reads the name or the full ref of a branch, and refuses names that Git refuses.
func branchName(text string) (string, error) {
	branch := strings.TrimPrefix(text, "refs/heads/")
	switch {
	case branch == "":
		return "", errors.New("the branch's name is empty")
	case strings.HasPrefix(branch, "-"), strings.ContainsAny(branch, " ~^:?*[\\"), strings.ContainsFunc(branch, unicode.IsControl),
		strings.Contains(branch, ".."), strings.Contains(branch, "@{"), strings.Contains(branch, "//"),
		strings.HasPrefix(branch, "/"), strings.HasSuffix(branch, "/"), strings.HasSuffix(branch, "."), strings.HasSuffix(branch, ".lock"):
		return "", fmt.Errorf("%q cannot be the name of a branch: git check-ref-format says what can", text)
	}
	return branch, nil
}

// harmless matches texts that need no quotes in shells and dotenv files.
var harmless = regexp.MustCompile(`^[A-Za-z0-9_./:@%+,=-]*$`)

// quoted quotes a value for a shell where necessary.
func quoted(value string) string {
	if harmless.MatchString(value) {
		return value
	}
	return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
}
