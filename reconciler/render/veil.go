package render

import (
	"encoding/base64"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Opened is a decrypted file.
type Opened struct {
	// Content is the file in its format.
	Content []byte
	// Veiled is the same, with a placeholder for every value that was encrypted.
	Veiled []byte
	// Values maps placeholders to values.
	Values map[string]Value
}

// Value is a value that was encrypted.
type Value struct {
	// Text is the value as written in the file, without the quotes of YAML and JSON.
	Text string
	// Tag is the YAML tag of a value that is not a text, such as !!int.
	Tag string
}

// veils stand for decrypted values while objects are built. A value replaces its veil only in an object that may hold
// decrypted values. So nothing on the way, Kustomize included, can carry it anywhere else.
type veils struct {
	values map[string]Value
	// files maps the shown form of a file to its whole content.
	files map[string]string
	// own are the veils of fields that identify objects, see identify.
	own map[string]bool
}

// A veil is this prefix and a number.
const (
	veilMark   = "berthveil"
	veilDigits = 8
	// veilDots stand for it in messages.
	veilDots = "…"
)

func newVeils() *veils {
	return &veils{values: map[string]Value{}, files: map[string]string{}, own: map[string]bool{}}
}

// veil returns the placeholder for a value. The placeholder of a binary value is binary too.
func (v *veils) veil(value Value) string {
	name := fmt.Sprintf("%s%0*d", veilMark, veilDigits, len(v.values))
	v.values[name] = value
	if !utf8.ValidString(value.Text) {
		return "\xff" + name
	}
	return name
}

// file returns the shown form of a decrypted file.
func (v *veils) file(o Opened) []byte {
	var pairs []string
	for _, placeholder := range slices.Sorted(maps.Keys(o.Values)) {
		pairs = append(pairs, placeholder, v.veil(o.Values[placeholder]))
	}
	return v.shown(strings.NewReplacer(pairs...).Replace(string(o.Veiled)), o.Content)
}

// shown notes the shown form of a file.
func (v *veils) shown(veiled string, content []byte) []byte {
	v.files[veiled] = string(content)
	return []byte(veiled)
}

// over reports whether a text holds a veil, also in base64.
func (v *veils) over(text string) bool {
	if len(v.files) == 0 {
		return false
	}
	if strings.Contains(text, veilMark) {
		return true
	}
	_, encoded := v.decoded(text)
	return encoded
}

var notBase64 = regexp.MustCompile(`[^A-Za-z0-9+/=\r\n]`)

// decoded returns a text decoded from base64, if the result holds a veil.
func (v *veils) decoded(text string) (string, bool) {
	if len(v.files) == 0 || len(text) < len(veilMark) || notBase64.MatchString(text[:min(len(text), 64)]) {
		return "", false
	}
	decoded, err := base64.StdEncoding.DecodeString(text)
	return string(decoded), err == nil && strings.Contains(string(decoded), veilMark)
}

// lifted returns the text with the values in place of their veils; ok is false if a veil is cut, so that its value is
// unknown.
func (v *veils) lifted(text string) (_ string, ok bool) {
	if content, whole := v.files[text]; whole {
		return content, true
	}
	var out strings.Builder
	for {
		before, after, found := strings.Cut(text, veilMark)
		if !found {
			out.WriteString(text)
			return out.String(), true
		}
		digits := min(len(after), veilDigits)
		value, known := v.values[veilMark+after[:digits]]
		if !known {
			return "", false
		}
		if !utf8.ValidString(value.Text) {
			before = strings.TrimSuffix(before, "\xff")
		}
		out.WriteString(before + value.Text)
		text = after[digits:]
	}
}

// lift is lifted for the scalar of a manifest, which may hold base64.
func (v *veils) lift(n *yaml.Node) (_ *yaml.Node, ok bool) {
	if value, exact := v.values[n.Value]; exact {
		return value.node(), true
	}
	text, ok := "", false
	if decoded, encoded := v.decoded(n.Value); encoded {
		if text, ok = v.lifted(decoded); ok {
			text = wrapped(base64.StdEncoding.EncodeToString([]byte(text)))
		}
	} else {
		text, ok = v.lifted(n.Value)
	}
	return Value{Text: text}.node(), ok
}

func (v Value) node() *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: v.Tag, Value: v.Text}
	switch v.Tag {
	case "":
		n.Tag, n.Style = "!!str", yaml.DoubleQuotedStyle
	case "!!binary":
		n.Style = yaml.TaggedStyle
	}
	return n
}

// wrapped breaks base64 into lines as Kustomize does.
func wrapped(text string) string {
	const width = 70
	if len(text) < width {
		return text
	}
	var out strings.Builder
	for line := range slices.Chunk([]byte(text), width) {
		out.Write(line)
		out.WriteByte('\n')
	}
	return out.String()
}

var veiled = regexp.MustCompile(fmt.Sprintf(`\xff?%s\d{%d}`, veilMark, veilDigits))

// unveiled returns a text with dots in place of veils, for messages.
func unveiled(text string) string { return veiled.ReplaceAllString(text, veilDots) }

// identity are the fields that identify an object, which are never veiled.
var identity = [][]string{{"apiVersion"}, {"kind"}, {"metadata", "name"}, {"metadata", "namespace"}}

// identify lifts the veils from the fields that identify objects, and reports whether there were any.
func (v *veils) identify(documents []*yaml.Node) (changed bool) {
	for _, n := range documents {
		changed = v.name(n) || changed
		if items, ok := listItems(n); ok {
			changed = v.identify(items) || changed
		}
	}
	return changed
}

func (v *veils) name(n *yaml.Node) (changed bool) {
	for _, path := range identity {
		at := field(n, path...)
		if at == nil || at.Kind != yaml.ScalarNode || !strings.Contains(at.Value, veilMark) {
			continue
		}
		// A value that looks as if it held a variable keeps its veil, because variables in it are not replaced.
		if value, ok := v.lift(at); ok && !strings.Contains(value.Value, "${") {
			at.Tag, at.Style, at.Value = value.Tag, value.Style, value.Value
			changed = true
		} else {
			v.own[at.Value] = true
		}
	}
	return changed
}

// under reports whether anything below a node is veiled.
func (v *veils) under(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && v.over(n.Value) || slices.ContainsFunc(n.Content, v.under)
}
