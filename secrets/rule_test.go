package secrets

import (
	"regexp"
	"regexp/syntax"
	"strings"
	"testing"
)

var someRules = map[string]string{
	"usual": "^(data|stringData)$", "words": strings.Repeat("(password|token|key)", 20), "counted": "(a{0,9}b{0,9}){0,9}",
	"nested": strings.Repeat("(((a{0,9}b{0,9}){0,9}c{0,9}){0,9}d{0,9})", 4), "unbounded": "(x+y{3,}z*)+?", "classes": `[a-z_]+\d{1,40}[^x]*`,
}

// The guard estimates the compiled size of a rule without compiling it: at least the real size, and at most four times
// that.
func TestWhatARuleCosts(t *testing.T) {
	for name, rule := range someRules {
		parsed, err := syntax.Parse(rule, syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		estimated := instructions(parsed)
		program, err := syntax.Compile(parsed.Simplify())
		if err != nil {
			t.Fatal(err)
		}
		if size := len(program.Inst); estimated < size/2 || estimated > 4*size {
			t.Errorf("%s: it has %d instructions, estimated are %d", name, size, estimated)
		}
	}
}

// BenchmarkRule measures how long a million instructions take to compile; maxRuleCost relies on it.
func BenchmarkRule(b *testing.B) {
	rule := someRules["nested"]
	parsed, err := syntax.Parse(rule, syntax.Perl)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := regexp.Compile(rule); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N)/float64(instructions(parsed))*1e6, "ms/million")
}
