package secrets

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// yamlDocument is one document of a file.
type yamlDocument struct {
	// text is the document as it stands in the file, from its marker to the next.
	text string
	node *yaml.Node
	// tree and meta are nil in a document without SOPS' own part.
	tree, meta branch
	// opened are the nodes of the values that were encrypted, once the tree has been written into the node.
	opened []openedNode
	filled bool
}

type openedNode struct {
	node *yaml.Node
	leaf *leaf
}

func (d *yamlDocument) encrypted() bool { return d.meta != nil }

// parseYAML reads the documents of a file. Those that are not encrypted are only told apart.
func parseYAML(content []byte) ([]*yamlDocument, error) {
	texts := splitYAML(string(content))
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var documents []*yamlDocument
	for {
		node := new(yaml.Node)
		err := decoder.Decode(node)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, malformed("its YAML does not parse%s", lineOf(err))
		}
		documents = append(documents, &yamlDocument{node: node})
	}
	if len(texts) != len(documents) {
		return nil, malformed("its YAML documents cannot be told apart: let each begin with ---, and none end with ...")
	}
	for i, d := range documents {
		d.text = texts[i]
		if err := d.read(); err != nil {
			return nil, inDocument(err, i, len(documents))
		}
	}
	return documents, nil
}

// read tells whether the document is encrypted.
func (d *yamlDocument) read() error {
	if !hasMetadata(d.node) {
		if hasEncryptedValue([]byte(d.text)) {
			return malformed("it has encrypted values and no key sops")
		}
		return nil
	}
	reader := &yamlReader{}
	tree, err := reader.document(d.node)
	if err != nil {
		return err
	}
	d.tree, d.meta, err = cutMetadata(tree)
	return err
}

func hasMetadata(document *yaml.Node) bool {
	for _, root := range document.Content {
		for i := 0; root.Kind == yaml.MappingNode && i < len(root.Content); i += 2 {
			if root.Content[i].Value == metadataKey && root.Content[i+1].Kind == yaml.MappingNode {
				return true
			}
		}
	}
	return false
}

var (
	yamlLine     = regexp.MustCompile(`line \d+`)
	documentMark = regexp.MustCompile(`(?m)^---(?:[ \t\r]|$)`)
)

// lineOf keeps the line of an error of the library, which may quote values.
func lineOf(err error) string {
	if line := yamlLine.FindString(err.Error()); line != "" {
		return " at " + line
	}
	return ""
}

// splitYAML cuts a file before its document markers, which stand in no scalar at the beginning of a
// line. What stands before the first document stays with it.
func splitYAML(content string) []string {
	var texts []string
	begin, marked := 0, false
	for _, mark := range documentMark.FindAllStringIndex(content, -1) {
		if text := content[begin:mark[0]]; marked || !isBlank(text) {
			texts, begin = append(texts, text), mark[0]
		}
		marked = true
	}
	if rest := content[begin:]; marked || !isBlank(rest) {
		texts = append(texts, rest)
	}
	return texts
}

// isBlank says whether a text holds no document, but comments and directives at most.
func isBlank(text string) bool {
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' && line[0] != '%' {
			return false
		}
	}
	return true
}

// yamlReader turns nodes into a tree with everything where SOPS has it, the comments above all.
type yamlReader struct{ depth int }

func (r *yamlReader) document(node *yaml.Node) (branch, error) {
	b := comments(nil, node.HeadComment, node.LineComment)
	for _, root := range node.Content {
		switch {
		case root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null":
			b = comments(b, root.HeadComment, root.LineComment)
		case root.Kind != yaml.MappingNode:
			return nil, malformed("its YAML is not a mapping")
		default:
			var err error
			if b, err = r.mapping(root, comments(b, root.HeadComment, root.LineComment)); err != nil {
				return nil, err
			}
			b = comments(b, root.FootComment)
		}
	}
	return comments(b, node.FootComment), nil
}

// mapping appends the items of a mapping.
func (r *yamlReader) mapping(node *yaml.Node, b branch) (branch, error) {
	if b == nil {
		b = branch{}
	}
	seen := map[string]bool{}
	for i := 0; i < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if tag := key.ShortTag(); key.Kind != yaml.ScalarNode || tag != "!!str" && tag != "!!merge" {
			return nil, malformed("the key on line %d is not a text", key.Line)
		}
		if seen[key.Value] {
			return nil, malformed("it has the key %q twice", shortened(key.Value))
		}
		seen[key.Value] = true
		b = comments(b, key.HeadComment, key.LineComment)
		isScalar := value.Kind == yaml.ScalarNode
		if isScalar {
			b = comments(b, value.HeadComment, value.LineComment)
		}
		read, err := r.value(value)
		if err != nil {
			return nil, err
		}
		b = append(b, item{key: key.Value, value: read})
		if isScalar {
			b = comments(b, value.FootComment)
		}
		b = comments(b, key.FootComment)
	}
	return b, nil
}

// value reads a node, with its own comments unless it is a scalar.
func (r *yamlReader) value(node *yaml.Node) (any, error) {
	if r.depth++; r.depth > maxDepth {
		return nil, malformed("its values nest deeper than %d levels", maxDepth)
	}
	defer func() { r.depth-- }()
	switch node.Kind {
	case yaml.SequenceNode:
		return r.sequence(node)
	case yaml.MappingNode:
		b, err := r.mapping(node, comments(nil, node.HeadComment, node.LineComment))
		return comments(b, node.FootComment), err
	case yaml.ScalarNode:
		return yamlScalar(node)
	}
	return nil, malformed("it has an alias on line %d, where SOPS writes the value itself", node.Line)
}

// sequence reads a list. The comments of an item stand beside it, and not in it.
func (r *yamlReader) sequence(node *yaml.Node) (any, error) {
	l := listComments(sequence{}, node.HeadComment, node.LineComment)
	for _, it := range node.Content {
		l = listComments(l, it.HeadComment, it.LineComment)
		bare := *it
		bare.HeadComment, bare.LineComment, bare.FootComment = "", "", ""
		value, err := r.value(&bare)
		if err != nil {
			return nil, err
		}
		l = listComments(append(l, value), it.FootComment)
	}
	return listComments(l, node.FootComment), nil
}

func yamlScalar(node *yaml.Node) (any, error) {
	var value any
	if err := node.Decode(&value); err != nil {
		return nil, malformed("the value on line %d does not parse", node.Line)
	}
	switch value.(type) {
	case nil:
		return nil, nil
	case string, int, float64, bool, time.Time:
		return &leaf{value: value, source: node}, nil
	}
	return nil, malformed("the value on line %d has a type that SOPS does not know", node.Line)
}

func comments(b branch, texts ...string) branch {
	for _, text := range texts {
		for line := range strings.SplitSeq(text, "\n") {
			if line != "" {
				b = append(b, item{comment: true, key: line[1:]})
			}
		}
	}
	return b
}

func listComments(l sequence, texts ...string) sequence {
	for _, it := range comments(nil, texts...) {
		l = append(l, comment(it.key))
	}
	return l
}
