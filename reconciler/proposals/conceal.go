package proposals

import (
	"context"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/reconciler/render"
	"berth.dev/berth/secrets"
)

// Concealer is a render.Decrypter without keys: what stands in place of an encrypted value shows only whether its ciphertext
// changed.
type Concealer struct{}

// Encrypted reports whether Open has to conceal a file.
func (Concealer) Encrypted(file string, content []byte) bool { return secrets.Encrypted(file, content) }

// Open conceals the values of an encrypted file.
func (Concealer) Open(_ context.Context, file string, content []byte) (render.Opened, error) {
	plain, err := secrets.Conceal(file, content)
	opened := render.Opened{Content: plain.Content, Veiled: plain.Veiled, Values: make(map[string]render.Value, len(plain.Values))}
	for placeholder, value := range plain.Values {
		opened.Values[placeholder] = render.Value(value)
	}
	return opened, err
}

// concealed reports whether an object has values that were not decrypted, so that its real content is not known.
func concealed(o *unstructured.Unstructured) bool { return o != nil && concealedIn(o.Object) }

func concealedIn(value any) bool {
	switch value := value.(type) {
	case string:
		return secrets.IsConcealed(value)
	case []any:
		for _, item := range value {
			if concealedIn(item) {
				return true
			}
		}
	case map[string]any:
		for key, item := range value {
			if concealedIn(key) || concealedIn(item) {
				return true
			}
		}
	}
	return false
}
