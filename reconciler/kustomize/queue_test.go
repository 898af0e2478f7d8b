package kustomize

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestTurns queues builds in the order of their names while one runs, and checks the order in which they begin.
func TestTurns(t *testing.T) {
	for _, c := range []struct {
		reason  string
		waiting []string // the first letter is the owner, a capital one is urgent
		want    string
	}{
		{"in the order in which they came", []string{"a1", "a2", "a3"}, "a1 a2 a3"},
		{"urgent ones first", []string{"a1", "A2", "a3", "A4"}, "A2 A4 a1 a3"},
		{"owners in turns", []string{"a1", "a2", "a3", "b1", "b2"}, "a1 b1 a2 b2 a3"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue(1)
				first, err := q.enter(t.Context(), Request{})
				if err != nil {
					t.Fatal(err)
				}
				order := make(chan string, len(c.waiting))
				var all sync.WaitGroup
				for _, name := range c.waiting {
					all.Go(func() {
						owner := strings.ToLower(name[:1])
						done, err := q.enter(t.Context(), Request{Owner: owner, Urgent: name[:1] != owner})
						if err != nil {
							t.Error(err)
						}
						order <- name
						<-time.After(time.Second) // of the bubble's clock
						done()
					})
					synctest.Wait()
				}
				first()
				all.Wait()
				close(order)
				var got []string
				for name := range order {
					got = append(got, name)
				}
				if strings.Join(got, " ") != c.want {
					t.Errorf("got %v, want %s", got, c.want)
				}
			})
		})
	}
}

func TestTheLastPlaceIsForUrgentBuilds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(2)
		done, err := q.enter(t.Context(), Request{})
		if err != nil {
			t.Fatal(err)
		}
		other := make(chan struct{})
		go func() {
			defer close(other)
			if done, err := q.enter(t.Context(), Request{}); err == nil {
				done()
			}
		}()
		synctest.Wait()
		urgent, err := q.enter(t.Context(), Request{Urgent: true})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		select {
		case <-other:
			t.Error("a second build that is not urgent goes on")
		default:
		}
		done()
		<-other // while the urgent one still runs
		urgent()
	})
}

func TestAnOwnerLeavesAPlaceToAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(3)
		enter := func(r Request) func() {
			done, err := q.enter(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			return done
		}
		first := enter(Request{Owner: "a"})
		second := make(chan struct{})
		go func() {
			defer close(second)
			if done, err := q.enter(t.Context(), Request{Owner: "a"}); err == nil {
				done()
			}
		}()
		synctest.Wait()
		other, urgent := enter(Request{Owner: "b"}), enter(Request{Owner: "a", Urgent: true})
		select {
		case <-second:
			t.Error("a second build of the same owner goes on")
		default:
		}
		first()
		<-second
		other()
		urgent()
	})
}

func TestWhoGivesUpLeavesTheQueue(t *testing.T) {
	q := newQueue(1)
	done, err := q.enter(t.Context(), Request{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := q.enter(ctx, Request{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	done()
	again, err := q.enter(t.Context(), Request{})
	if err != nil {
		t.Fatal(err)
	}
	again()
}
