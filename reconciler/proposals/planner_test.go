package proposals

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
)

// desk is a Planner whose drafts take a minute.
type desk struct {
	*Planner
	mu     sync.Mutex
	begun  []string // keys
	atOnce int
	most   int
	done   int
	fails  error
}

func opens(t *testing.T) *desk {
	d := &desk{}
	d.Planner = NewPlanner(PlannerConfig{
		Now:  time.Now,
		Done: func(types.NamespacedName) { d.mu.Lock(); d.done++; d.mu.Unlock() },
		Draft: func(ctx context.Context, w Want) (Plan, error) {
			d.mu.Lock()
			d.begun = append(d.begun, w.Key)
			d.atOnce++
			d.most = max(d.most, d.atOnce)
			fails := d.fails
			d.mu.Unlock()
			defer func() { d.mu.Lock(); d.atOnce--; d.mu.Unlock() }()
			select {
			case <-time.After(time.Minute):
				return Plan{Commit: w.Key}, fails
			case <-ctx.Done():
				return Plan{}, ctx.Err()
			}
		},
	})
	go func() { _ = d.Start(t.Context()) }()
	return d
}

func (d *desk) wants(number int64, key string) {
	d.Want(Want{Subject: subject(number), Key: key})
}

func subject(number int64) Subject {
	return Subject{Repository: types.NamespacedName{Name: "posts"}, Number: number, Environment: "posts.production.main"}
}

func (d *desk) said(wait time.Duration) []string {
	time.Sleep(wait) // in a bubble of synctest
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	begun := d.begun
	d.begun = nil
	return begun
}

// The content of a merge request does not end the agent.
func TestADraftThatPanics(t *testing.T) {
	said := ""
	p := NewPlanner(PlannerConfig{
		Now: time.Now, Done: func(types.NamespacedName) {}, Draft: func(context.Context, Want) (Plan, error) { panic("it fails") },
		Panicked: func(w Want, why any, stack []byte) {
			said = fmt.Sprintf("%s: %v, in TestADraftThatPanics: %t", w.Key, why, strings.Contains(string(stack), "TestADraftThatPanics"))
		},
	})
	w := wanted{Want: Want{Subject: subject(1), Key: "k"}}
	p.wants[w.Subject] = w
	p.make(t.Context(), w)
	if plan, key := p.Planned(w.Subject); key != "k" || len(plan.Problems) != 1 || said != "k: it fails, in TestADraftThatPanics: true" {
		t.Errorf("%s; the plan is %+v", said, plan)
	}
}

// A Repository with many merge requests delays the plan of another one by one plan only.
func TestRepositoriesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := opens(t)
		for i := range int64(20) {
			d.wants(i, "many")
		}
		other := subject(1)
		other.Repository.Name = "other"
		time.Sleep(10 * time.Second)
		d.Want(Want{Subject: other, Key: "other"})
		if diff := cmp.Diff([]string{"many", "other", "many"}, d.said(150*time.Second)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestPlansAreMadeOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := opens(t)
		for number, key := range []string{"a", "b", "c"} {
			d.wants(int64(number), key)
			d.wants(int64(number), key)
		}
		if diff := cmp.Diff([]string{"a", "b", "c"}, d.said(time.Hour)); diff != "" || d.most != 1 || d.done != 3 {
			t.Errorf("%d at once, %d done (-want +got):\n%s", d.most, d.done, diff)
		}
		d.wants(1, "b")
		if begun := d.said(time.Hour); len(begun) != 0 {
			t.Errorf("a plan that is there was made again: %v", begun)
		}
	})
}

// Only the newest commit of a merge request is planned: what it supersedes is dropped, and stopped if it runs.
func TestANewerCommitSupersedesAPlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := opens(t)
		d.wants(7, "first")
		d.wants(7, "second")
		if diff := cmp.Diff([]string{"second"}, d.said(30*time.Second)); diff != "" {
			t.Errorf("a burst (-want +got):\n%s", diff)
		}
		d.wants(7, "third")
		if diff := cmp.Diff([]string{"third"}, d.said(time.Hour)); diff != "" {
			t.Errorf("while it runs (-want +got):\n%s", diff)
		}
		if plan, key := d.Planned(subject(7)); key != "third" || plan.Commit != "third" {
			t.Errorf("the plan is %v of %s", plan, key)
		}
	})
}

func TestAClosedMergeRequestIsNotPlanned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := opens(t)
		d.wants(7, "runs")
		d.said(30 * time.Second)
		d.wants(8, "waits")
		d.wants(9, "stays")
		d.Retain(types.NamespacedName{Name: "posts"}, map[Subject]bool{subject(9): true})
		if diff := cmp.Diff([]string{"stays"}, d.said(time.Hour)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		for _, number := range []int64{7, 8} {
			if _, key := d.Planned(subject(number)); key != "" {
				t.Errorf("%d has a plan", number)
			}
		}
	})
}

// A draft takes a moment to stop. What is wanted again in that moment is planned again.
func TestAPlanThatIsWantedAgainWhileItStops(t *testing.T) {
	for name, stop := range map[string]func(p *Planner){
		"closed and reopened": func(p *Planner) { p.Retain(types.NamespacedName{Name: "posts"}, nil) },
		"pushed and reverted": func(p *Planner) { p.Want(Want{Subject: subject(7), Key: "later"}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := opens(t)
				draft := d.Draft
				d.Draft = func(ctx context.Context, w Want) (Plan, error) {
					plan, err := draft(ctx, w)
					time.Sleep(time.Second)
					return plan, err
				}
				d.wants(7, "first")
				d.said(30 * time.Second)
				stop(d.Planner)
				d.wants(7, "first")
				if diff := cmp.Diff([]string{"first"}, d.said(time.Hour)); diff != "" {
					t.Errorf("begun (-want +got):\n%s", diff)
				}
				if plan, key := d.Planned(subject(7)); key != "first" || plan.Commit != "first" {
					t.Errorf("the plan is %v of %s", plan, key)
				}
			})
		})
	}
}

// An error that passes is tried again, less and less often; one that stays is said.
func TestAPlanThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := opens(t)
		d.fails = errors.New("the server does not answer")
		d.wants(7, "a")
		if begun := d.said(24 * time.Hour); len(begun) != tries+1 {
			t.Errorf("it was tried %d times", len(begun))
		}
		if plan, _ := d.Planned(subject(7)); len(plan.Problems) != 1 {
			t.Errorf("the plan is %v", plan)
		}
	})
}
