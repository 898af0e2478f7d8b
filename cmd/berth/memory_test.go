package main

import "testing"

func TestMemoryIsReturnedWhenTheAgentComesToRest(t *testing.T) {
	const mb = 1 << 20
	var p pause
	for _, step := range []struct {
		name            string
		allocated, live uint64
		want            bool
	}{
		{"a rollout", 500 * mb, 20 * mb, false},
		{"the rollout goes on", 900 * mb, 20 * mb, false},
		{"at rest", 901 * mb, 20 * mb, true},
		{"still at rest", 902 * mb, 20 * mb, false},
		{"one push", 930 * mb, 20 * mb, false},
		{"at rest again", 931 * mb, 20 * mb, true},
		{"polls add up", 932 * mb, 20 * mb, false},
		{"and would leave too little to return", 933 * mb, 20 * mb, false},
		{"a large agent", 2000 * mb, 200 * mb, false},
		{"whose watches allocate at rest, too", 2010 * mb, 200 * mb, true},
	} {
		if got := p.begins(step.allocated, step.live); got != step.want {
			t.Errorf("%s: memory is returned: %v, want %v", step.name, got, step.want)
		}
	}
}
