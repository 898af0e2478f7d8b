package output

import (
	"encoding/json"
	"fmt"
	"io"

	"sigs.k8s.io/yaml"
)

// Format is a machine-readable output format.
type Format string

// The formats for scripts.
const (
	JSON Format = "json"
	YAML Format = "yaml"
)

// Write prints a value in a format for scripts.
func (f Format) Write(w io.Writer, value any) error {
	if f == YAML {
		text, err := yaml.Marshal(value)
		if err != nil {
			return err
		}
		_, err = w.Write(text)
		return err
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "    ")
	// What is printed is not HTML, and "<" is easier to read than its escape.
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

// List returns the v1 List that kubectl reads and writes.
func List[T any](items []T) map[string]any {
	if items == nil {
		items = []T{}
	}
	return map[string]any{"apiVersion": "v1", "kind": "List", "metadata": map[string]any{}, "items": items}
}

// Parse reads a format that is one of those allowed.
func Parse(text string, allowed ...Format) (Format, error) {
	names := ""
	for i, f := range allowed {
		if text == string(f) {
			return f, nil
		}
		switch {
		case i == 0:
		case i == len(allowed)-1:
			names += " or "
		default:
			names += ", "
		}
		names += string(f)
	}
	return "", fmt.Errorf("cannot print as %q: -o is %s", text, names)
}
