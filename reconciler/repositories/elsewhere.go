package repositories

import (
	"time"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/branches"
	"berth.dev/berth/source"
)

// followsAny reports whether an entry of a Repository belongs to this agent. Without one, neither the Git server nor its
// credentials are needed.
func followsAny(repo *v1alpha1.Repository) bool { return len(repo.Spec.Environments) > 0 }

// rest drops what listings showed, because no entry needs one. Evidence from before would otherwise count together with that
// of a much later listing.
func (f *followed) rest(next time.Time) {
	clear(f.absent)
	f.listing, f.listed, f.leftOut, f.trouble, f.next = source.Listing{}, false, branches.LeftOut{}, nil, next
}

// following says what the agent follows.
func following(repo *v1alpha1.Repository, f *followed) string {
	if !followsAny(repo) {
		return "following nothing, because no entry belongs to " + branches.NameOf(f.elsewhere.Agent)
	}
	return "following " + branches.BranchCount(f.listing.Branches)
}
