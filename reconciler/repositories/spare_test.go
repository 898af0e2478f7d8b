package repositories

import (
	"errors"
	"testing"
	"time"

	"berth.dev/berth/source"
)

func TestListingsThatAreTooLargeAreRepeatedLessAndLess(t *testing.T) {
	large, now := &source.Error{Reason: source.TooLarge}, time.Unix(1000, 0)
	var s spare
	for _, pause := range []time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second, 160 * time.Second, 5 * time.Minute, 5 * time.Minute} {
		s = s.after(large, nil, now)
		if !s.saves(now.Add(pause-1)) || s.saves(now.Add(pause)) || !s.literals {
			t.Fatalf("%+v at %v, want a pause of %v in which the branches that entries name are asked for", s, now, pause)
		}
		now = now.Add(pause)
	}
	if s := s.after(large, large, now); s.literals {
		t.Error("branches that entries name are asked for though that answer was too large as well")
	}
	if s := s.after(large, errors.New("unreachable"), now); !s.literals {
		t.Error("branches that entries name are not asked for because of another trouble")
	}
	if s := s.after(nil, nil, now); s != (spare{}) {
		t.Errorf("after a listing that was not too large there is %+v", s)
	}
}
