package secrets

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// parts is a file, split up. Only YAML files can have several parts, and documents that are not encrypted.
type parts struct {
	// documents are the YAML documents.
	documents []document
	encrypted []part
}

// part is a group of values that were encrypted together.
type part struct {
	Sealed
	metadata metadata
	// documents are the indexes of its YAML documents.
	documents []int
}

// document is one YAML document.
type document struct {
	// text is the document as written in the file, from its marker to the next one.
	text string
	// line is the line of its first value.
	line int
	meta map[string]any
}

func (d document) encrypted() bool { return d.meta != nil }

// read checks a file and splits it up.
func read(file string, content []byte) (parts, error) {
	if len(content) > maxFile {
		return parts{}, malformed("it is larger than %d MiB", maxFile>>20)
	}
	format := formatOf(file, content)
	if format == YAML {
		return readYAML(content)
	}
	o, err := outlineOf(content, format)
	if err != nil {
		return parts{}, err
	}
	if o.meta == nil {
		return parts{}, malformed("it has encrypted values, but no sops metadata that names the recipients")
	}
	m, err := newMetadata(o)
	return parts{encrypted: []part{{Sealed: Sealed{format, content}, metadata: m}}}, err
}

func outlineOf(content []byte, format Format) (outline, error) {
	if format == JSON || format == Binary {
		return outlineOfJSON(content)
	}
	return outlineOfLines(content, format)
}

// readYAML groups the encrypted documents of a file by the MAC that spans them, because SOPS repeats its metadata in
// every document of a file. Documents that were encrypted separately have different MACs.
func readYAML(content []byte) (parts, error) {
	var p parts
	nodes, texts, err := splitYAML(content)
	if err != nil {
		return p, err
	}
	groups, outlines := map[string]int{}, []outline{}
	for i, node := range nodes {
		d := document{text: texts[i]}
		if hasMetadata(node) {
			o, err := outlineOfYAML(node)
			if err != nil {
				return p, inDocument(err, i, len(nodes))
			}
			d.meta, d.line = o.meta, node.Content[0].Line
			mac := fields(o.meta).text("mac")
			at, ok := groups[mac]
			if !ok {
				at = len(outlines)
				groups[mac], outlines, p.encrypted = at, append(outlines, outline{meta: o.meta}), append(p.encrypted, part{})
			}
			outlines[at].steps += o.steps
			p.encrypted[at].documents = append(p.encrypted[at].documents, i)
		} else if hasEncryptedValue([]byte(d.text)) {
			return p, inDocument(malformed("it has encrypted values and no key sops"), i, len(nodes))
		}
		p.documents = append(p.documents, d)
	}
	if len(p.encrypted) == 0 {
		return p, malformed("none of its documents has the key sops")
	}
	for at := range p.encrypted {
		if err := p.seal(at, outlines[at]); err != nil {
			return p, err
		}
	}
	return p, nil
}

// seal builds one file from the documents that were encrypted together.
func (p *parts) seal(at int, o outline) (err error) {
	sealed := &p.encrypted[at]
	if sealed.metadata, err = newMetadata(o); err != nil {
		return inDocument(err, sealed.documents[0], len(p.documents))
	}
	var text strings.Builder
	for _, number := range sealed.documents {
		if !documentMark.MatchString(p.documents[number].text) {
			text.WriteString("---\n")
		}
		text.WriteString(p.documents[number].text)
		if !strings.HasSuffix(p.documents[number].text, "\n") {
			text.WriteString("\n")
		}
	}
	sealed.Sealed = Sealed{YAML, []byte(text.String())}
	return nil
}

// splitYAML returns the documents of a file, both parsed and as written.
func splitYAML(content []byte) ([]*yaml.Node, []string, error) {
	texts := textsOf(string(content))
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var nodes []*yaml.Node
	for {
		node := new(yaml.Node)
		err := decoder.Decode(node)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, malformed("its YAML does not parse%s", lineOf(err))
		}
		nodes = append(nodes, node)
	}
	if len(texts) != len(nodes) {
		return nil, nil, malformed("the boundaries of its YAML documents are unclear: begin each with ---, and end none with ...")
	}
	return nodes, texts, nil
}

func hasMetadata(document *yaml.Node) bool {
	for _, root := range document.Content {
		if root.Kind == yaml.MappingNode {
			if part := valueOf(root, metadataKey); part != nil && part.Kind == yaml.MappingNode {
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

// lineOf returns the line in an error of the library, and drops the rest, which may quote values.
func lineOf(err error) string {
	if line := yamlLine.FindString(err.Error()); line != "" {
		return " at " + line
	}
	return ""
}

// textsOf splits a file at its document markers, which no scalar contains at the start of a line. Text before the first
// document stays with that document.
func textsOf(content string) []string {
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

// isBlank reports whether a text holds at most comments and directives, and no document.
func isBlank(text string) bool {
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' && line[0] != '%' {
			return false
		}
	}
	return true
}

// joined reassembles the documents, with the decrypted ones in place of the encrypted ones. Each begins at its original
// line unless an earlier one has grown.
func (p parts) joined(decrypted map[int][]byte) []byte {
	var out bytes.Buffer
	written, before := 0, 0 // both in lines
	for i, d := range p.documents {
		text, line := d.text, before
		if d.encrypted() {
			text, line = string(decrypted[i]), max(0, d.line-1)
			if i > 0 || documentMark.MatchString(d.text) {
				text, line = "---\n"+text, line-1
			}
		}
		if written < line {
			out.WriteString(strings.Repeat("#\n", line-written)) // comments, because empty lines might belong to a scalar
			written = line
		}
		out.WriteString(text)
		written += strings.Count(text, "\n")
		before += strings.Count(d.text, "\n")
	}
	return out.Bytes()
}

// inDocument names the document that an error is about, if there are several.
func inDocument(err error, index, count int) error {
	var e *Error
	if errors.As(err, &e) && count > 1 {
		e.Document = index + 1
	}
	return err
}
