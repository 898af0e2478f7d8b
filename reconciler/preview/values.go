package preview

import (
	"fmt"
	"regexp"

	"k8s.io/apimachinery/pkg/util/intstr"
)

// variable is a reference to a variable, or one that is escaped by a second dollar sign.
var variable = regexp.MustCompile(`\$?\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// Values are the built-in variables and those of an entry, in whose texts the built-in ones are
// replaced. The texts true and false are booleans, as kubectl would read them without quotes.
func Values(s Subject, entry map[string]intstr.IntOrString) map[string]any {
	all := make(map[string]any, len(entry)+16)
	for name, value := range Variables(s) {
		all[name] = value
	}
	own := make(map[string]any, len(entry))
	for name, value := range entry {
		switch {
		case value.Type == intstr.Int:
			own[name] = int64(value.IntVal)
		case value.StrVal == "true", value.StrVal == "false":
			own[name] = value.StrVal == "true"
		default:
			own[name] = expand(value.StrVal, all)
		}
	}
	for name, value := range own {
		all[name] = value
	}
	return all
}

// expand replaces the variables that are known in a text, and leaves all others alone.
func expand(text string, values map[string]any) string {
	return variable.ReplaceAllStringFunc(text, func(reference string) string {
		name := variable.FindStringSubmatch(reference)[1]
		value, known := values[name]
		switch {
		case !known:
			return reference
		case reference[1] == '$':
			return reference[1:]
		}
		return fmt.Sprint(value)
	})
}
