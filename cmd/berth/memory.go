package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// restAfter is for how long an agent has to be at rest before it returns memory.
const restAfter = 10 * time.Second

// returnMemory returns free memory to the operating system each time the agent comes to rest, until the context ends. The
// garbage collector runs when a program allocates, so an agent at rest would keep the memory of its busiest minute.
func returnMemory(ctx context.Context) {
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}}
	var p pause
	for wait(ctx, restAfter) {
		metrics.Read(samples)
		if p.begins(samples[0].Value.Uint64(), samples[1].Value.Uint64()) {
			debug.FreeOSMemory()
		}
	}
}

// pause finds out when an agent comes to rest. It is asked at regular times.
type pause struct {
	before   uint64 // what was allocated when it was asked before
	returned uint64 // what was allocated when memory was last returned
}

// begins reports whether memory should be returned now: hardly any was allocated since the last call, but much since memory
// was last returned. Both are measured against the live memory, in bytes, so that a large agent comes to rest as well.
func (p *pause) begins(allocated, live uint64) bool {
	atRest := allocated-p.before < live/16
	p.before = allocated
	if !atRest || allocated-p.returned < live/2 {
		return false
	}
	p.returned = allocated
	return true
}
