package secrets

import (
	"bytes"
	"encoding/json"
	"io"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The guard: bounds for what the worker is given to read. SOPS itself has none. Its recursion overflows the stack on
// deep values and on aliases that contain themselves, it takes the last of two equal keys where another reader may take
// the first, and it compiles the encryption rule again for each key that leads to a value.
const (
	// maxFile bounds an encrypted file. No Secret that a cluster takes is larger than 1 MiB.
	maxFile = 5 << 20
	// maxDepth bounds how deep values may nest.
	maxDepth = 100
	// maxKey bounds the length of a key. Keys of YAML are at most as long unless they are written with a question mark.
	maxKey = 1024
	// maxValues bounds how many values there may be: some of what SOPS does with them takes the square of their number.
	maxValues = 10_000
)

// outline is the structure of what was encrypted together: what SOPS says about it, and what reading it costs.
type outline struct {
	// meta is SOPS' own part, nil without one.
	meta map[string]any
	// keys are those of the top level.
	keys   []string
	values int
	// steps counts the keys on the way to each value, with one for each comment: so often SOPS looks at the rule.
	steps int
}

func (o outline) isBinary() bool {
	return len(o.keys) == 2 && o.meta != nil && (o.keys[0] == "data" || o.keys[1] == "data")
}

// walk is a place in a document.
type walk struct {
	*outline
	depth int
	// path counts the keys that lead here.
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

// value counts a value, or a comment.
func (w walk) value(steps int) error {
	w.steps += steps
	if w.values++; w.values > maxValues {
		return malformed("it holds more than %d values", maxValues)
	}
	return nil
}

// keySet refuses keys that are too long, and those that occur twice.
type keySet map[string]bool

func (s keySet) add(key string) error {
	if len(key) > maxKey {
		return malformed("a key in it is longer than %d bytes: %q", maxKey, shortened(key))
	}
	if s[key] {
		return malformed("it has the key %q twice", shortened(key))
	}
	s[key] = true
	return nil
}

// outlineOfYAML checks a document and reads SOPS' part of it.
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

// outlineOfLines does the same for dotenv and INI, whose values do not nest: SOPS' part is flat there, too.
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
		case format == INI: // a section may have a key twice, and a value several lines: SOPS keeps them
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

// nested reads SOPS' part of formats that do not nest: age__list_0__map_enc is age[0].enc. The items of lists are
// named by their numbers.
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
