package soak

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// sample is what an agent holds at rest. The heap is measured after a collection, in bytes.
type sample struct{ heap, goroutines, files int }

// What may grow from the second quarter of a run to its last. A heap differs by what was cached last.
const (
	heapGrowth      = 4 << 20
	goroutineGrowth = 10
	fileGrowth      = 10
)

// leastSamples is how many samples a verdict takes.
const leastSamples = 16

// growth returns what grew, and a line of figures. The first quarter warms up caches. Medians leave out single peaks.
func growth(samples []sample) (grew []string, figures string) {
	early, late := samples[len(samples)/4:len(samples)/2], samples[len(samples)*3/4:]
	for _, of := range []struct {
		name  string
		most  int
		value func(sample) int
	}{
		{"heap in KiB", heapGrowth >> 10, func(s sample) int { return s.heap >> 10 }},
		{"goroutines", goroutineGrowth, func(s sample) int { return s.goroutines }},
		{"open files", fileGrowth, func(s sample) int { return s.files }},
	} {
		before, after := median(early, of.value), median(late, of.value)
		line := fmt.Sprintf("%s: %d, later %d", of.name, before, after)
		figures += line + "; "
		if after-before > of.most {
			grew = append(grew, fmt.Sprintf("%s, and %d more are allowed", line, of.most))
		}
	}
	return grew, strings.TrimSuffix(figures, "; ")
}

func median(samples []sample, value func(sample) int) int {
	var all []int
	for _, s := range samples {
		all = append(all, value(s))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

func TestGrowth(t *testing.T) {
	for name, test := range map[string]struct {
		at   func(i int) sample
		want string
	}{
		"flat":                    {func(i int) sample { return sample{30<<20 + i%3<<20, 200 + i%5, 20} }, ""},
		"warming up":              {func(i int) sample { return sample{min(i, 20) << 20, min(10*i, 200), 20} }, ""},
		"one peak at the end":     {func(i int) sample { return sample{30<<20 + i/99<<30, 200, 20} }, ""},
		"memory that leaks":       {func(i int) sample { return sample{30<<20 + i<<17, 200, 20} }, "heap in KiB"},
		"goroutines that leak":    {func(i int) sample { return sample{30 << 20, 200 + i/4, 20} }, "goroutines"},
		"files that stay open":    {func(i int) sample { return sample{30 << 20, 200, 20 + i/4} }, "open files"},
		"what becomes less":       {func(i int) sample { return sample{(100 - i) << 20, 300 - i, 120 - i} }, ""},
		"a little more each hour": {func(i int) sample { return sample{30<<20 + i<<14, 200 + i/20, 20} }, ""},
	} {
		var samples []sample
		for i := range 100 {
			samples = append(samples, test.at(i))
		}
		grew, figures := growth(samples)
		if got := strings.Join(grew, "; "); test.want == "" && got != "" || !strings.HasPrefix(got, test.want) {
			t.Errorf("%s: %q of %s, want %q", name, got, figures, test.want)
		}
	}
}
