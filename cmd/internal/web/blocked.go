package web

import (
	"fmt"
	"net/url"
	"strings"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/inspect"
	"berth.dev/berth/cmd/internal/output"
)

// The limits of banners about blocked deletions: how many environments have one of their own, and how many the common one names.
const (
	maxBlocked      = 3
	maxBlockedNames = 12
)

// isBlocked reports whether something waits for a confirmation. Its message then names the command.
func isBlocked(env *v1alpha1.Environment) bool {
	return env.Status.BlockedDeletions != nil || strings.Contains(inspect.Ready(env.Status.Conditions).Message, "berth confirm "+env.Name)
}

// blockedOf returns what an object contributes to the banners of blocked deletions.
func blockedOf(object any) string {
	if env, ok := object.(*v1alpha1.Environment); ok && isBlocked(env) {
		return inspect.Ready(env.Status.Conditions).Message + strings.Join(inspect.Blocked(env.Status.BlockedDeletions), " ")
	}
	return ""
}

// blockedBanner returns the banner of an environment with blocked deletions. It names what a confirmation would delete.
func blockedBanner(env *v1alpha1.Environment) banner {
	return banner{
		Tone: toneWarn, Title: "Deletions are blocked until a person confirms them", Items: textsOf(inspect.Blocked(env.Status.BlockedDeletions)),
		Button: &button{Title: "Confirm deletions", Path: actionPath(env, "confirm"), Dangerous: true},
	}
}

// blocked returns the banners of all environments with blocked deletions.
func blocked(envs []*v1alpha1.Environment) (banners []banner) {
	var all []item
	for _, env := range envs {
		if !isBlocked(env) {
			continue
		}
		b := blockedBanner(env)
		b.Title, b.Text = env.Name+": deletions are blocked until a person confirms them", inspect.Ready(env.Status.Conditions).Message
		banners = append(banners, b)
		name := env.Name
		if d := env.Status.BlockedDeletions; d != nil {
			name += fmt.Sprintf(" (%s)", output.Count(int(d.Total), "object"))
		}
		all = append(all, item{name, "/env/" + url.PathEscape(env.Name)})
	}
	if len(banners) <= maxBlocked {
		return banners
	}
	b := banner{Tone: toneWarn, Title: fmt.Sprintf("Deletions are blocked in %d environments until a person confirms them", len(all)), Items: all, Text: "Open each to see what would be deleted."}
	if len(all) > maxBlockedNames {
		b.Items = all[:maxBlockedNames]
		b.Text += fmt.Sprintf("\nThe first %d are below; the search finds all.", maxBlockedNames)
	}
	return []banner{b}
}

// item is an entry of a list in a banner or a dialog. Path is where it leads; empty: nowhere.
type item struct{ Text, Path string }

func textsOf(texts []string) (items []item) {
	for _, text := range texts {
		items = append(items, item{Text: text})
	}
	return items
}

// environmentsOf returns items that lead to environments.
func environmentsOf(names []string) (items []item) {
	for _, name := range names {
		items = append(items, item{name, "/env/" + url.PathEscape(name)})
	}
	return items
}
