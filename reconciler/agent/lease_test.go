package agent

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// replicas share one Lease and one clock.
type replicas struct {
	t      *testing.T
	client *fake.Clientset
	clock  time.Time
}

func newReplicas(t *testing.T) *replicas {
	return &replicas{t: t, client: fake.NewClientset(), clock: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
}

// replica is one of the replicas, and counts the requests that pass its fence.
type replica struct {
	*lease
	t    *testing.T
	http *http.Client
	url  string
	sent atomic.Int32
}

func (r *replicas) replica(identity string) *replica {
	lock := &resourcelock.LeaseLock{Client: r.client.CoordinationV1(), LockConfig: resourcelock.ResourceLockConfig{Identity: identity}}
	lock.LeaseMeta.Namespace, lock.LeaseMeta.Name = "berth", leaseName
	one := &replica{t: r.t, lease: &lease{
		Interface: lock, duration: DefaultLease, taken: make(chan struct{}),
		now: func() time.Time { return r.clock }, log: slog.New(slog.DiscardHandler),
	}}
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { one.sent.Add(1) }))
	r.t.Cleanup(server.Close)
	one.url, one.http = server.URL, &http.Client{Transport: one.fence(http.DefaultTransport)}
	return one
}

// leads takes or renews the lease as the election does.
func (r *replica) leads() error {
	_, _, err := r.Get(r.t.Context())
	record := resourcelock.LeaderElectionRecord{HolderIdentity: r.Identity(), LeaseDurationSeconds: 15}
	if err != nil {
		return r.Create(r.t.Context(), record)
	}
	return r.Update(r.t.Context(), record)
}

// sends makes a request, and reports whether it reached the server.
func (r *replica) sends(method string) bool {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), method, r.url, strings.NewReader("{}"))
	if err != nil {
		r.t.Fatal(err)
	}
	before := r.sent.Load()
	answer, err := r.http.Do(request)
	if err == nil {
		_ = answer.Body.Close()
	} else if !errors.Is(err, errLapsed) {
		r.t.Fatal(err)
	}
	return r.sent.Load() > before
}

func (r *replica) expect(when string, writes bool) {
	r.t.Helper()
	for _, method := range []string{http.MethodPost, http.MethodPatch, http.MethodPut, http.MethodDelete} {
		if got := r.sends(method); got != writes {
			r.t.Errorf("%s: %s of %s was sent: %t", when, method, r.Identity(), got)
		}
	}
	if !r.sends(http.MethodGet) {
		r.t.Errorf("%s: %s may not even read", when, r.Identity())
	}
}

func TestOnlyWhoLeadsWrites(t *testing.T) {
	all := newReplicas(t)
	one, two := all.replica("one"), all.replica("two")
	one.expect("before anybody led", true) // writes that every replica makes
	if err := one.leads(); err != nil {
		t.Fatal(err)
	}
	all.clock = all.clock.Add(one.deadline() - time.Nanosecond)
	one.expect("until the last moment", true)
	all.clock = all.clock.Add(time.Nanosecond)
	one.expect("when it has not renewed its lease in time", false)
	if err := one.leads(); err != nil {
		t.Fatal(err)
	}
	one.expect("when no other agent had taken it", true)

	all.clock = all.clock.Add(DefaultLease)
	if err := two.leads(); err != nil {
		t.Fatal(err)
	}
	one.expect("thawed, before it knows that another leads", false)
	two.expect("with the lease", true)
	if err := one.leads(); !errors.Is(err, errLapsed) {
		t.Errorf("who lost the lease took it again: %v", err)
	}
	if err := one.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "another agent leads") {
		t.Errorf("who lost the lease goes on: %v", err)
	}
	one.expect("when it knows", false)
}

func TestAnAgentInheritsTheLeaseOfItsPredecessorAlone(t *testing.T) {
	for _, test := range []struct {
		name, predecessor string
		after             time.Duration
		want              string // the holder that it sees
	}{
		{"its own", "pod_one", 2 * time.Second, ""},
		{"its own, but what it sent may be on its way", "pod_one", time.Second, "pod_one"},
		{"another's", "pod_two", time.Minute, "pod_one"},
		{"it has none", "", time.Minute, "pod_one"},
	} {
		t.Run(test.name, func(t *testing.T) {
			all := newReplicas(t)
			one, next := all.replica("pod_one"), all.replica("pod_next")
			if err := one.leads(); err != nil {
				t.Fatal(err)
			}
			next.predecessor, next.begun = test.predecessor, all.clock
			all.clock = all.clock.Add(test.after)
			record, _, err := next.Get(t.Context())
			if err != nil || record.HolderIdentity != test.want {
				t.Errorf("it sees %+v, %v, want the holder %q", record, err, test.want)
			}
		})
	}
}

func TestAPredecessorHasProvablyEnded(t *testing.T) {
	dir := t.TempDir()
	expect := func(identity, want string) *os.File {
		t.Helper()
		before, place, err := takePlace(dir, identity)
		if err != nil || before != want {
			t.Errorf("%s finds the predecessor %q, %v, want %q", identity, before, err, want)
		}
		return place
	}
	first := expect("pod_first", "")
	if place := expect("pod_second", ""); place != nil {
		t.Error("two agents have one place")
	}
	if err := first.Close(); err != nil { // as the kernel does at the end of a process
		t.Fatal(err)
	}
	second := expect("pod_second", "pod_first")
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if third := expect("other_third", ""); third == nil || third.Close() != nil {
		t.Error("on another host it has no place")
	}
}

func TestWhoGivesTheLeaseBackWritesNoMore(t *testing.T) {
	one := newReplicas(t).replica("one")
	if err := one.leads(); err != nil {
		t.Fatal(err)
	}
	if err := one.Update(t.Context(), resourcelock.LeaderElectionRecord{LeaseDurationSeconds: 1}); err != nil {
		t.Fatal(err)
	}
	one.expect("when it is given back", false)
}

func TestTimePassesByEitherClock(t *testing.T) {
	then := time.Now()
	for name, now := range map[string]time.Time{
		"while the machine was suspended, when the one stands": then.Round(0).Add(time.Minute),
		"by both": then.Add(time.Minute),
	} {
		if got := passed(then, now); got != time.Minute {
			t.Errorf("%s: %s have passed, want a minute", name, got)
		}
	}
}

func TestTheDurationOfALease(t *testing.T) {
	for duration, fine := range map[time.Duration]bool{
		DefaultLease: true, leastLease: true, time.Second: false, 0: false, -time.Minute: false, 3500 * time.Millisecond: false,
	} {
		if err := CheckLease(duration); (err == nil) != fine {
			t.Errorf("a lease of %s: %v", duration, err)
		}
	}
}
