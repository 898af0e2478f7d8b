package branches

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// Branches are created, changed, deleted and created again, with and without a webhook, faster than polls and the
// deletion of namespaces. Some of their names differ only in characters that the name of a namespace cannot have.
func TestBranchesAtRandom(t *testing.T) {
	t.Parallel()
	t.Logf("seed %d", *seed)
	dice := rand.New(rand.NewPCG(*seed, 0))
	team := begins(t, "random", "@every 3s")
	forms := []string{"feature/n-%d", "Feature/n-%d", "feature_n_%d"}
	var names []string
	for i := range *count {
		names = append(names, fmt.Sprintf(forms[i%len(forms)], i/len(forms)))
	}
	deeds := map[string]int{}
	over := time.After(*during)
	for going := true; going; {
		select {
		case <-over:
			going = false
		case <-time.After(time.Duration(50+dice.IntN(250)) * time.Millisecond):
			deeds[team.happens(dice, names[dice.IntN(len(names))])]++
			if dice.IntN(2) == 0 {
				team.hook()
				deeds["hooks"]++
			}
		}
	}
	t.Logf("%v; %d branches are left", deeds, len(team.branches)-1)
	team.settles()
	var uses []string
	for _, e := range team.Environments() {
		uses = append(uses, e.Spec.Namespace)
	}
	slices.Sort(uses)
	if len(slices.Compact(uses)) != len(team.branches) {
		t.Errorf("%d branches have the namespaces %q", len(team.branches), uses)
	}
}

// happens makes one random change to a branch, and returns its description.
func (team *team) happens(dice *rand.Rand, name string) string {
	team.t.Helper()
	_, there := team.branches[name]
	switch n := dice.IntN(8); {
	case !there:
		team.pushes(name)
		return "created"
	case n < 2 && !team.blocks():
		team.deletes(name)
		return "deleted"
	case n < 4:
		team.changes(name, func(values map[string]string) {
			if _, has := values["extra"]; has {
				delete(values, "extra")
			} else {
				values["extra"] = team.unique()
			}
		})
		return "other files"
	}
	team.pushes(name)
	return "changed"
}

// blocks reports whether one more deletion may trigger the deletion guard, which the other test covers: more than
// three, and nearly 30 %.
func (team *team) blocks() bool {
	team.t.Helper()
	have, going := map[string]bool{}, 1
	for _, e := range team.Environments() {
		have[e.Spec.Branch] = true
	}
	for branch := range have {
		if _, stays := team.branches[branch]; !stays {
			going++
		}
	}
	return going > 3 && going*100 > 25*len(have)
}
