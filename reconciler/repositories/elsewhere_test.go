package repositories

import (
	"errors"
	"testing"
	"time"

	"berth.dev/berth/internal/apitest"
	"berth.dev/berth/reconciler/branches"
	"berth.dev/berth/source"
)

// An entry may come back to this agent much later. A branch that was missing once before then would be gone at the first
// listing.
func TestARepositoryWithoutOwnEntriesForgetsItsEvidence(t *testing.T) {
	next := apitest.Noon.Add(time.Minute)
	f := &followed{
		listed: true, listing: source.Listing{Default: "main", Heads: map[string]string{"main": apitest.Commit("a")}}, trouble: errors.New("down"),
		absent: map[string]branches.Absence{"f0": {Since: apitest.Noon, Listings: 1}},
	}
	f.rest(next)
	if len(f.absent) > 0 || f.listed || len(f.listing.Heads) > 0 || f.trouble != nil || !f.next.Equal(next) {
		t.Errorf("it remembers %+v", f)
	}
}
