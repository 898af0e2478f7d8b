package render

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// exposure knows what was decrypted, and what stands in plain all the same, so that it is no secret.
type exposure struct {
	secrets []string
	plain   []string
}

// longText is from where on a text hardly stands within another by chance.
const longText = 8

// decrypted notes the plain text of a file. Of values with several lines each counts by itself, since
// formats indent them.
func (e *exposure) decrypted(content []byte, values []string) {
	e.secrets = append(e.secrets, strings.TrimSpace(string(content)))
	for _, value := range values {
		e.secrets = append(e.secrets, value)
		if !strings.Contains(value, "\n") {
			continue
		}
		for line := range strings.Lines(value) {
			if line = strings.TrimSpace(line); len(line) >= longText {
				e.secrets = append(e.secrets, line)
			}
		}
	}
}

// inPlain notes what anybody who sees the commit or the Repository can read.
func (e *exposure) inPlain(text string) { e.plain = append(e.plain, text) }

// settle leaves only those secrets that stand nowhere in plain.
func (e *exposure) settle() {
	slices.Sort(e.secrets)
	e.secrets = slices.DeleteFunc(slices.Compact(e.secrets), func(secret string) bool {
		return secret == "" || slices.ContainsFunc(e.plain, func(text string) bool { return strings.Contains(text, secret) })
	})
	e.plain = nil
}

// in says whether a text holds a secret.
func (e *exposure) in(text string) bool {
	return slices.ContainsFunc(e.secrets, func(secret string) bool {
		if len(secret) >= longText {
			return strings.Contains(text, secret)
		}
		return hasWord(text, secret)
	})
}

// hasWord says whether a text has a short one in it that does not go on before or after.
func hasWord(text, word string) bool {
	for from := 0; ; {
		at := strings.Index(text[from:], word)
		if at < 0 {
			return false
		}
		before, _ := utf8.DecodeLastRuneInString(text[:from+at])
		after, _ := utf8.DecodeRuneInString(text[from+at+len(word):])
		if !goesOn(before) && !goesOn(after) {
			return true
		}
		from += at + 1
	}
}

func goesOn(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// concealed says whether the object may hold what it holds of decrypted values.
func (r *renderer) concealed(c checker) *Error {
	kind, _ := c.content["kind"].(string)
	version, _ := c.content["apiVersion"].(string)
	if len(r.exposure.secrets) == 0 || r.mayHold(version, kind) {
		return nil
	}
	path := textAt(c.content, nil, r.exposure.in)
	if path == nil {
		path = decodedAt(c.content, r.exposure.in)
	}
	if path == nil {
		return nil
	}
	return c.fail(path, strings.Join(path, ".")+" holds what was decrypted, and in the cluster anybody who may read a "+kind+" could read it",
		"generate a Secret instead, or have "+kind+" added to the entry's decryption.kinds")
}
