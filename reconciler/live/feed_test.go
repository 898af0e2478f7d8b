package live

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
)

// losses is a sink that notes when attempts end, and ends the feed after some.
type losses struct {
	began time.Time
	at    []time.Duration
	end   context.CancelFunc
}

func (l *losses) put(int)                          {}
func (l *losses) remove(int)                       {}
func (l *losses) replace([]int, string, time.Time) {}
func (l *losses) lost(error) {
	if l.at = append(l.at, time.Since(l.began)); len(l.at) == 5 {
		l.end()
	}
}

// A watch that cannot begin is tried again after pauses that grow and are spread.
func TestAFeedTriesAgainMoreAndMoreRarely(t *testing.T) {
	for name, test := range map[string]struct {
		jitter float64
		want   []time.Duration // in milliseconds
	}{
		"at the earliest": {0, []time.Duration{0, 200, 600, 1400, 3000}},
		"half way":        {0.5, []time.Duration{0, 225, 675, 1575, 3375}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				seen := &losses{began: time.Now(), end: cancel}
				f := feed[int]{
					into: seen,
					open: func() (*cache.ListWatch, error) { return nil, errors.New("no such kind") },
					cfg:  &Config{Clock: clock.RealClock{}, Jitter: func() float64 { return test.jitter }},
				}
				f.run(ctx)
				for i := range test.want {
					test.want[i] *= time.Millisecond
				}
				if !slices.Equal(seen.at, test.want) {
					t.Errorf("it ended after %s, want %s", seen.at, test.want)
				}
			})
		})
	}
}

// An object of another program that makes the agent panic ends only the watch of its kind, for a while.
func TestAFeedThatPanicsTriesAgainMoreAndMoreRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		seen, log := &losses{began: time.Now(), end: cancel}, &bytes.Buffer{}
		f := feed[int]{
			into: seen,
			open: func() (*cache.ListWatch, error) { panic("an object") },
			cfg:  &Config{Clock: clock.RealClock{}, Jitter: func() float64 { return 0 }, Log: slog.New(slog.NewTextHandler(log, nil))},
		}
		f.run(ctx)
		if len(seen.at) != 5 || seen.at[4] != 3*time.Second {
			t.Errorf("it ended after %s", seen.at)
		}
		if text := log.String(); !strings.Contains(text, "feed_test.go") || strings.Contains(text, "an object") {
			t.Errorf("the log has no place, or a foreign text: %.500s", text)
		}
	})
}
