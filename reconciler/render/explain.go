package render

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"berth.dev/berth/reconciler/manifest"
	"go.yaml.in/yaml/v3"
)

const saveAsUTF8 = "save it as UTF-8 text, or move it out of the entry's path"

// checkText refuses content that is not text before a parser misreads it.
func checkText(name string, content []byte) error {
	origin := manifest.Origin{File: name}
	switch {
	case bytes.HasPrefix(content, []byte("\xff\xfe")) || bytes.HasPrefix(content, []byte("\xfe\xff")):
		return &Error{Origin: origin, Problem: "the file is UTF-16", Hint: saveAsUTF8}
	case bytes.IndexByte(content, 0) >= 0:
		return &Error{Origin: origin, Problem: "the file is binary, or UTF-16", Hint: saveAsUTF8}
	case !utf8.Valid(content):
		for i, line := range bytes.Split(content, []byte("\n")) {
			if !utf8.Valid(line) {
				origin.Line = i + 1
				break
			}
		}
		return &Error{Origin: origin, Problem: "the file is not UTF-8", Hint: saveAsUTF8}
	}
	return nil
}

// yamlLine finds the line in an error of the YAML parser; the rest of its text may quote content.
var yamlLine = regexp.MustCompile(`line (\d+)`)

// explain says what a user has to correct in a file that is not YAML. The parser names the place where it gave up,
// which is often below the mistake, and uses its own terms.
func explain(name string, content []byte, cause error) *Error {
	text := strings.ReplaceAll(string(content), "\r\n", "\n")
	f := fault{lines: strings.Split(strings.TrimSuffix(text, "\n"), "\n"), message: cause.Error()}
	if match := yamlLine.FindStringSubmatch(f.message); match != nil {
		f.line, _ = strconv.Atoi(match[1])
	}
	f.line = min(max(f.line, 1), len(f.lines))
	for _, guess := range []func(*fault) *Error{
		(*fault).conflict, (*fault).template, (*fault).anchor, (*fault).reserved, (*fault).tab, (*fault).space,
		(*fault).quote, (*fault).variable, (*fault).colon, (*fault).level,
	} {
		if e := guess(&f); e != nil {
			e.Origin.File = name
			return e
		}
	}
	return &Error{Origin: manifest.Origin{File: name, Line: f.line}, Problem: "this is not valid YAML",
		Hint: "look at this line and those above it"}
}

// fault is a place in a file where the parser gave up. Each of its methods recognizes one mistake and returns nil for
// any other.
type fault struct {
	lines   []string
	line    int
	message string
}

func (f *fault) error(line int, problem, hint string) *Error {
	return &Error{Origin: manifest.Origin{Line: line}, Problem: problem, Hint: hint}
}

// near returns the number of the closest line with the mistake, up to the line after the fault; 0 if there is none.
func (f *fault) near(lines int, mistaken func(string) bool) int {
	for i := min(f.line+1, len(f.lines)); i >= 1 && i > f.line-lines; i-- {
		if mistaken(f.lines[i-1]) {
			return i
		}
	}
	return 0
}

func (f *fault) conflict() *Error {
	for i, line := range f.lines {
		if strings.HasPrefix(line, "<<<<<<< ") || strings.HasPrefix(line, ">>>>>>> ") {
			return f.error(i+1, "a merge conflict was committed here", "resolve it and remove the <<<<<<<, ======= and >>>>>>> lines")
		}
	}
	return nil
}

func (f *fault) template() *Error {
	line := f.near(3, func(line string) bool { return strings.Contains(line, "{{") })
	if line == 0 {
		return nil
	}
	return helmTemplate(line)
}

func helmTemplate(line int) *Error {
	return &Error{Origin: manifest.Origin{Line: line}, Problem: "this looks like a Helm template ({{ }})",
		Hint: "Berth does not run Helm: commit the output of helm template, or use ${NAME} variables"}
}

func (f *fault) tab() *Error {
	line := f.near(3, func(line string) bool { return strings.Contains(indentation(line), "\t") })
	if line == 0 {
		return nil
	}
	return f.error(line, "the line is indented with a tab", "use spaces")
}

func (f *fault) space() *Error {
	line := f.near(3, func(line string) bool {
		return strings.ContainsFunc(indentation(line), func(r rune) bool { return r > unicode.MaxASCII })
	})
	if line == 0 {
		return nil
	}
	e := notASpace()
	e.Origin.Line = line
	return e
}

func notASpace() *Error {
	return &Error{Problem: "the line is indented with a character that is not a plain space, such as a non-breaking space",
		Hint: "replace it with spaces; it often comes from a web page or a chat"}
}

// notAKey returns the problem of a key that is not a scalar: {{ x }} without quotes is one.
func notAKey(n *yaml.Node) *Error {
	if n.Kind == yaml.MappingNode {
		e := helmTemplate(0)
		e.Hint += "; if the braces are meant, put the value in quotes"
		return e
	}
	return &Error{Problem: "a list stands where a key should", Hint: "put it in quotes if it is meant as a text"}
}

// indentation returns the text before the first key or value of a line.
func indentation(line string) string {
	return line[:len(line)-len(strings.TrimLeftFunc(line, func(r rune) bool { return unicode.IsSpace(r) || r == '-' }))]
}

var unknownAnchor = regexp.MustCompile(`unknown anchor '(.*)' referenced`)

