package secrets

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// concealedMark begins what stands for a value that was not decrypted. With the rest it is valid base64, and a valid name.
const concealedMark = "berthsealed"

// concealedDigits is the number of digits that follow.
const concealedDigits = 21

// Conceal returns an encrypted file as Open would, but with a text of its own in place of each encrypted value. The text
// follows from the ciphertext alone: it changes when the ciphertext does. No key is needed, and nothing is verified, so
// the result shows only which values changed. IsConcealed recognizes the texts. Every error is an *Error.
func Conceal(file string, content []byte) (Plain, error) {
	plain, err := conceal(file, content)
	if err != nil {
		return Plain{}, explained(err, file, nil)
	}
	return plain, nil
}

// IsConcealed reports whether a text, or the text that it encodes in base64, has a value from Conceal.
func IsConcealed(text string) bool {
	if strings.Contains(text, concealedMark) {
		return true
	}
	decoded, err := base64.StdEncoding.DecodeString(text)
	return err == nil && bytes.Contains(decoded, []byte(concealedMark))
}

func conceal(file string, content []byte) (Plain, error) {
	parts, err := read(file, content)
	if err != nil {
		return Plain{}, err
	}
	c := concealer{values: map[string]Value{}}
	var veiled []byte
	if len(parts.documents) == 0 {
		veiled, err = c.whole(parts.encrypted[0].Sealed)
	} else {
		documents := map[int][]byte{}
		for i, d := range parts.documents {
			if d.encrypted() && err == nil {
				documents[i], err = c.yaml(d.text)
			}
		}
		veiled = parts.joined(documents)
	}
	if err != nil {
		return Plain{}, err
	}
	var pairs []string
	for placeholder, value := range c.values {
		pairs = append(pairs, placeholder, value.Text)
	}
	return Plain{Content: []byte(strings.NewReplacer(pairs...).Replace(string(veiled))), Veiled: veiled, Values: c.values}, nil
}

// concealer replaces encrypted values by placeholders, and collects what stands for them.
type concealer struct{ values map[string]Value }

// placeholder returns the placeholder for a ciphertext, and false for other texts.
func (c concealer) placeholder(text string) (string, bool) {
	if !strings.HasPrefix(text, encryptedPrefix) {
		return text, false
	}
	sum := sha256.Sum256([]byte(text))
	digits := hex.EncodeToString(sum[:])
	placeholder := "veiled" + digits[:concealedDigits]
	c.values[placeholder] = Value{Text: concealedMark + digits[:concealedDigits]}
	return placeholder, true
}

// whole conceals a file that is not YAML.
func (c concealer) whole(s Sealed) ([]byte, error) {
	switch s.Format {
	case JSON, Binary:
		return c.json(s)
	}
	return c.lines(string(s.Content), s.Format), nil
}

func (c concealer) yaml(text string) ([]byte, error) {
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(text), &document); err != nil {
		return nil, malformed("its YAML does not parse%s", lineOf(err))
	}
	for _, root := range document.Content {
		for i := 0; i+1 < len(root.Content); i += 2 {
			if root.Content[i].Value == metadataKey {
				root.Content = append(root.Content[:i:i], root.Content[i+2:]...)
				break
			}
		}
	}
	c.node(&document)
	if len(document.Content) == 0 {
		return nil, nil
	}
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(document.Content[0]); err != nil {
		return nil, malformed("its YAML cannot be written")
	}
	return out.Bytes(), nil
}

// node conceals the scalars below a node. It drops comments, as Open does.
func (c concealer) node(n *yaml.Node) {
	n.HeadComment, n.LineComment, n.FootComment = "", "", ""
	if n.Kind == yaml.ScalarNode {
		if placeholder, ok := c.placeholder(n.Value); ok {
			n.Value, n.Tag, n.Style = placeholder, "!!str", 0
		}
	}
	for _, below := range n.Content {
		c.node(below)
	}
}

func (c concealer) json(s Sealed) ([]byte, error) {
	decoder := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(s.Content, []byte("\ufeff"))))
	decoder.UseNumber()
	var root map[string]any
	if err := decoder.Decode(&root); err != nil {
		return nil, malformed("its JSON is not an object")
	}
	delete(root, metadataKey)
	concealed, _ := c.value(root).(map[string]any)
	if s.Format == Binary {
		return fmt.Append(nil, concealed["data"]), nil
	}
	text, err := json.MarshalIndent(concealed, "", "  ")
	if err != nil {
		return nil, malformed("its JSON cannot be written")
	}
	return append(text, '\n'), nil
}

func (c concealer) value(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for key := range value {
			value[key] = c.value(value[key])
		}
	case []any:
		for i := range value {
			value[i] = c.value(value[i])
		}
	case string:
		placeholder, _ := c.placeholder(value)
		return placeholder
	}
	return value
}

// lines conceals a file of lines, each with a key and a value.
func (c concealer) lines(text string, format Format) []byte {
	var out strings.Builder
	section := ""
	for line := range strings.Lines(text) {
		bare := strings.TrimSpace(line)
		if format == INI && strings.HasPrefix(bare, "[") {
			section = strings.Trim(bare, "[]")
		}
		comment := strings.HasPrefix(bare, "#") || strings.HasPrefix(bare, ";")
		if comment || section == metadataKey || format == Dotenv && strings.HasPrefix(line, metadataKey+"_") {
			continue
		}
		key, value, isValue := strings.Cut(line, "=")
		if placeholder, ok := c.placeholder(strings.TrimSpace(value)); isValue && ok {
			line = key + "=" + placeholder + "\n"
		}
		out.WriteString(line)
	}
	return []byte(out.String())
}
