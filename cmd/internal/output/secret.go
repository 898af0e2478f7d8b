package output

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"berth.dev/berth/reconciler/fields"
	"berth.dev/berth/reconciler/manifest"
)

// Hidden replaces a hidden value.
const Hidden = fields.Hidden

// lastApplied is the annotation in which kubectl keeps a copy of the whole object, including its values.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// minHidden is the minimum length of values that are masked in a text. Masking every "1" would leave nothing
// readable.
const minHidden = 4

// Mask hides the values of Secrets, and of other kinds that may hold decrypted values. A nil Mask hides nothing.
type Mask struct {
	// Kinds are the kinds of an entry's decryption.kinds.
	Kinds manifest.Kinds
}

// Hides reports whether the values of a kind's objects are hidden.
func (m *Mask) Hides(kind schema.GroupKind) bool {
	return m != nil && m.Kinds.MayHoldSecrets(kind)
}

// Object returns an object that may be shown: the object itself, or a copy with its values hidden.
func (m *Mask) Object(obj *unstructured.Unstructured) *unstructured.Unstructured {
	if !m.Hides(obj.GroupVersionKind().GroupKind()) {
		return obj
	}
	obj = obj.DeepCopy()
	for field, value := range obj.Object {
		if fields.IsValue(field) {
			obj.Object[field] = hidden(value)
		}
	}
	if annotations := obj.GetAnnotations(); annotations[lastApplied] != "" {
		annotations[lastApplied] = Hidden
		obj.SetAnnotations(annotations)
	}
	return obj
}

// hidden keeps only the structure of a value.
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

// Text returns a text about an object without the object's hidden values.
func (m *Mask) Text(text string, obj *unstructured.Unstructured) string {
	if !m.Hides(obj.GroupVersionKind().GroupKind()) {
		return text
	}
	var values []string
	for field, value := range obj.Object {
		if fields.IsValue(field) {
			values = append(values, scalars(value)...)
		}
	}
	slices.SortFunc(values, func(a, b string) int { return cmp.Compare(len(b), len(a)) }) // longer values before their parts
	for _, value := range values {
		text = strings.ReplaceAll(text, value, Hidden)
	}
	return text
}

// scalars returns the scalars within a value, as plain text and in the encoding of Secrets.
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