func (f *fault) anchor() *Error {
	line, name := f.line, ""
	if match := unknownAnchor.FindStringSubmatch(f.message); match != nil {
		// The parser does not say where.
		name = match[1]
		line = 1 + slices.IndexFunc(f.lines, func(line string) bool { return strings.Contains(line, "*"+name) })
	} else if !strings.Contains(f.message, "alphabetic or numeric character") {
		return nil
	}
	return f.error(line, "an alias (*name) has no anchor (&name) above it in the same document",
		"define the anchor, or put the value in quotes if the asterisk is meant")
}

// quote looks for a line with half of a pair of quotes: above the fault, where the next quote of the
// file closed it.
func (f *fault) quote() *Error {
	const quotes = `"'`
	for _, quote := range quotes {
		line := f.near(5, func(line string) bool { return opens(line, byte(quote)) })
		if line == 0 {
			continue
		}
		// Of several lines, the first opens the quote and the others close it.
		for line > 1 && line > f.line-5 && opens(f.lines[line-2], byte(quote)) {
			line--
		}
		return f.error(line, fmt.Sprintf("a quote (%c) is opened here and not closed", quote), "close it on the same line")
	}
	if strings.Contains(f.message, "quoted scalar") || strings.Contains(f.message, "unexpected end of stream") {
		return f.error(f.line, "a quote or bracket is opened here and not closed", "close it")
	}
	return nil
}

// opens reports whether a value of the line begins with the quote and the line does not close it.
func opens(line string, quote byte) bool {
	value := strings.TrimSpace(line)
	if _, after, ok := strings.Cut(value, ": "); ok {
		value = strings.TrimSpace(after)
	}
	value = strings.TrimSpace(strings.TrimPrefix(value, "- "))
	if value == "" || value[0] != quote {
		return false
	}
	for i := 1; i < len(value); i++ {
		switch {
		case value[i] == '\\' && quote == '"':
			i++
		case value[i] == quote:
			return false
		}
	}
	return true
}

func (f *fault) reserved() *Error {
	if !strings.Contains(f.message, "cannot start any token") {
		return nil
	}
	line := f.near(2, func(line string) bool {
		_, value, ok := strings.Cut(line, ": ")
		value = strings.TrimSpace(value)
		return ok && value != "" && strings.ContainsRune("@`%", rune(value[0]))
	})
	if line == 0 {
		return nil
	}
	return f.error(line, "a value begins with a character that YAML reserves (@, ` or %)", "put the value in quotes")
}

// braced matches an unquoted variable that is a value within braces or brackets.
var braced = regexp.MustCompile(`[{\[][^"']*[:,\[]\s*[^"',\s{}\[\]]*\$\{\w`)

// variable recognizes ${NAME} within {} or [], where YAML takes its braces for its own.
func (f *fault) variable() *Error {
	line := f.near(3, braced.MatchString)
	if line == 0 {
		return nil
	}
	return f.error(line, "a ${NAME} is inside { } or [ ] without quotes, so YAML reads its braces as a mapping", `write "${NAME}"`)
}

// entry matches a key with a value on its line.
var entry = regexp.MustCompile(`^[\s-]*[^\s#:'"{\[-][^:'"{\[]*:\s+[^\s#&*|>]`)

// tooDeep reports whether a line is indented deeper than the one above, which is complete and takes no children.
func (f *fault) tooDeep() bool {
	if f.line < 2 {
		return false
	}
	above, line := f.lines[f.line-2], f.lines[f.line-1]
	return entry.MatchString(above) && entry.MatchString(line) && len(indentation(line)) > len(indentation(above))
}

// colon recognizes a value with ": " in it, which YAML reads as a second key of the line.
func (f *fault) colon() *Error {
	if !strings.Contains(f.message, "mapping values are not allowed") || f.tooDeep() {
		return nil
	}
	if line := f.lines[f.line-1]; strings.Count(line, ": ") > 1 || strings.Count(line, ":") > 1 && strings.HasSuffix(line, ":") {
		return f.error(f.line, `the value holds a ": ", as if it were another key`, "put the value in quotes")
	}
	return nil
}

func (f *fault) level() *Error {
	for _, message := range []string{"mapping values are not allowed", "did not find expected", "could not find expected",
		"block sequence entries are not allowed", "block collection entries"} {
		if strings.Contains(f.message, message) {
			return f.error(f.lastStraw(), "the line does not fit those above it: it is indented too far or too little, "+
				"or a bracket, or a colon with the space after it, is missing",
				"bring it to the level of the keys that it belongs to")
		}
	}
	return nil
}

// lastStraw returns the line that makes the file invalid: the one after the longest valid beginning. The parser
// instead names the line where the unfinished block began.
func (f *fault) lastStraw() int {
	const budget = 4 << 20 // bytes parsed in all: larger files are not worth it
	line := f.line
	for end, spent := f.line, 0; end < len(f.lines) && spent < budget; end++ {
		beginning := strings.Join(f.lines[:end], "\n") + "\n"
		spent += len(beginning)
		if valid(beginning) {
			line = end + 1
		}
	}
	return line
}

func valid(text string) bool {
	decoder := yaml.NewDecoder(strings.NewReader(text))
	for {
		var doc yaml.Node
		if err := decoder.Decode(&doc); err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}
