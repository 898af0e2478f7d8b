package secrets

import (
	"bytes"
	"encoding/json"
	"io"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The guard bounds the input of the worker, because SOPS itself has no bounds. Its recursion overflows the stack on
// deep values and on aliases that contain themselves. Of two equal keys it takes the last, where another reader may
// take the first. It compiles the encryption rule again for each key on the way to a value.
const (
	// maxFile bounds an encrypted file. A cluster accepts no Secret larger than 1 MiB.
	maxFile = 5 << 20
	// maxDepth bounds the nesting of values.
	maxDepth = 100
	// maxKey bounds the length of a key. YAML itself bounds keys to this length unless they are written with a question
	// mark.
	maxKey = 1024
	// maxValues bounds the number of values, because some of SOPS' work grows with its square.
	maxValues = 10_000
)

// outline is the structure of a part that was encrypted together: its SOPS metadata, and the cost of reading it.
type outline struct {
	// meta is the SOPS metadata, or nil.
	meta map[string]any
	// keys are the keys of the top level.
	keys   []string
	values int
	// steps counts the keys on the way to each value, and one for each comment. SOPS evaluates the rule that often.
	steps int
}

func (o outline) isBinary() bool {
	return len(o.keys) == 2 && o.meta != nil && (o.keys[0] == "data" || o.keys[1] == "data")
}

// walk is a place in a document.
type walk struct {
	*outline
	depth int
	// path is the number of keys that lead here.
	path int
}

func (w walk) below(keys int) (walk, error) {
	w.depth++
	w.path += keys
	if w.depth > maxDepth {
		return w, malformed("its values nest deeper than %d levels", maxDepth)
	}
	return w, nil
}

// value counts a value or a comment.
func (w walk) value(steps int) error {
	w.steps += steps
	if w.values++; w.values > maxValues {
		return malformed("it holds more than %d values", maxValues)
	}
	return nil
}

// keySet refuses keys that are too long, and duplicate keys.
type keySet map[string]bool

func (s keySet) add(key string) error {
	if len(key) > maxKey {
		return malformed("a key in it is longer than %d bytes: %q", maxKey, Shortened(key))
	}
	if s[key] {
		return malformed("it has the key %q twice", Shortened(key))
	}
	s[key] = true
	return nil
}

// outlineOfYAML checks a document and reads its SOPS metadata.
func outlineOfYAML(document *yaml.Node) (outline, error) {
	var o outline
	for _, root := range document.Content {
		if root.Kind != yaml.MappingNode && root.ShortTag() != "!!null" {
			return o, malformed("its YAML is not a mapping")
		}
		for i := 0; i+1 < len(root.Content); i += 2 {
			o.keys = append(o.keys, root.Content[i].Value)
		}
		if err := (walk{outline: &o}).yaml(root); err != nil {
			return o, err
		}
		part := valueOf(root, metadataKey)
		if part == nil || part.Kind != yaml.MappingNode {
			continue
		}
		if err := part.Decode(&o.meta); err != nil {
			return o, malformed("its key sops is not a mapping of texts")
		}
	}
	return o, nil
}

func (w walk) yaml(node *yaml.Node) error {
	for _, text := range []string{node.HeadComment, node.LineComment, node.FootComment} {
		w.steps += strings.Count(text, "#")
	}
	switch node.Kind {
	case yaml.AliasNode:
		return malformed("it has an alias on line %d, where SOPS writes the value itself", node.Line)
	case yaml.ScalarNode:
		return w.value(w.path)
	case yaml.MappingNode:
		return w.yamlMapping(node)
	}
	below, err := w.below(0)
	for _, item := range node.Content {
		if err == nil {
			err = below.yaml(item)
		}
	}
	return err
}

func (w walk) yamlMapping(node *yaml.Node) error {
	below, err := w.below(1)
	if err != nil {
		return err
	}
	seen := keySet{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if tag := key.ShortTag(); key.Kind != yaml.ScalarNode || tag != "!!str" && tag != "!!merge" {
			return malformed("the key on line %d is not a text", key.Line)
		}
		if err := seen.add(key.Value); err != nil {
			return err
		}
		for _, text := range []string{key.HeadComment, key.LineComment, key.FootComment} {
			w.steps += strings.Count(text, "#")
		}
		if err := below.yaml(value); err != nil {
			return err
		}
	}
	return nil
}

func valueOf(mapping *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i+1]
		}
	}
	return nil
}

