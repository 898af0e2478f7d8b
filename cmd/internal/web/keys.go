package web

import (
	"fmt"
	"slices"
	"strings"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/inspect"
	"berth.dev/berth/cmd/internal/output"
)

// The limits of a banner of missing keys: how many environments and how many reasons it names.
const (
	maxKeyless     = 12
	maxKeyProblems = 3
)

// keyProblems are what messages say when a commit cannot be decrypted because of its keys.
var keyProblems = []string{
	"no available key decrypts it",
	"it needs a remote key that is not allowed here",
	"its remote key did not decrypt its data key",
	"with which the entry ", // a key Secret that does not exist, cannot be read or holds no keys
}

// lacksKeys reports whether an environment waits for keys, or failed without them.
func lacksKeys(env *v1alpha1.Environment) bool {
	ready := inspect.Ready(env.Status.Conditions)
	return ready.Reason != v1alpha1.ReasonHealthy && slices.ContainsFunc(keyProblems, func(text string) bool { return strings.Contains(ready.Message, text) })
}

// keysOf returns what an object contributes to the banners of missing keys.
func keysOf(object any) string {
	if env, ok := object.(*v1alpha1.Environment); ok && lacksKeys(env) {
		return inspect.Ready(env.Status.Conditions).Message
	}
	return ""
}

// keyless returns a banner for each Repository with environments that cannot be decrypted.
func keyless(envs []*v1alpha1.Environment) (banners []banner) {
	of, reasons := map[string][]string{}, map[string][]string{}
	var repositories []string
	for _, env := range envs {
		if !lacksKeys(env) {
			continue
		}
		repo, why := env.Spec.Repository, inspect.Ready(env.Status.Conditions).Message
		if of[repo] == nil {
			repositories = append(repositories, repo)
		}
		of[repo] = append(of[repo], env.Name)
		if !slices.Contains(reasons[repo], why) {
			reasons[repo] = append(reasons[repo], why)
		}
	}
	slices.Sort(repositories)
	for _, repo := range repositories {
		b := banner{Tone: toneWarn, Title: fmt.Sprintf("%s: keys are missing for %s", repo, output.Count(len(of[repo]), "environment")), Items: environmentsOf(of[repo]), Text: cut(reasons[repo], maxKeyProblems, "\n")}
		if more := len(b.Items) - maxKeyless; more > 0 {
			b.Items = b.Items[:maxKeyless]
			b.Text += fmt.Sprintf("\nThe first %d are below; the search finds all.", maxKeyless)
		}
		banners = append(banners, b)
	}
	return banners
}

// cut joins the first texts, and counts the rest.
func cut(texts []string, most int, between string) string {
	if more := len(texts) - most; more > 0 {
		texts = append(slices.Clone(texts[:most]), fmt.Sprintf("and %d more reasons", more))
	}
	return strings.Join(texts, between)
}
