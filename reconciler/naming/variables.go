package naming

import (
	"fmt"
	"regexp"

	"k8s.io/apimachinery/pkg/util/intstr"

	"berth.dev/berth/api/v1alpha1"
)

// shortLength is the number of characters that GitLab shows of a commit id.
const shortLength = 8

// Subject identifies what the built-in variables describe.
type Subject struct {
	Repository string
	Entry      string
	Branch     string // without refs/heads/
	Namespace  string
	Commit     string // to run
	// Literal is true if the entry names its branches. Otherwise GitLab's name of the environment contains the
	// branch.
	Literal bool
}

// Variables returns the built-in variables with their values, except TREE:<dir>, which needs the tree.
func Variables(s Subject) map[string]string {
	environment := s.Entry
	if !s.Literal {
		environment += "/" + refSlug(s.Branch)
	}
	short := s.Commit[:min(len(s.Commit), shortLength)]
	return map[string]string{
		"BRANCH":              s.Branch,
		"BRANCH_SLUG":         Slug(s.Branch),
		"COMMIT":              s.Commit,
		"COMMIT_SHORT":        short,
		"NAMESPACE":           s.Namespace,
		"ENVIRONMENT":         Environment(s.Repository, s.Entry, s.Branch),
		"ENTRY":               s.Entry,
		"REPOSITORY":          s.Repository,
		"CI_COMMIT_BRANCH":    s.Branch,
		"CI_COMMIT_REF_NAME":  s.Branch,
		"CI_COMMIT_REF_SLUG":  refSlug(s.Branch),
		"CI_COMMIT_SHA":       s.Commit,
		"CI_COMMIT_SHORT_SHA": short,
		"CI_ENVIRONMENT_NAME": environment,
		"CI_ENVIRONMENT_SLUG": environmentSlug(environment),
	}
}

// variable matches a reference to a variable, or one that is escaped by a second dollar sign.
var variable = regexp.MustCompile(`\$?\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// Values returns the built-in variables and those of an entry, in whose texts the built-in ones are replaced. The
// texts true and false become booleans, as kubectl reads them without quotes.
func Values(s Subject, entry map[string]intstr.IntOrString) map[string]any {
	all := make(map[string]any, len(entry)+16)
	for name, value := range Variables(s) {
		all[name] = value
	}
	own := make(map[string]any, len(entry))
	for name, value := range entry {
		switch {
		case value.Type == intstr.Int:
			own[name] = int64(value.IntVal)
		case value.StrVal == "true", value.StrVal == "false":
			own[name] = value.StrVal == "true"
		default:
			own[name] = Expand(value.StrVal, all)
		}
	}
	for name, value := range own {
		all[name] = value
	}
	return all
}

// OtherVariables returns the variables that an entry lacks and other entries of its Repository have, each with one
// such entry.
func OtherVariables(repo *v1alpha1.Repository, entry *v1alpha1.Entry) map[string]string {
	others := map[string]string{}
	for i := range repo.Spec.Environments {
		other := &repo.Spec.Environments[i]
		for name := range other.Variables {
			if _, own := entry.Variables[name]; !own && others[name] == "" {
				others[name] = other.Name
			}
		}
	}
	return others
}

// Expand replaces the known variables in a text, and leaves all others unchanged.
func Expand(text string, values map[string]any) string {
	return variable.ReplaceAllStringFunc(text, func(reference string) string {
		name := variable.FindStringSubmatch(reference)[1]
		value, known := values[name]
		switch {
		case !known:
			return reference
		case reference[1] == '$':
			return reference[1:]
		}
		return fmt.Sprint(value)
	})
}
