package render

import (
	"index/suffixarray"
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"
)

// haystack is a text in which others are looked for.
type haystack struct {
	text string
	// index is nil where few are looked for.
	index *suffixarray.Index
}

const (
	// indexed is how many searches take longer than to build an index, with which the time of each hardly grows with
	// the text: who can push a branch chooses how many values are encrypted, and beside how much text.
	indexed = 200
	// pile is the size to which texts are joined. An index takes five times as much.
	pile = 4 << 20
)

// haystacks joins texts, in each of which so many others are to be looked for.
func haystacks(texts []string, searches int) iter.Seq[haystack] {
	return func(yield func(haystack) bool) {
		for len(texts) > 0 && searches > 0 {
			count, size := 0, 0
			for count < len(texts) && size < pile {
				size += len(texts[count])
				count++
			}
			h := haystack{text: strings.Join(texts[:count], "\x00")}
			if searches > indexed {
				h.index = suffixarray.New([]byte(h.text))
			}
			if !yield(h) {
				return
			}
			texts = texts[count:]
		}
	}
}

// has says whether a text stands somewhere in it.
func (h haystack) has(text string) bool {
	if h.index == nil {
		return strings.Contains(h.text, text)
	}
	return len(h.index.Lookup([]byte(text), 1)) > 0
}

// exposes says whether a secret stands in it, and not by chance: a short one within a longer word says nothing.
func (h haystack) exposes(secret string) bool {
	if len(secret) >= longText {
		return h.has(secret)
	}
	if h.index != nil {
		for _, at := range h.index.Lookup([]byte(secret), -1) {
			if h.isWord(at, len(secret)) {
				return true
			}
		}
		return false
	}
	for from := 0; ; from++ {
		at := strings.Index(h.text[from:], secret)
		if at < 0 {
			return false
		}
		if from += at; h.isWord(from, len(secret)) {
			return true
		}
	}
}

// isWord says whether what stands at a place does not go on before or after.
func (h haystack) isWord(at, length int) bool {
	before, _ := utf8.DecodeLastRuneInString(h.text[:at])
	after, _ := utf8.DecodeRuneInString(h.text[at+length:])
	return !goesOn(before) && !goesOn(after)
}

func goesOn(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
