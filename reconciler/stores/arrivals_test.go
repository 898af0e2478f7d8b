package stores

import (
	"testing"
	"time"
)

func TestOnlyHeadsHaveATime(t *testing.T) {
	s := New(Config{Dir: t.TempDir()})
	s.Arrived("posts", map[string]string{"main": "a", "feature": "b"}, time.Second)
	s.Arrived("posts", map[string]string{"main": "a", "feature": "c"}, time.Minute)
	for commit, want := range map[string]time.Duration{"a": time.Second, "b": 0, "c": time.Minute, "": 0} {
		if got := s.Took("posts", commit); got != want {
			t.Errorf("%q took %s, want %s", commit, got, want)
		}
	}
	if got := s.Took("other", "a"); got != 0 {
		t.Errorf("in another repository it took %s", got)
	}
	if err := s.Drop("posts"); err != nil || s.Took("posts", "a") != 0 {
		t.Errorf("after its end it took %s, %v", s.Took("posts", "a"), err)
	}
}
