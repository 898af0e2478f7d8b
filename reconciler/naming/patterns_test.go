package naming

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"berth.dev/berth/api/v1alpha1"
)

func list(patterns ...string) []v1alpha1.BranchPattern {
	var out []v1alpha1.BranchPattern
	for _, pattern := range patterns {
		out = append(out, v1alpha1.BranchPattern(pattern))
	}
	return out
}

func TestPatterns(t *testing.T) {
	cases := map[string]struct {
		patterns []v1alpha1.BranchPattern
		literal  bool
		match    []string
		miss     []string
	}{
		"a name": {
			patterns: list("main"), literal: true,
			match: []string{"main"}, miss: []string{"Main", "main2", "a/main", "main/a", ""},
		},
		"several names": {
			patterns: list("main", "release/next"), literal: true,
			match: []string{"main", "release/next"}, miss: []string{"release"},
		},
		"a name with what means something elsewhere": {
			patterns: list("a.b+c$(d)|e"), literal: true,
			match: []string{"a.b+c$(d)|e"}, miss: []string{"axb+c$(d)|e", "e"},
		},
		"everything": {
			patterns: list("**"),
			match:    []string{"main", "feature/login", "a/b/c", "日本"},
		},
		"everything but": {
			patterns: list("**", "!main", "!renovate/**"),
			match:    []string{"feature/login", "renovate", "mainly", "a/renovate/b"},
			miss:     []string{"main", "renovate/go", "renovate/a/b"},
		},
		"the last one decides": {
			patterns: list("**", "!renovate/**", "renovate/major-*"),
			match:    []string{"a", "renovate/major-go"}, miss: []string{"renovate/go", "renovate/major-go/1"},
		},
		"a negated name": {
			patterns: list("main", "!next"),
			match:    []string{"main"}, miss: []string{"next"},
		},
		"within a folder": {
			patterns: list("feature/*"),
			match:    []string{"feature/login"}, miss: []string{"feature/login/2", "feature", "a/feature/b"},
		},
		"a part of a name": {
			patterns: list("release-*-rc"),
			match:    []string{"release-1-rc", "release--rc"}, miss: []string{"release-1/2-rc", "release-1"},
		},
		"below a folder": {
			patterns: list("feature/**"),
			match:    []string{"feature/a", "feature/a/b"}, miss: []string{"feature", "features/a"},
		},
		"in any folder, or none": {
			patterns: list("**/wip"),
			match:    []string{"wip", "a/wip", "a/b/wip"}, miss: []string{"a-wip", "wip/a"},
		},
		"any folders between": {
			patterns: list("a/**/z"),
			match:    []string{"a/z", "a/b/z", "a/b/c/z"}, miss: []string{"az", "a/bz"},
		},
		"two stars inside a name": {
			patterns: list("a**z"),
			match:    []string{"az", "a/z", "abz", "a/b/z"}, miss: []string{"a"},
		},
		"one character": {
			patterns: list("v?"),
			match:    []string{"v1", "vä"}, miss: []string{"v", "v12", "v/"},
		},
		"none": {literal: true, miss: []string{"main", ""}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			patterns, err := CompilePatterns(c.patterns)
			if err != nil {
				t.Fatal(err)
			}
			if patterns.Literal() != c.literal {
				t.Errorf("Literal() = %t", patterns.Literal())
			}
			for _, branch := range c.match {
				if !patterns.Match(branch) {
					t.Errorf("%q does not match", branch)
				}
			}
			for _, branch := range c.miss {
				if patterns.Match(branch) {
					t.Errorf("%q matches", branch)
				}
			}
		})
	}
}

func TestPatternsThatCannotBeUsed(t *testing.T) {
	cases := map[string]struct {
		patterns []v1alpha1.BranchPattern
		want     string
	}{
		"empty":           {list("main", ""), `branch pattern "" is empty`},
		"bare negation":   {list("**", "!"), `branch pattern "!" is empty`},
		"double negation": {list("**", "!!main"), `branch pattern "!!main" is negated twice`},
		"negation first":  {list("!main", "**"), `branch pattern "!main" is a negation with nothing before it to take out of: put "**" first`},
		"character class": {list("v[0-9]"), `branch pattern "v[0-9]" holds '[', which cannot be used: only **, *, ? and a leading ! have a meaning`},
		"alternatives":    {list("{a,b}"), `branch pattern "{a,b}" holds '{', which cannot be used: only **, *, ? and a leading ! have a meaning`},
		"space":           {list("my branch"), `branch pattern "my branch" holds ' ', which cannot be used: only **, *, ? and a leading ! have a meaning`},
		"not UTF-8":       {list("a\xff"), `branch pattern "a\xff" is not UTF-8`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if _, err := CompilePatterns(c.patterns); err == nil || err.Error() != c.want {
				t.Errorf("CompilePatterns(%q) = %v, want %s", c.patterns, err, c.want)
			}
		})
	}
}

func TestANameMatchesOnlyItself(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		branch := rapid.StringMatching(`[a-c./+$(|)-]{1,6}`)
		one, other := branch.Draw(t, "one"), branch.Draw(t, "other")
		patterns, err := CompilePatterns(list(one))
		if err != nil {
			t.Fatal(err)
		}
		if patterns.Match(other) != (one == other) {
			t.Errorf("the name %q and the branch %q: Match = %t", one, other, patterns.Match(other))
		}
	})
}

func FuzzPatterns(f *testing.F) {
	f.Add("**,!main", "feature/login")
	f.Add("a/**/z,?", "a/z")
	f.Add("***/*", "\xff/a")
	f.Fuzz(func(t *testing.T, patterns, branch string) {
		compiled, err := CompilePatterns(list(strings.Split(patterns, ",")...))
		if err != nil {
			return
		}
		all, err := CompilePatterns(list(strings.Split(patterns+",**", ",")...))
		if err != nil || !all.Match(branch) {
			t.Errorf("%q, then **, does not match %q: %v", patterns, branch, err)
		}
		if compiled.Literal() && compiled.Match(branch) && !strings.Contains(","+patterns+",", ","+branch+",") {
			t.Errorf("the names %q match %q, which is none of them", patterns, branch)
		}
	})
}
