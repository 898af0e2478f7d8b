package secrets

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"
)

// placeholderOf names an encrypted value by its place and its ciphertext, both of which are public.
func placeholderOf(ciphertext string, path []string) string {
	sum := sha256.Sum256([]byte(strings.Join(path, "\x00") + "\x00\x00" + ciphertext))
	return "veiled" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:]))[:26]
}

// veil replaces opened values by their placeholders, and notes what those stand for.
func veil(value any, written func(any) Value, values map[string]Value) {
	switch value := value.(type) {
	case branch:
		for _, it := range value {
			veil(it.value, written, values)
		}
	case sequence:
		for _, it := range value {
			veil(it, written, values)
		}
	case *leaf:
		if value.placeholder != "" {
			values[value.placeholder] = written(value.value)
			value.value = value.placeholder
		}
	}
}

// veil does the same in a document that was written.
func (d *yamlDocument) veil(values map[string]Value) {
	for _, o := range d.opened {
		if o.leaf.placeholder != "" {
			values[o.leaf.placeholder] = scalar(o.leaf.value)
			*o.node = *scalarNode(o.leaf.placeholder)
		}
	}
}

// scalar is a value of YAML or JSON.
func scalar(value any) Value {
	node := scalarNode(value)
	if node.Tag == "!!str" {
		return Value{Text: node.Value}
	}
	return Value{Text: node.Value, Tag: node.Tag}
}

// scalarText is a value of a format that has only texts.
func scalarText(value any) Value { return Value{Text: plainText(value)} }
