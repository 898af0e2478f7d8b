package render

import (
	"bytes"
	"encoding/base64"
	"regexp"
	"slices"
	"strings"

	"berth.dev/berth/reconciler/manifest"
	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// encryptedValue begins every value that SOPS encrypted, including the MAC of a file.
const encryptedValue = "ENC[AES256_GCM,"

// envelope is SOPS' metadata at the top level of YAML, JSON, dotenv and ini files.
var envelope = regexp.MustCompile(`(?m)^(sops:|sops_mac=|\[sops\])|"sops"\s*:\s*\{`)

// isEncrypted reports whether a file is a SOPS document, whatever its format. A Decrypter decides most precisely.
// Without one, a look at complete documents is enough, because such files are refused anyway.
func (r *renderer) isEncrypted(name string, content []byte) bool {
	if r.Decrypter != nil {
		return r.Decrypter.Encrypted(name, content)
	}
	return bytes.Contains(content, []byte(encryptedValue)) && envelope.Match(content)
}

// decrypt returns the plain text of an encrypted file, with veils over the values that were encrypted.
func (r *renderer) decrypt(name string, content []byte) ([]byte, error) {
	origin := manifest.Origin{File: name}
	if r.Decrypter == nil {
		return nil, &Error{Origin: origin, Problem: "the file is encrypted and there is no key to decrypt it",
			Hint: "give the entry a decryption.secretRef"}
	}
	opened, err := r.Decrypter.Open(r.ctx, name, content)
	if err != nil {
		return nil, &Error{Origin: origin, Problem: "cannot be decrypted", Cause: err}
	}
	shown := r.veils.file(opened)
	if !isManifest(name) {
		return shown, nil
	}
	documents, err := parse(name, shown)
	if err != nil {
		return shown, nil // reading it as manifests reports the error
	}
	if r.veils.identify(documents) {
		shown = r.veils.shown(written(documents), opened.Content)
	}
	return shown, r.onlySecrets(name, content, documents)
}

// written writes documents as YAML.
func written(documents []*yaml.Node) string {
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	for _, n := range documents {
		_ = encoder.Encode(n) // parsed values can be written, and a buffer does not fail
	}
	_ = encoder.Close()
	return out.String()
}

// onlySecrets refuses a file with encrypted documents of a kind that is readable more widely than Secrets.
func (r *renderer) onlySecrets(name string, content []byte, documents []*yaml.Node) error {
	before, err := parse(name, content)
	paired := err == nil && len(before) == len(documents)
	for i, n := range documents {
		line := 0
		if paired {
			line = before[i].Line
		}
		for _, object := range flatten([]*yaml.Node{n}) {
			kind := writtenIn(object, "kind")
			// Other files, such as a kubeconfig, have a kind too, but no name.
			if kind == "" || field(object, "apiVersion") == nil || field(object, "metadata", "name") == nil || r.mayHold(object) || !r.veils.under(object) {
				continue
			}
			return &Error{Origin: manifest.Origin{File: name, Line: line}, Object: objectName(nil, object),
				Problem: "it is encrypted, but everyone in the cluster who may read a " + kind + " could read it",
				Hint:    "make it a Secret, store it unencrypted, or have " + kind + " added to the entry's decryption.kinds"}
		}
	}
	return nil
}

// mayHold reports whether the object in a document may hold decrypted values.
func (r *renderer) mayHold(n *yaml.Node) bool {
	return r.kindMayHold(writtenIn(n, "apiVersion"), writtenIn(n, "kind"))
}

// writtenIn returns the text of a field. It returns none for an alias, which has a text of its own.
func writtenIn(n *yaml.Node, path ...string) string {
	if value := field(n, path...); value != nil && value.Kind == yaml.ScalarNode {
		return value.Value
	}
	return ""
}

// nameless reports whether a decrypted value has become the name of an object.
func (r *renderer) nameless(n *yaml.Node) bool {
	name := writtenIn(n, "metadata", "name")
	return r.veils.over(name) && !r.veils.own[name]
}

// concealed refuses an object that holds decrypted values without permission.
func (r *renderer) concealed(c checker) *Error {
	if len(r.veils.files) == 0 {
		return nil
	}
	if c.mayHold && r.nameless(c.document.node) {
		return c.fail([]string{"metadata", "name"}, "metadata.name holds a decrypted value, and names of objects are shown in many places",
			"choose another name")
	}
	path := placeOf(c.content, r.veils.over)
	if path == nil {
		return nil
	}
	kind, _ := c.content["kind"].(string)
	if c.mayHold {
		return c.fail(path, strings.Join(path, ".")+" holds a part of a decrypted value, and only whole values can be copied", "use the whole value, or encrypt its parts separately")
	}
	return c.fail(path, strings.Join(path, ".")+" holds a decrypted value, and everyone in the cluster who may read a "+kind+" could read it",
		"generate a Secret instead, or have "+kind+" added to the entry's decryption.kinds")
}

func (r *renderer) kindMayHold(apiVersion, kind string) bool {
	group, _, grouped := strings.Cut(apiVersion, "/")
	if !grouped {
		group = ""
	}
	return r.Decrypted.MayHoldSecrets(schema.GroupKind{Group: group, Kind: kind})
}

// readable refuses an object that still holds encrypted values, which would be applied as if they were plain.
func (c checker) readable() *Error {
	if _, ok := c.content["sops"]; ok {
		return c.fail([]string{"sops"}, "it is still encrypted: it has a sops envelope",
			"check that the file is a whole SOPS document, with its mac")
	}
	path := placeOf(c.content, func(text string) bool { return strings.Contains(text, encryptedValue) })
	if path != nil {
		return c.fail(path, "it is still encrypted: "+strings.Join(path, ".")+" is a SOPS value",
			"check that the file is a whole SOPS document, with its sops key")
	}
	return nil
}

// placeOf returns the path of the first text of an object that satisfies is, or nil. The path leaves out items of
// lists.
func placeOf(content map[string]any, is func(string) bool) []string {
	path, found := textAt(content, is)
	if !found {
		return decodedAt(content, is)
	}
	slices.Reverse(path)
	return path
}

// textAt returns the reversed path to a text. The path is built only once the text is found.
func textAt(value any, is func(string) bool) (reversed []string, found bool) {
	switch value := value.(type) {
	case string:
		return nil, is(value)
	case []any:
		for _, item := range value {
			if reversed, found = textAt(item, is); found {
				return reversed, true
			}
		}
	case map[string]any:
		for _, key := range sortedKeys(value) {
			if reversed, found = textAt(value[key], is); found {
				return append(reversed, key), true
			}
		}
	}
	return nil, false
}

// decodedAt is textAt for the base64 values of Secrets and ConfigMaps.
func decodedAt(content map[string]any, is func(string) bool) []string {
	if content["apiVersion"] != "v1" {
		return nil
	}
	where := map[any]string{"Secret": "data", "ConfigMap": "binaryData"}[content["kind"]]
	values, _ := content[where].(map[string]any)
	for _, key := range sortedKeys(values) {
		text, _ := values[key].(string)
		decoded, err := base64.StdEncoding.DecodeString(text)
		if err == nil && is(string(decoded)) {
			return []string{where, key}
		}
	}
	return nil
}