// outlineOfJSON does the same for JSON.
func outlineOfJSON(content []byte) (outline, error) {
	var o outline
	content = bytes.TrimPrefix(content, []byte("\ufeff"))
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.UseNumber()
	if err := (walk{outline: &o}).json(decoder); err != nil {
		return o, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return o, malformed("something follows its JSON object")
	}
	var parts map[string]json.RawMessage
	if err := json.Unmarshal(content, &parts); err != nil {
		return o, malformed("its JSON is not an object")
	}
	part := json.NewDecoder(bytes.NewReader(parts[metadataKey]))
	part.UseNumber()
	if err := part.Decode(&o.meta); err != nil && parts[metadataKey] != nil {
		return o, malformed("its key sops is not a mapping of texts")
	}
	return o, nil
}

func (w walk) json(decoder *json.Decoder) error {
	token, err := decoder.Token()
	if err != nil {
		return malformed("its JSON ends or breaks at byte %d", decoder.InputOffset())
	}
	delimiter, composed := token.(json.Delim)
	if !composed {
		return w.value(w.path)
	}
	keys := 0
	if delimiter == '{' {
		keys = 1
	}
	below, err := w.below(keys)
	if err != nil {
		return err
	}
	seen := keySet{}
	for decoder.More() {
		if delimiter == '{' {
			if err := w.jsonKey(decoder, seen); err != nil {
				return err
			}
		}
		if err := below.json(decoder); err != nil {
			return err
		}
	}
	if _, err := decoder.Token(); err != nil {
		return malformed("its JSON ends or breaks at byte %d", decoder.InputOffset())
	}
	return nil
}

func (w walk) jsonKey(decoder *json.Decoder, seen keySet) error {
	token, err := decoder.Token()
	key, ok := token.(string)
	if err != nil || !ok {
		return malformed("its JSON ends or breaks at byte %d", decoder.InputOffset())
	}
	if w.depth == 0 {
		w.keys = append(w.keys, key)
	}
	return seen.add(key)
}

// outlineOfLines does the same for dotenv and INI, whose values do not nest. Their SOPS metadata is flat, too.
func outlineOfLines(content []byte, format Format) (outline, error) {
	var o outline
	flat := map[string]string{}
	section, seen, number := "", keySet{}, 0
	for line := range strings.SplitSeq(string(content), "\n") {
		number++
		if format == INI {
			line = strings.TrimSpace(line)
		}
		if err := (walk{outline: &o}).value(2); err != nil {
			return o, err
		}
		key, value, isValue := strings.Cut(line, "=")
		switch {
		case line == "" || line[0] == '#' || format == INI && line[0] == ';':
		case format == INI && line[0] == '[':
			section = strings.Trim(line, "[]")
		case format == INI && section == metadataKey:
			flat[strings.TrimSpace(key)] = strings.TrimSpace(value)
		case format == INI: // SOPS supports duplicate keys in a section, and values of several lines
		case !isValue:
			return o, malformed("its line %d is neither KEY=VALUE nor a comment", number)
		default:
			if err := seen.add(key); err != nil {
				return o, err
			}
			if name, ok := strings.CutPrefix(key, metadataKey+"_"); ok {
				flat[name] = value
			}
		}
	}
	if len(flat) > 0 {
		o.meta = nested(flat)
	}
	return o, nil
}

var flatSeparator = regexp.MustCompile(`__(?:map|list)_`)

// nested expands SOPS metadata of formats that do not nest: age__list_0__map_enc becomes age[0].enc. Keys of list items
// are their indexes.
func nested(flat map[string]string) map[string]any {
	root := map[string]any{}
	for key, value := range flat {
		at, names := root, flatSeparator.Split(key, maxDepth)
		for _, name := range names[:len(names)-1] {
			next, ok := at[name].(map[string]any)
			if !ok {
				next = map[string]any{}
				at[name] = next
			}
			at = next
		}
		at[names[len(names)-1]] = strings.ReplaceAll(value, `\n`, "\n")
	}
	return root
}
