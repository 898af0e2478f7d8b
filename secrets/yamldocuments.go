package secrets

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// together groups the encrypted documents of a file by the MAC that spans them: SOPS repeats its part in
// every document of a file. Documents that were encrypted apart and put into one file have other MACs.
func together(documents []*yamlDocument) [][]int {
	var groups [][]int
	byMAC := map[string]int{}
	for number, d := range documents {
		if !d.encrypted() {
			continue
		}
		mac := textIn(d.meta, "mac")
		at, ok := byMAC[mac]
		if !ok {
			at = len(groups)
			groups, byMAC[mac] = append(groups, nil), at
		}
		groups[at] = append(groups[at], number)
	}
	return groups
}

func textIn(b branch, key string) string {
	for _, it := range b {
		if l, ok := it.value.(*leaf); ok && it.key == key {
			text, _ := l.value.(string)
			return text
		}
	}
	return ""
}

// joined puts the documents together again, each on the line where it was unless those before it have
// grown.
func joined(documents []*yamlDocument) ([]byte, error) {
	var out strings.Builder
	written, read := 0, 0 // lines
	for i, d := range documents {
		text, line := d.text, read
		if d.encrypted() {
			plain, err := d.plain()
			if err != nil {
				return nil, inDocument(err, i, len(documents))
			}
			text, line = plain, max(0, d.node.Content[0].Line-1)
			if i > 0 || documentMark.MatchString(d.text) {
				text, line = "---\n"+plain, line-1
			}
		}
		if written < line {
			out.WriteString(strings.Repeat("#\n", line-written)) // empty lines might belong to a text
			written = line
		}
		out.WriteString(text)
		written += strings.Count(text, "\n")
		read += strings.Count(d.text, "\n")
	}
	return []byte(out.String()), nil
}

// plain writes the decrypted values into the nodes, and returns the text of the document without its
// comments, since some are encrypted and none is needed.
func (d *yamlDocument) plain() (string, error) {
	root := d.node.Content[0]
	if d.node.Content[0].Kind != yaml.MappingNode {
		return "", nil
	}
	if !d.filled {
		d.filled = true
		d.fill(root, d.tree)
		uncomment(d.node)
	}
	if len(root.Content) == 0 {
		return "", nil
	}
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(d.node); err != nil {
		return "", malformed("it cannot be written as YAML")
	}
	if err := encoder.Close(); err != nil {
		return "", malformed("it cannot be written as YAML")
	}
	return out.String(), nil
}

// fill makes a node say what the value says. Both have the same shape but for what was cut out.
func (d *yamlDocument) fill(node *yaml.Node, value any) {
	switch value := value.(type) {
	case branch:
		values := slices.DeleteFunc(slices.Clone(value), func(it item) bool { return it.comment })
		kept := node.Content[:0]
		for i := 0; i < len(node.Content); i += 2 {
			if len(values) == 0 || node.Content[i].Value != values[0].key {
				continue // SOPS' own part
			}
			d.fill(node.Content[i+1], values[0].value)
			kept, values = append(kept, node.Content[i], node.Content[i+1]), values[1:]
		}
		node.Content = kept
	case sequence:
		kept, at := node.Content[:0], 0
		for _, it := range value {
			switch it.(type) {
			case comment:
				continue
			case dropped:
			default:
				d.fill(node.Content[at], it)
				kept = append(kept, node.Content[at])
			}
			at++
		}
		node.Content = kept
	case *leaf:
		if value.opened {
			*node = *scalarNode(value.value)
			d.opened = append(d.opened, openedNode{node, value})
		}
	}
}

// scalarNode quotes texts, so that they stay texts.
func scalarNode(value any) *yaml.Node {
	node := new(yaml.Node)
	if text, ok := value.(string); ok && utf8.ValidString(text) {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text, Style: yaml.DoubleQuotedStyle}
	}
	if err := node.Encode(value); err != nil {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"} // only what is no scalar cannot be encoded
	}
	return node
}

func uncomment(node *yaml.Node) {
	node.HeadComment, node.LineComment, node.FootComment = "", "", ""
	for _, child := range node.Content {
		uncomment(child)
	}
}
