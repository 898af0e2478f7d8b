package render

import (
	"bytes"
	"path"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// encryptedValue begins every value that SOPS encrypted, the MAC of a file among them.
const encryptedValue = "ENC[AES256_GCM,"

// envelope is SOPS' metadata at the top level of YAML, JSON, dotenv and ini files.
var envelope = regexp.MustCompile(`(?m)^(sops:|sops_mac=|\[sops\])|"sops"\s*:\s*\{`)

// isEncrypted says whether a file is a SOPS document, whatever its format.
func isEncrypted(content []byte) bool {
	return bytes.Contains(content, []byte(encryptedValue)) && envelope.Match(content)
}

// protect keeps variables from being replaced in what was decrypted.
func (r *renderer) protect(name string, plain []byte) {
	if !bytes.Contains(plain, []byte("${")) {
		return
	}
	r.plaintexts[string(plain)] = true
	if !isManifest(name) {
		for line := range strings.Lines(string(plain)) {
			_, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), "=")
			r.plaintexts[value] = true
		}
		return
	}
	decoder := yaml.NewDecoder(bytes.NewReader(plain))
	if path.Ext(name) == ".json" {
		nodes, err := parseJSON(name, plain)
		if err == nil {
			r.protectAll(nodes)
		}
		return
	}
	for {
		var doc yaml.Node
		if decoder.Decode(&doc) != nil {
			return // its mistakes are reported by whoever reads it as manifests
		}
		r.protectAll(doc.Content)
	}
}

func (r *renderer) protectAll(nodes []*yaml.Node) {
	for _, n := range nodes {
		if n.Kind == yaml.ScalarNode && strings.Contains(n.Value, "${") {
			r.plaintexts[n.Value] = true
		}
		r.protectAll(n.Content)
	}
}

// readable says whether nothing encrypted is left in the object, where it would be applied as if it
// were plain.
func (c checker) readable() *Error {
	if _, ok := c.content["sops"]; ok {
		return c.fail([]string{"sops"}, "it is still encrypted: it has a sops envelope",
			"check that the file is a whole SOPS document, with its mac")
	}
	if path := encryptedAt(c.content, nil); path != nil {
		return c.fail(path, "it is still encrypted: "+strings.Join(path, ".")+" is a SOPS value",
			"check that the file is a whole SOPS document, with its sops key")
	}
	return nil
}

// encryptedAt returns the path of the first encrypted text, or nil. Items of lists are not in it.
func encryptedAt(value any, path []string) []string {
	switch value := value.(type) {
	case string:
		if strings.Contains(value, encryptedValue) {
			return path
		}
	case []any:
		for _, item := range value {
			if found := encryptedAt(item, path); found != nil {
				return found
			}
		}
	case map[string]any:
		for _, key := range sortedKeys(value) {
			if found := encryptedAt(value[key], append(path[:len(path):len(path)], key)); found != nil {
				return found
			}
		}
	}
	return nil
}
