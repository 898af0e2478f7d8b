package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"berth.dev/berth/e2e/world"
)

// requestsSince returns how many requests per branch the agent has made since a time. It logs them by sort, with the
// times of the first and the last of each.
func (b *bench) requestsSince(began time.Time) float64 {
	traffic, err := b.world.Since(began, b.server)
	if err != nil {
		b.t.Fatalf("cannot count the agent's requests: %v", err)
	}
	b.t.Logf("%.1f requests per branch:\n%s", float64(len(traffic.API))/float64(b.branches), timeline(traffic, began))
	return float64(len(traffic.API)) / float64(b.branches)
}

// timeline shows a line for each sort of request, in the order of the first.
func timeline(traffic world.Traffic, began time.Time) string {
	type sort struct {
		name        string
		count       int
		first, last time.Duration
	}
	sorts := map[string]*sort{}
	for _, r := range traffic.API {
		name := strings.TrimSuffix(fmt.Sprintf("%s %s/%s", r.Verb, r.Resource, r.Subresource), "/")
		if r.Resource == "secrets" && strings.HasPrefix(r.Name, "berth-record.") {
			name = r.Verb + " records"
		}
		at := r.Received.Sub(began)
		s := sorts[name]
		if s == nil {
			s = &sort{name: name, first: at}
			sorts[name] = s
		}
		s.count++
		s.first, s.last = min(s.first, at), max(s.last, at)
	}
	var lines strings.Builder
	for _, s := range slices.SortedFunc(maps.Values(sorts), func(a, b *sort) int { return int(a.first - b.first) }) {
		fmt.Fprintf(&lines, "    %5d %-32s from %6.2f s to %6.2f s\n", s.count, s.name, s.first.Seconds(), s.last.Seconds())
	}
	return lines.String()
}
