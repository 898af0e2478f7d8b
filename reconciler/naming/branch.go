package naming

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxBranch bounds the length of a branch's name. Servers store it as a path, whose elements have at most 255 bytes.
const maxBranch = 1024

// invisible are characters that are not visible, or that reorder the characters around them.
var invisible = []*unicode.RangeTable{unicode.Cc, unicode.Cf, unicode.Cs, unicode.Zl, unicode.Zp, unicode.Zs, unicode.Other_Default_Ignorable_Code_Point}

// Unusable returns why a branch gets no environment because of its name; empty if it may have one. It refuses the
// names that git check-ref-format refuses, and names with invisible characters: no branch may look like another.
func Unusable(branch string) string {
	switch {
	case !utf8.ValidString(branch):
		return "is not UTF-8"
	case len(branch) > maxBranch:
		return fmt.Sprintf("is longer than %d bytes", maxBranch)
	}
	for _, r := range branch {
		if isInvisible(r) {
			return fmt.Sprintf("has the invisible character %U", r)
		}
		if strings.ContainsRune(`~^:?*[\`, r) {
			return fmt.Sprintf("has %q, which Git refuses", r)
		}
	}
	for _, part := range []string{"..", "@{", "//"} {
		if strings.Contains(branch, part) {
			return fmt.Sprintf("has %q, which Git refuses", part)
		}
	}
	for element := range strings.SplitSeq(branch, "/") {
		if element == "" || strings.HasPrefix(element, ".") || strings.HasSuffix(element, ".lock") {
			return fmt.Sprintf("has the part %q, which Git refuses", element)
		}
	}
	if strings.HasSuffix(branch, ".") || strings.HasPrefix(branch, "-") || branch == "@" || branch == "HEAD" {
		return "is none that Git takes for a branch"
	}
	return ""
}

func isInvisible(r rune) bool {
	if r <= unicode.MaxASCII {
		return r <= ' ' || r == 0x7f // the same answer as the tables for ASCII, at a fraction of the cost
	}
	return unicode.In(r, invisible...)
}
