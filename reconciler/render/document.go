package render

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"berth.dev/berth/reconciler/manifest"
	"go.yaml.in/yaml/v3"
)

// document is one document of a file, as nodes, which keep the lines and the styles of scalars.
type document struct {
	node *yaml.Node
	// origin is the document's. If the lines of its nodes are those of the file (ownLines), an object or a scalar in
	// it has its own.
	origin   manifest.Origin
	ownLines bool
	// booleans says which plain scalars are booleans.
	booleans booleans
	// typedBy says which scalars that consist of one variable get the variable's type.
	typedBy typedBy
	// generated is true for a Secret that Kustomize generated: its values are in base64.
	generated bool
}

// typedBy says which scalars that consist of one variable get the variable's type.
type typedBy int

const (
	// byStyle are plain scalars.
	byStyle typedBy = iota
	// byTag are scalars that a tag marks as a number or a boolean, used where quotes may have been lost.
	byTag
)

func (d document) at(n *yaml.Node) manifest.Origin {
	if d.ownLines && n.Line > 0 {
		return manifest.Origin{File: d.origin.File, Line: n.Line}
	}
	return d.origin
}

func isManifest(name string) bool {
	return slices.Contains([]string{".yaml", ".yml", ".json"}, path.Ext(name))
}

// documents reads one file.
func (r *renderer) documents(name string) ([]document, error) {
	content, encrypted, err := r.readFile(name)
	if err != nil {
		return nil, err
	}
	nodes, err := parse(name, content)
	if err != nil {
		return nil, err
	}
	documents := make([]document, len(nodes))
	for i, node := range nodes {
		// Decrypting moves lines, because an encrypted text takes one line. Only the beginning of the first document
		// stays where it was.
		line := node.Line
		if encrypted && i > 0 {
			line = 0
		}
		documents[i] = document{node: node, origin: manifest.Origin{File: name, Line: line}, ownLines: !encrypted}
		if encrypted && r.veils.under(node) {
			documents[i].typedBy = byTag // SOPS keeps no quotes
		}
	}
	return documents, nil
}

// parse returns the documents of a YAML or JSON file, without empty ones. Its errors are in Berth's own words,
// because those of the parsers may quote content.
func parse(name string, content []byte) ([]*yaml.Node, error) {
	if err := checkText(name, content); err != nil {
		return nil, err
	}
	if path.Ext(name) == ".json" {
		return parseJSON(name, content)
	}
	var nodes []*yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(unmarked(content)))
	for {
		var doc yaml.Node
		err := decoder.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return nodes, nil
		}
		if err != nil {
			return nil, explain(name, content, err)
		}
		if len(doc.Content) == 0 || doc.Content[0].ShortTag() == "!!null" {
			continue
		}
		nodes = append(nodes, doc.Content[0])
	}
}

// byteOrderMark is written by some editors at the start of a file. The parser accepts one at the beginning, but not
// where files were joined.
const byteOrderMark = "\ufeff"

// unmarked removes byte order marks before and after the lines that separate documents.
func unmarked(content []byte) []byte {
	if !bytes.Contains(content, []byte(byteOrderMark)) {
		return content
	}
	lines := strings.SplitAfter(string(content), "\n")
	const separator = "---"
	for i, line := range lines {
		plain := strings.TrimLeft(line, byteOrderMark)
		if i > 0 && strings.HasPrefix(lines[i-1], separator) || strings.HasPrefix(plain, separator) || i == 0 {
			lines[i] = plain
		}
		if next := i + 1; strings.TrimSpace(plain) == "" && plain != line && next < len(lines) && strings.HasPrefix(lines[next], separator) {
			lines[i] = plain // a mark on a line of its own
		}
	}
	return []byte(strings.Join(lines, ""))
}

// maxDepth bounds how deep values are nested.
const maxDepth = 500

// jsonParser turns JSON into YAML nodes. The YAML parser cannot read all JSON: surrogate pairs fail, and so do tabs
// as indentation in some places.
type jsonParser struct {
	decoder *json.Decoder
	content []byte
	// line is the line of offset; both are kept so that lines are counted once.
	line   int
	offset int64
}

func parseJSON(name string, content []byte) ([]*yaml.Node, error) {
	content = bytes.TrimPrefix(content, []byte("\xef\xbb\xbf"))
	p := jsonParser{decoder: json.NewDecoder(bytes.NewReader(content)), content: content, line: 1}
	p.decoder.UseNumber()
	var nodes []*yaml.Node
	for {
		node, err := p.value(0)
		if errors.Is(err, io.EOF) && err != io.ErrUnexpectedEOF {
			return nodes, nil
		}
		if err != nil {
			p.advance(p.decoder.InputOffset())
			if e := (&fault{lines: strings.Split(string(content), "\n")}).conflict(); e != nil {
				e.Origin.File = name
				return nil, e
			}
			e := &Error{Origin: manifest.Origin{File: name, Line: p.line}, Problem: "this is not valid JSON",
				Hint: "look for a missing comma, bracket or quote, or a comma too many, at this line or above"}
			var own *Error
			if errors.As(err, &own) {
				e.Problem, e.Hint = own.Problem, own.Hint
			}
			return nil, e
		}
		if node.Tag != "!!null" {
			nodes = append(nodes, node)
		}
	}
}

func (p *jsonParser) advance(offset int64) {
	p.line += bytes.Count(p.content[p.offset:offset], []byte("\n"))
	p.offset = offset
}

// value reads one value. At the end of the content, between values, the error is io.EOF.
func (p *jsonParser) value(depth int) (*yaml.Node, error) {
	token, err := p.decoder.Token()
	if err != nil {
		if errors.Is(err, io.EOF) && depth > 0 {
			return nil, io.ErrUnexpectedEOF
		}
		return nil, err
	}
	if depth > maxDepth {
		return nil, tooDeep()
	}
	p.advance(p.decoder.InputOffset())
	node := &yaml.Node{Kind: yaml.ScalarNode, Line: p.line}
	switch token := token.(type) {
	case json.Delim:
		node.Kind, node.Tag = yaml.SequenceNode, "!!seq"
		if token == '{' {
			node.Kind, node.Tag = yaml.MappingNode, "!!map"
		}
		for p.decoder.More() {
			child, err := p.value(depth + 1)
			if err != nil {
				return nil, err
			}
			node.Content = append(node.Content, child)
		}
		_, err := p.decoder.Token() // the closing bracket
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return node, err
	case string:
		node.Tag, node.Style, node.Value = "!!str", yaml.DoubleQuotedStyle, token
	case json.Number:
		node.Value = token.String()
	case bool:
		node.Tag, node.Value = "!!bool", fmt.Sprint(token)
	case nil:
		node.Tag = "!!null"
	}
	return node, nil
}

func tooDeep() *Error {
	return &Error{Problem: fmt.Sprintf("values are nested more than %d deep", maxDepth), Hint: "no manifest needs that"}
}
