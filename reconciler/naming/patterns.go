package naming

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"berth.dev/berth/api/v1alpha1"
)

// unusable are the characters that no branch has, and those that have a meaning in other tools' patterns but not
// here.
const unusable = " \t\r\n\v\f\\~^:[]{}"

// Patterns are the compiled branches of an entry. The zero value matches none.
type Patterns struct {
	rules   []rule
	literal bool
}

type rule struct {
	expression *regexp.Regexp
	negated    bool
}

// CompilePatterns reads the branches of an entry: names, or patterns in which ** stands for anything, **/ for any
// number of folders, * for anything but a slash and ? for one character but a slash. A pattern after ! excludes the
// branches that it matches. The errors name the pattern.
func CompilePatterns(branches []v1alpha1.BranchPattern) (Patterns, error) {
	compiled := Patterns{literal: true}
	for n, branch := range branches {
		pattern, negated := strings.CutPrefix(string(branch), "!")
		if err := check(pattern); err != nil {
			return Patterns{}, fmt.Errorf("branch pattern %q %w", branch, err)
		}
		if negated && n == 0 {
			return Patterns{}, fmt.Errorf("branch pattern %q is a negation with nothing before it to take out of: put \"**\" first", branch)
		}
		if negated || strings.ContainsAny(pattern, "*?") {
			compiled.literal = false
		}
		compiled.rules = append(compiled.rules, rule{expression: expression(pattern), negated: negated})
	}
	return compiled, nil
}

// Match reports whether the entry matches the branch: the last pattern that matches it decides.
func (p Patterns) Match(branch string) bool {
	for n := len(p.rules) - 1; n >= 0; n-- {
		if p.rules[n].expression.MatchString(branch) {
			return !p.rules[n].negated
		}
	}
	return false
}

// Literal reports whether all patterns are names of branches.
func (p Patterns) Literal() bool { return p.literal }

func check(pattern string) error {
	switch {
	case pattern == "":
		return errors.New("is empty")
	case pattern[0] == '!':
		return errors.New("is negated twice")
	case !utf8.ValidString(pattern):
		return errors.New("is not UTF-8")
	}
	if at := strings.IndexAny(pattern, unusable); at >= 0 {
		return fmt.Errorf("holds %q, which cannot be used: only **, *, ? and a leading ! have a meaning", pattern[at])
	}
	return nil
}

// expression translates a pattern to a regular expression, which Go matches in linear time.
func expression(pattern string) *regexp.Regexp {
	var text strings.Builder
	text.WriteString(`(?s)\A`)
	for at := 0; at < len(pattern); {
		rest := pattern[at:]
		stars := len(rest) - len(strings.TrimLeft(rest, "*"))
		switch {
		case stars > 1 && strings.HasPrefix(rest[stars:], "/") && (at == 0 || pattern[at-1] == '/'):
			text.WriteString(`(?:.*/)?`)
			at += stars + len("/")
		case stars > 1:
			text.WriteString(`.*`)
			at += stars
		case stars == 1:
			text.WriteString(`[^/]*`)
			at++
		case rest[0] == '?':
			text.WriteString(`[^/]`)
			at++
		default:
			end := strings.IndexAny(rest, "*?")
			if end < 0 {
				end = len(rest)
			}
			text.WriteString(regexp.QuoteMeta(rest[:end]))
			at += end
		}
	}
	text.WriteString(`\z`)
	return regexp.MustCompile(text.String())
}
