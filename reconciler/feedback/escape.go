package feedback

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Everything that comes from Git or from the cluster is foreign: whoever pushes a branch chooses it. It stands in notes
// only in code spans and code blocks, where no forge looks for mentions, references, HTML or Markdown, and never at the
// beginning of a line, where GitLab looks for quick actions, even in code
// (https://gitlab.com/gitlab-org/gitlab/-/blob/master/lib/gitlab/quick_actions/extractor.rb).
//
// Bots read the source of a comment, with its code, and obey whoever may write to the repository, as the user of the token may:
// "@dependabot merge". So no foreign text has an @.

// code returns a foreign text as a code span on one line, which nothing in the text can end: it has no backtick. It has no
// vertical bar either, because tables are split at these before code spans are read.
func code(text string, most int) string {
	text = strings.NewReplacer("`", "'", "|", "¦").Replace(plain(text))
	text = strings.Join(strings.Fields(text), " ")
	if text = clip(text, most); text == "" {
		return "–"
	}
	return "`" + text + "`"
}

// block returns a foreign text of several lines as a code block. Each line is indented.
func block(text string) string {
	var b strings.Builder
	b.WriteString("```text\n")
	for line := range strings.Lines(strings.ReplaceAll(text, "\r", "")) {
		b.WriteString("  " + strings.ReplaceAll(plain(strings.TrimRight(line, "\n")), "`", "'") + "\n")
	}
	return b.String() + "```\n"
}

// fullwidthAt looks like an @, and begins no mention.
const fullwidthAt = "＠"

// plain makes the characters of a text visible: those that control, hide or reorder others become a replacement character,
// and those that end a line a space. An @ stays one in the digest of an image alone, which people copy.
func plain(text string) string {
	text = strings.ReplaceAll(strings.ReplaceAll(text, "@", fullwidthAt), fullwidthAt+"sha256:", "@sha256:")
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r), r == '\u2028', r == '\u2029':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), unicode.Is(unicode.Co, r), unicode.Is(unicode.Variation_Selector, r):
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(text, string(utf8.RuneError)))
}

// clip cuts a text to a number of bytes, between two characters.
func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	most -= len("…")
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most] + "…"
}

// link returns a Markdown link to an address, or a dash if the address is no web address. A branch's name may be a part of
// it, so everything but letters, digits and the characters of plain addresses is encoded.
func link(words, address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return "–"
	}
	var b strings.Builder
	for _, c := range []byte(u.String()) {
		if c < utf8.RuneSelf && (unicode.IsLetter(rune(c)) || unicode.IsDigit(rune(c)) || strings.IndexByte("-._~:/?#%=&+,;", c) >= 0) {
			b.WriteByte(c)
			continue
		}
		const hex = "0123456789ABCDEF"
		b.Write([]byte{'%', hex[c>>4], hex[c&15]})
	}
	return "[" + words + "](" + b.String() + ")"
}
