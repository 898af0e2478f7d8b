package render

import (
	"regexp"
	"strings"
)

// textKind says what a text is.
type textKind int

const (
	// aValue is the value of a field.
	aValue textKind = iota
	// aProgram is a script or a configuration, which has variables of its own: a text of several lines, or a command.
	aProgram
)

func textKindOf(text string) textKind {
	if strings.Contains(strings.TrimSuffix(text, "\n"), "\n") {
		return aProgram
	}
	return aValue
}

// assigns reports whether a text, such as a shell script, sets a variable itself. Then ${NAME} belongs to the text.
// NAME=${NAME} alone does not count, because it only passes a value on.
func (v *variables) assigns(text, name string) bool {
	if strings.Count(text, name) < 2 {
		return false
	}
	pattern := v.assignments[name]
	if pattern == nil {
		pattern = assignment(name)
		v.assignments[name] = pattern
	}
	for _, match := range pattern.FindAllStringSubmatch(text, -1) {
		if !strings.Contains(match[1], "${"+name+"}") {
			return true
		}
	}
	return false
}

// assignment matches NAME=…, also after export, local and the like, "read NAME", "for NAME in" and ": ${NAME:=…}".
// The first group is the text after NAME=.
func assignment(name string) *regexp.Regexp {
	n := regexp.QuoteMeta(name)
	return regexp.MustCompile(`(?m)(?:^|[\s;&|(])` + n + `[ \t]*[:?+]?=([^=;&|\n][^;&|\n]*|[;&|]|$)` +
		`|\bread[ \t]+(?:-?\w+[ \t]+)*` + n + `\b` +
		`|\bfor[ \t]+` + n + `[ \t]+in\b` +
		`|(?:^|[\s;&|(]):[ \t]+"?\$\{` + n + `:?=`)
}
