package branches

import (
	"fmt"
	"maps"
	"sync"
	"time"

	"berth.dev/berth/api/v1alpha1"
)

// Departures says which Environments will be deleted, when and why. The controller of Repositories notes them, and that
// of Environments shows them.
type Departures struct {
	mu sync.Mutex
	of map[string]map[string]Departure // by repository and Environment
}

// Departure is why and when an Environment will be deleted.
type Departure struct {
	Since, At time.Time
	// Orphaned says that its Repository does not exist, and not that its branch is gone; held that a person has to
	// confirm it.
	Orphaned, held bool
}

// NewDepartures returns Departures that know of none.
func NewDepartures() *Departures {
	return &Departures{of: map[string]map[string]Departure{}}
}

// Set notes the Environments of a repository that will be deleted, and returns those for which that is news.
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

// Get returns what is known of an Environment.
func (d *Departures) Get(env *v1alpha1.Environment) (Departure, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	found, ok := d.of[env.Spec.Repository][env.Name]
	return found, ok
}

// Text is for people. Times are absolute, so that it does not change while nothing does.
func (d Departure) Text(env *v1alpha1.Environment) string {
	why, keep := fmt.Sprintf("its branch %s is gone", env.Spec.Branch), "push the branch again"
	if d.Orphaned {
		why, keep = fmt.Sprintf("its Repository %s does not exist", env.Spec.Repository), "write the Repository again"
	}
	what, now := "the environment will be deleted", fmt.Sprintf("; to delete it now: berth delete %s", env.Name)
	if env.Spec.OnRemoval == v1alpha1.RemovalOrphan {
		what, now = "what it runs stays, and the Environment will be deleted", ""
	}
	if d.held {
		return fmt.Sprintf("%s since %s; %s once somebody confirms it: berth confirm --repository %s", why, timeText(d.Since), what, env.Spec.Repository)
	}
	return fmt.Sprintf("%s since %s; %s at %s; to keep it, %s%s", why, timeText(d.Since), what, timeText(d.At), keep, now)
}

func timeText(t time.Time) string { return t.UTC().Format(time.RFC3339) }
