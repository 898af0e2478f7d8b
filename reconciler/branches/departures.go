package branches

import (
	"fmt"
	"maps"
	"sync"
	"time"

	"berth.dev/berth/api/v1alpha1"
)

// Departures remembers which Environments will be deleted, when and why. The controller of Repositories sets them, and the
// controller of Environments shows them.
type Departures struct {
	mu sync.Mutex
	of map[string]map[string]Departure // by repository and Environment
}

// Departure is why and when an Environment will be deleted.
type Departure struct {
	Since, At time.Time
	// Orphaned is set if the Repository does not exist, rather than the branch. held is set if a user has to confirm the
	// deletion.
	Orphaned, held bool
}

// NewDepartures returns empty Departures.
func NewDepartures() *Departures {
	return &Departures{of: map[string]map[string]Departure{}}
}

// Set stores the Environments of a repository that will be deleted, and returns the names of those that changed.
func (d *Departures) Set(repository string, all map[string]Departure) (changed []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	before := d.of[repository]
	for name, departing := range all {
		if before[name] != departing {
			changed = append(changed, name)
		}
	}
	for name := range before {
		if _, still := all[name]; !still {
			changed = append(changed, name)
		}
	}
	d.of[repository] = maps.Clone(all)
	if len(all) == 0 {
		delete(d.of, repository)
	}
	return changed
}

// Get returns the Departure of an Environment, if it has one.
func (d *Departures) Get(env *v1alpha1.Environment) (Departure, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	found, ok := d.of[env.Spec.Repository][env.Name]
	return found, ok
}

// Text returns the message that users see. Times are absolute, so that the message does not change while nothing else does.
func (d Departure) Text(env *v1alpha1.Environment) string {
	why, keep := fmt.Sprintf("its branch %s is gone", env.Spec.Branch), "push the branch again"
	if d.Orphaned {
		why, keep = fmt.Sprintf("its Repository %s does not exist", env.Spec.Repository), "re-create the Repository"
	}
	what, now := "the environment will be deleted", fmt.Sprintf("; to delete it now: berth delete %s", env.Name)
	if env.Spec.OnRemoval == v1alpha1.RemovalOrphan {
		what, now = "the Environment will be deleted, and its objects stay", ""
	}
	if d.held {
		return fmt.Sprintf("%s since %s; %s after a confirmation: berth confirm --repository %s", why, timeText(d.Since), what, env.Spec.Repository)
	}
	return fmt.Sprintf("%s since %s; %s at %s; to keep it, %s%s", why, timeText(d.Since), what, timeText(d.At), keep, now)
}

func timeText(t time.Time) string { return t.UTC().Format(time.RFC3339) }
