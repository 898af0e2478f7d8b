package manifest

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// unescaped is a text whose escapes are decoded, with the place in the text of each byte and of the end.
type unescaped struct {
	meaning string
	places  []int
}

// unescape decodes the escapes of JSON in a text, which may be one line of many or a part of a document. Without a
// backslash there is nothing to decode.
func unescape(text string) unescaped {
	if !strings.Contains(text, `\`) {
		return unescaped{}
	}
	meaning, places := make([]byte, 0, len(text)), make([]int, 0, len(text)+1)
	for at := 0; at < len(text); {
		decoded, size := escape(text[at:])
		for range decoded {
			places = append(places, at)
		}
		meaning = append(meaning, decoded...)
		at += size
	}
	return unescaped{string(meaning), append(places, len(text))}
}

// simple are the escapes of two characters.
var simple = map[byte]string{'"': `"`, '\'': "'", '\\': `\`, '/': "/", 'b': "\b", 'f': "\f", 'n': "\n", 'r': "\r", 't': "\t"}

// escape returns the meaning and the size of the first character of a text. A broken escape means itself.
func escape(text string) (meaning []byte, size int) {
	if len(text) < 2 || text[0] != '\\' {
		return []byte{text[0]}, 1
	}
	if short, ok := simple[text[1]]; ok {
		return []byte(short), 2
	}
	first, ok := unit(text)
	if !ok {
		return []byte{text[0]}, 1
	}
	if second, ok := unit(text[6:]); ok && utf16.IsSurrogate(first) {
		if both := utf16.DecodeRune(first, second); both != utf8.RuneError {
			return utf8.AppendRune(nil, both), 12
		}
	}
	return utf8.AppendRune(nil, first), 6
}

// unit returns the number of a \uXXXX at the start of a text.
func unit(text string) (rune, bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(text[2:6], 16, 16)
	return rune(n), err == nil
}

// hide replaces a value in the text by a mark, however it is escaped there.
func (u unescaped) hide(text, value, mark string) string {
	var out strings.Builder
	kept, from := 0, 0 // the places in the text and in its meaning
	for {
		n := strings.Index(u.meaning[from:], value)
		if n < 0 {
			break
		}
		n += from
		from = n + len(value)
		out.WriteString(text[kept:u.places[n]])
		out.WriteString(mark)
		kept = u.places[from]
	}
	if kept == 0 {
		return text
	}
	return out.String() + text[kept:]
}
