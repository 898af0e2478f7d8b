package render

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Kustomize keeps the values of scalars, but not always their quotes. So variables that are numbers or booleans are
// written into the files before Kustomize reads them. Every variable that is left after the build is a text.

// typed writes variables that are not texts into a file of manifests, where one is the whole of a plain scalar.
func (r *renderer) typed(name string, content []byte) []byte {
	if !r.variables.anyTyped(content) {
		return content
	}
	documents, err := parse(name, content)
	if err != nil {
		return content // reading it as manifests reports the error
	}
	t := typing{variables: r.variables}
	rewritten := false
	for _, n := range documents {
		if r.veils.under(n) || switchedOff(n) { // SOPS drops quotes too
			continue
		}
		t.scalars(n)
		if version := field(n, "apiVersion"); version != nil && version.Value == "builtin" {
			rewritten = r.typedPatch(field(n, "patch")) || rewritten
		}
	}
	if rewritten {
		t.write()
		return []byte(written(documents))
	}
	return t.edited(content)
}

// typedPatches does the same for the patches and numbers in a kustomization, and reports whether it changed any.
func (r *renderer) typedPatches(kustomization *yaml.Node) (changed bool) {
	for _, name := range []string{"patches", "patchesJson6902"} {
		for _, patch := range itemsOf(kustomization, name) {
			changed = r.typedPatch(field(patch, "patch")) || changed
		}
	}
	for _, name := range []string{"patchesStrategicMerge", "transformers", "generators", "validators"} {
		for _, patch := range itemsOf(kustomization, name) {
			changed = r.typedPatch(patch) || changed
		}
	}
	t := typing{variables: r.variables}
	for _, replicas := range itemsOf(kustomization, "replicas") {
		if count := field(replicas, "count"); count != nil {
			t.scalars(count)
		}
	}
	t.write()
	return changed || len(t.found) > 0
}

func itemsOf(n *yaml.Node, name string) []*yaml.Node {
	if list := field(n, name); list != nil && list.Kind == yaml.SequenceNode {
		return list.Content
	}
	return nil
}

// typedPatch does the same for a patch that a file holds as a text.
func (r *renderer) typedPatch(n *yaml.Node) (changed bool) {
	if n == nil || n.Kind != yaml.ScalarNode {
		return false
	}
	before := n.Value
	n.Value = string(r.typed("patch.yaml", []byte(before)))
	return n.Value != before
}

// anyTyped reports whether a text holds a variable that is not a text.
func (v *variables) anyTyped(content []byte) bool {
	for name, value := range v.values {
		if _, isText := value.(string); !isText && bytes.Contains(content, []byte("${"+name)) {
			return true
		}
	}
	return false
}

// typing collects the scalars that are typed variables.
type typing struct {
	variables *variables
	found     []typedScalar
}

type typedScalar struct {
	node  *yaml.Node
	value string
}

func (t *typing) scalars(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.Style == 0 && strings.HasPrefix(n.Value, "${") {
		// A problem with a variable is reported where it is replaced.
		if value, ok, err := t.variables.typed(n.Value); ok && err == nil {
			if _, isText := value.(string); !isText {
				text, _ := json.Marshal(value)
				t.found = append(t.found, typedScalar{n, string(text)})
			}
		}
	}
	for i, child := range n.Content {
		if n.Kind != yaml.MappingNode || i%2 == 1 {
			t.scalars(child)
		}
	}
}

// write writes the values into the nodes.
func (t *typing) write() {
	for _, s := range t.found {
		s.node.Value, s.node.Tag = s.value, ""
	}
}

// edited writes the values into the text that the nodes were read from.
func (t *typing) edited(content []byte) []byte {
	slices.SortFunc(t.found, func(a, b typedScalar) int {
		return cmp.Or(cmp.Compare(a.node.Line, b.node.Line), cmp.Compare(a.node.Column, b.node.Column))
	})
	text, lines := string(content), lineStarts(string(content))
	var out bytes.Buffer
	written := 0
	for _, s := range t.found {
		at := lines[s.node.Line-1]
		for range s.node.Column - 1 { // columns are characters
			_, size := utf8.DecodeRuneInString(text[at:])
			at += size
		}
		before, _, found := strings.Cut(text[at:], s.node.Value)
		if !found || before != "" && before[0] != '&' {
			continue
		}
		at += len(before) // the value's anchor
		out.WriteString(text[written:at] + s.value)
		written = at + len(s.node.Value)
	}
	out.WriteString(text[written:])
	return out.Bytes()
}

// lineStarts returns where the lines of a text begin, as YAML counts them.
func lineStarts(text string) []int {
	at := len(text) - len(strings.TrimPrefix(text, "\ufeff"))
	starts := []int{at}
	for i, c := range text {
		switch c {
		case '\r':
			if strings.HasPrefix(text[i+1:], "\n") {
				continue
			}
		case '\n', '\u0085', '\u2028', '\u2029':
		default:
			continue
		}
		starts = append(starts, i+utf8.RuneLen(c))
	}
	return starts
}
