package proposals

import (
	"regexp"
	"strings"

	"berth.dev/berth/reconciler/manifest"
)

// withHash matches a name to which Kustomize added a hash of the object's content.
var withHash = regexp.MustCompile(`^(.+-)[a-z0-9]{10}$`)

// stemOf returns the name of a generated object without its hash; empty if it has none. A generated object has no line in Git.
func stemOf(o manifest.Object) string {
	parts := withHash.FindStringSubmatch(o.GetName())
	if parts == nil || o.Origin.Line != 0 {
		return ""
	}
	return parts[1]
}

// regenerated pairs the generated objects that changed: Kustomize gives each a new name with its content. It returns their old
// keys by the new ones. A stem that several objects have is no pair.
func regenerated(current, next manifest.Set) map[manifest.Key]manifest.Key {
	before, now := index(current), index(next)
	left := func(s manifest.Set, other map[manifest.Key]manifest.Object) map[manifest.Key][]manifest.Key {
		byStem := map[manifest.Key][]manifest.Key{}
		for _, o := range s.Objects {
			if _, there := other[o.Key()]; there {
				continue
			}
			if stem := stemOf(o); stem != "" {
				key := o.Key()
				key.Name = stem
				byStem[key] = append(byStem[key], o.Key())
			}
		}
		return byStem
	}
	gone, pairs := left(current, now), map[manifest.Key]manifest.Key{}
	for stem, keys := range left(next, before) {
		if len(keys) == 1 && len(gone[stem]) == 1 {
			pairs[keys[0]] = gone[stem][0]
		}
	}
	return pairs
}

// unnamed returns the stems of the generated objects whose real names are not known, because their content is encrypted.
func unnamed(s manifest.Set) map[manifest.Key]string {
	stems := map[manifest.Key]string{}
	for _, o := range s.Objects {
		if stem := stemOf(o); stem != "" && concealed(o.Unstructured) {
			stems[o.Key()] = stem
		}
	}
	return stems
}

// shownAs replaces names that are not known by their stems.
func shownAs(sets ...manifest.Set) *strings.Replacer {
	var pairs []string
	for _, s := range sets {
		for key, stem := range unnamed(s) {
			pairs = append(pairs, key.Name, stem+"…")
		}
	}
	return strings.NewReplacer(pairs...)
}

// named replaces such names in a value of a field.
func named(value any, names *strings.Replacer) any {
	switch value := value.(type) {
	case string:
		return names.Replace(value)
	case []any:
		list := make([]any, len(value))
		for i := range value {
			list[i] = named(value[i], names)
		}
		return list
	case map[string]any:
		fields := make(map[string]any, len(value))
		for key := range value {
			fields[key] = named(value[key], names)
		}
		return fields
	}
	return value
}
