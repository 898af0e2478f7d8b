package output

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"berth.dev/berth/reconciler/manifest"
)

// Hidden stands for a value that is not shown.
const Hidden = "***"

// lastApplied is where kubectl keeps a copy of everything, values included.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// minHidden is how long a value has to be to be taken out of a text: without every "1", nothing would be left to read.
const minHidden = 4

// Mask hides the values of Secrets, and of whatever else may hold what was decrypted. A nil one hides nothing.
type Mask struct {
	// Kinds are those of an entry's decryption.kinds.
	Kinds manifest.Kinds
}

// Hides says whether the values of a kind's objects are hidden.
func (m *Mask) Hides(kind schema.GroupKind) bool {
	return m != nil && m.Kinds.MayHoldSecrets(kind)
}

// IsValue says whether the field of a path is one of those that are hidden where anything is.
func IsValue(path string) bool {
	field, _, _ := strings.Cut(path, ".")
	return !slices.Contains([]string{"apiVersion", "kind", "metadata", "type", "immutable"}, field)
}

// Object returns an object that can be shown: itself, or a copy with its values hidden.
func (m *Mask) Object(obj *unstructured.Unstructured) *unstructured.Unstructured {
	if !m.Hides(obj.GroupVersionKind().GroupKind()) {
		return obj
	}
	obj = obj.DeepCopy()
	for field, value := range obj.Object {
		if IsValue(field) {
			obj.Object[field] = hidden(value)
		}
	}
	if annotations := obj.GetAnnotations(); annotations[lastApplied] != "" {
		annotations[lastApplied] = Hidden
		obj.SetAnnotations(annotations)
	}
	return obj
}

// hidden keeps the form of a value, and nothing else of it.
func hidden(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for key := range value {
			value[key] = hidden(value[key])
		}
	case []any:
		for i := range value {
			value[i] = hidden(value[i])
		}
	case nil:
		return nil
	default:
		return Hidden
	}
	return value
}

// Text returns what others said of an object, without the values that are hidden of it.
func (m *Mask) Text(text string, obj *unstructured.Unstructured) string {
	if !m.Hides(obj.GroupVersionKind().GroupKind()) {
		return text
	}
	var values []string
	for field, value := range obj.Object {
		if IsValue(field) {
			values = append(values, scalars(value)...)
		}
	}
	slices.SortFunc(values, func(a, b string) int { return cmp.Compare(len(b), len(a)) }) // the whole before its parts
	for _, value := range values {
		text = strings.ReplaceAll(text, value, Hidden)
	}
	return text
}

// scalars returns the values within one, in plain and as Secrets hold them.
func scalars(value any) (all []string) {
	switch value := value.(type) {
	case map[string]any:
		for _, inner := range value {
			all = append(all, scalars(inner)...)
		}
	case []any:
		for _, inner := range value {
			all = append(all, scalars(inner)...)
		}
	default:
		text := fmt.Sprint(value)
		decoded, _ := base64.StdEncoding.DecodeString(text)
		for _, form := range []string{text, string(decoded), base64.StdEncoding.EncodeToString([]byte(text))} {
			if len(form) >= minHidden {
				all = append(all, form)
			}
		}
	}
	return all
}
