package feedback

import (
	"strings"
	"testing"
	"time"

	"berth.dev/berth/internal/apitest"
	"berth.dev/berth/source/forge"
)

// fault is an error of the forge.
func fault(reason forge.Reason, after time.Duration) error {
	return &forge.Error{Reason: reason, Op: "report", Cause: string(reason), After: after, Answered: true}
}

// at is a clock that stands.
func at(now time.Time) func() time.Time { return func() time.Time { return now } }

// each compares branches as a line does that sends one request at a time.
func (d *duty) each(names []string, now func() time.Time, compare func(name string) error) []string {
	l := &line{Sender: &Sender{Config: Config{Now: now, Jitter: func() float64 { return 0 }}}, atOnce: 1}
	l.deciding.Lock()
	return l.each(d, names, compare)
}

func TestDuty(t *testing.T) {
	unanswered := &forge.Error{Reason: forge.Unreachable, Op: "report", Cause: "connection refused"}
	for _, test := range []struct {
		rule   string
		errors map[string]error
		tried  string // of a, b, c and d
		left   string // to try at the retry
		fresh  string // what is tried of e, which changes before the retry
		wait   time.Duration
	}{
		{"all is well", nil, "abcd", "", "e", 0},
		{"one bad branch delays no other", map[string]error{"b": fault(forge.NotFound, 0)}, "abcd", "b", "e", time.Second},
		{"a forge that does not answer is not asked for the others", map[string]error{"b": unanswered}, "ab", "bcd", "", time.Second},
		{"a locked merge request is no missing permission", map[string]error{"a": fault(forge.Forbidden, 0)}, "abcd", "a", "e", time.Second},
		{"the forge says when to come back", map[string]error{"a": fault(forge.RateLimited, time.Minute)}, "a", "abcd", "", time.Minute},
		{"but not in a day", map[string]error{"a": fault(forge.RateLimited, 24*time.Hour)}, "a", "abcd", "", time.Hour},
		{"three errors in a row are enough", map[string]error{"a": fault(forge.Unreachable, 0), "b": fault(forge.Unreachable, 0), "c": fault(forge.Unreachable, 0)}, "abc", "abcd", "e", time.Second},
	} {
		t.Run(test.rule, func(t *testing.T) {
			d, now := newDuty(), apitest.Noon
			for _, name := range []string{"a", "b", "c", "d"} {
				d.dirty[name] = true
			}
			tried := d.each(d.take(now), at(now), func(name string) error { return test.errors[name] })
			if got := strings.Join(tried, ""); got != test.tried {
				t.Errorf("tried %s, want %s", got, test.tried)
			}
			d.dirty["e"] = true
			fresh := d.each(d.take(now), at(now), func(string) error { return nil })
			if got := strings.Join(fresh, ""); got != test.fresh {
				t.Errorf("before the retry, %q is tried, want %q", got, test.fresh)
			}
			if test.wait == 0 {
				return
			}
			if at := d.next(); !at.Equal(now.Add(test.wait)) {
				t.Errorf("the retry is at %s, want after %s", at, test.wait)
			}
			later := strings.Split(strings.Join(d.take(now.Add(test.wait)), ""), "")
			for _, name := range strings.Split(test.left, "") {
				if !strings.Contains(strings.Join(later, ""), name) {
					t.Errorf("%s is not tried again: %v", name, later)
				}
			}
			d.each(later, at(now.Add(test.wait)), func(string) error { return nil })
			if d.trouble() != nil || !d.next().IsZero() || d.failures != 0 {
				t.Errorf("after all went well: %v %s %d", d.trouble(), d.next(), d.failures)
			}
		})
	}
}

func TestRetriesBecomeRarer(t *testing.T) {
	d, now := newDuty(), apitest.Noon
	var waits []time.Duration
	for range 20 {
		d.dirty["a"] = true
		d.each([]string{"a"}, at(now), func(string) error { return fault(forge.Unreachable, 0) })
		waits = append(waits, d.retry.Sub(now))
		now = d.retry
	}
	if waits[0] != time.Second || waits[3] != 8*time.Second || waits[19] != 5*time.Minute {
		t.Errorf("the waits are %v", waits)
	}
}

// Requests that time out take longer than the first waits.
func TestTheWaitBeginsWhenTheRequestEnded(t *testing.T) {
	d, now := newDuty(), apitest.Noon
	d.dirty["a"] = true
	d.each(d.take(now), func() time.Time { return now }, func(string) error {
		now = now.Add(20 * time.Second)
		return &forge.Error{Reason: forge.Unreachable, Op: "report", Cause: "the forge took too long"}
	})
	if wait := d.next().Sub(now); wait != firstRetry {
		t.Errorf("the next request follows after %s", wait)
	}
}
