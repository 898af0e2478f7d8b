package reconciler

import (
	"cmp"
	"encoding/base64"
	"slices"
	"strings"

	"berth.dev/berth/reconciler/manifest"
)

// masked stands in place of a Secret's value, and minMasked is how long a value has to be: to take out every
// "1" would leave nothing to read.
const (
	masked    = "•••"
	minMasked = 4
)

// mask takes the values of all Secrets that Git says out of a text, in plain and as Secrets hold them.
func (d desired) mask(text string) string {
	var values []string
	for _, o := range d.set.Objects {
		if o.Key().GroupKind() == (manifest.Key{Kind: "Secret"}).GroupKind() {
			values = append(values, valuesOf(o)...)
		}
	}
	slices.SortFunc(values, func(a, b string) int { return cmp.Compare(len(b), len(a)) }) // the whole before its parts
	for _, v := range values {
		text = strings.ReplaceAll(text, v, masked)
	}
	return text
}

// valuesOf returns the values of a Secret as they may stand in a log, which has them line by line.
func valuesOf(secret manifest.Object) (values []string) {
	for _, field := range []string{"data", "stringData"} {
		entries, _ := secret.Object[field].(map[string]any)
		for _, entry := range entries {
			text, _ := entry.(string)
			plain := text
			if field == "data" {
				if decoded, err := base64.StdEncoding.DecodeString(text); err == nil {
					plain = string(decoded)
				}
			}
			for _, v := range append(strings.Split(plain, "\n"), text, base64.StdEncoding.EncodeToString([]byte(plain))) {
				if v = strings.TrimSpace(v); len(v) >= minMasked {
					values = append(values, v)
				}
			}
		}
	}
	return values
}
