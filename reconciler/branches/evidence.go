package branches

import (
	"maps"
	"slices"
	"time"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/source"
)

// Absence counts the listings that lacked a branch.
type Absence struct {
	Since    time.Time
	Listings int
}

// Notice counts the listings that lack the branch of an Environment. A listing without the default branch does not count.
func Notice(absent map[string]Absence, have []v1alpha1.Environment, listing source.Listing, now time.Time) {
	if !hasDefault(listing) {
		return
	}
	missing := map[string]bool{}
	for _, env := range have {
		if _, exists := listing.Heads[env.Spec.Branch]; !exists {
			missing[env.Spec.Branch] = true
		}
	}
	maps.DeleteFunc(absent, func(branch string, _ Absence) bool { return !missing[branch] })
	for branch := range missing {
		a := absent[branch]
		if a.Listings == 0 {
			a.Since = now
		}
		a.Listings++
		absent[branch] = a
	}
}

func hasDefault(listing source.Listing) bool {
	_, ok := listing.Heads[listing.Default]
	return ok
}

// Doubtful reports whether a listing may come from a different repository: it has none of the known commits, and branches
// with an environment are missing. Checking the history would require a fetch; asking the server for a known commit does
// not.
func Doubtful(have []v1alpha1.Environment, known []string, listing source.Listing) bool {
	missing := slices.ContainsFunc(have, func(env v1alpha1.Environment) bool {
		_, exists := listing.Heads[env.Spec.Branch]
		return !exists
	})
	if !missing || len(known) == 0 {
		return false
	}
	heads := make(map[string]bool, len(listing.Heads)+len(listing.Others))
	for _, commit := range listing.Heads {
		heads[commit] = true
	}
	for _, commit := range listing.Others {
		heads[commit] = true
	}
	return !slices.ContainsFunc(known, func(commit string) bool { return heads[commit] })
}

// KnownCommits returns the distinct commits of the last listing or, before the first one, of the Environments. The default
// branch's comes first, because servers keep it the longest.
func KnownCommits(last source.Listing, have []v1alpha1.Environment) []string {
	known := slices.Sorted(maps.Values(last.Heads))
	known = append(known, last.Others...)
	slices.Sort(known)
	if len(known) == 0 {
		for _, env := range have {
			if env.Spec.Commit != "" {
				known = append(known, env.Spec.Commit)
			}
		}
		slices.Sort(known)
	}
	known = slices.Compact(known)
	if at := slices.Index(known, last.Heads[last.Default]); at > 0 {
		known[0], known[at] = known[at], known[0]
	}
	return known
}
