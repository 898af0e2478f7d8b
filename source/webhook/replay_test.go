package webhook

import (
	"strconv"
	"testing"
	"time"
)

func TestReplaysAreRememberedAsLongAsTheyCouldBeAuthentic(t *testing.T) {
	var r replays
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for after := range 40 * time.Minute / time.Second {
		now := start.Add(after * time.Second)
		r.repeated("posts", "every-second-"+strconv.Itoa(int(after)), now)
		if old := after - memory/time.Second; old >= 0 && !r.repeated("posts", "every-second-"+strconv.Itoa(int(old)), now) {
			t.Fatalf("the delivery of second %d is forgotten after %s", old, memory)
		}
	}
}

func TestReplaysNeedBoundedMemory(t *testing.T) {
	var r replays
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for n := range 10 * maxRemembered {
		r.repeated("posts", strconv.Itoa(n), now)
		if held := len(r.newer) + len(r.older); held > 2*maxRemembered {
			t.Fatalf("%d ids are remembered after %d deliveries", held, n)
		}
	}
	if !r.repeated("posts", strconv.Itoa(10*maxRemembered-1), now) {
		t.Error("the newest delivery is forgotten")
	}
}
