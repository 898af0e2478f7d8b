package secrets

import (
	"strings"
	"unicode"
)

// Printable makes a text from a file safe for a message.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}
