package render

import (
	"fmt"
	"strconv"
	"unicode"
	"unicode/utf8"

	"berth.dev/berth/reconciler/manifest"
	"go.yaml.in/yaml/v3"
)

// booleans says which plain scalars are booleans beside true and false.
type booleans int

const (
	// kubectlBooleans are YAML 1.1's: yes, no, on, off, y, n. kubectl reads them so.
	kubectlBooleans booleans = iota
	// kustomizeBooleans are YAML 1.2's: Kustomize writes yes back as "yes", with quotes.
	kustomizeBooleans
)

var oldBooleans = map[string]bool{
	"y": true, "Y": true, "yes": true, "Yes": true, "YES": true, "on": true, "On": true, "ON": true,
	"n": false, "N": false, "no": false, "No": false, "NO": false, "off": false, "Off": false, "OFF": false,
}

// maxAliased bounds the values of one render that come from aliases: nine lines of them can stand for billions.
const maxAliased = 500_000

// aliases counts the values that came from aliases, over a whole render.
type aliases struct{ values int }

func (a *aliases) exceeded() bool {
	a.values++
	return a.values > maxAliased
}

// converter turns nodes into the values that kubectl would send.
type converter struct {
	document  document
	variables *variables
	veils     *veils
	// lifts is true if the object may hold the values under veils.
	lifts bool
	// off is true if the object opts out of variables.
	off     bool
	depth   int
	aliases *aliases
	// within counts the aliases that are being followed.
	within int
	// commands counts the commands and arguments of containers around the value.
	commands int
	remarks  []manifest.Warning
}

// value converts a node and all below it. Its errors are *Error with an Origin.
func (c *converter) value(n *yaml.Node) (any, error) {
	if c.depth++; c.depth > maxDepth {
		if c.within > 0 {
			return nil, c.fail(n, tooManyAliased())
		}
		return nil, c.fail(n, tooDeep())
	}
	defer func() { c.depth-- }()
	if c.within > 0 && c.aliases.exceeded() {
		return nil, c.fail(n, tooManyAliased())
	}
	switch n.Kind {
	case yaml.AliasNode:
		c.within++
		defer func() { c.within-- }()
		return c.value(n.Alias)
	case yaml.MappingNode:
		return c.mapping(n)
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, item := range n.Content {
			value, err := c.value(item)
			if err != nil {
				return nil, err
			}
			list[i] = value
		}
		return list, nil
	default:
		return c.scalar(n)
	}
}

func (c *converter) mapping(n *yaml.Node) (map[string]any, error) {
	result := make(map[string]any, len(n.Content)/2)
	lines := make(map[string]int, len(n.Content)/2)
	var merges []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if isMerge(key) {
			merges = append(merges, value)
			continue
		}
		name, err := c.key(key)
		if err != nil {
			return nil, err
		}
		if line, ok := lines[name]; ok {
			if !c.document.ownLines {
				line = 0
			}
			e := duplicate(name, line)
			if c.depth == 1 && (name == "apiVersion" || name == "kind") {
				e.Hint = "begin the next object with a line that holds nothing but ---"
			}
			return nil, c.fail(key, e)
		}
		lines[name] = key.Line
		if result[name], err = c.field(name, value); err != nil {
			return nil, err
		}
	}
	for _, merge := range merges {
		if err := c.merge(result, merge); err != nil {
			return nil, err
		}
	}
	return result, nil
}

// field converts the value of a key.
func (c *converter) field(name string, n *yaml.Node) (any, error) {
	if name == "command" || name == "args" {
		c.commands++
		defer func() { c.commands-- }()
	}
	return c.value(n)
}

func tooManyAliased() *Error {
	return &Error{Problem: "aliases (*name) expand to too many values, or to themselves", Hint: "write the values out"}
}

func duplicate(name string, line int) *Error {
	problem := fmt.Sprintf("the key %q appears here a second time", name)
	if line > 0 {
		problem += fmt.Sprintf(", first at line %d", line)
	}
	return &Error{Problem: problem, Hint: "keep one of them"}
}

func isMerge(key *yaml.Node) bool {
	return key.Kind == yaml.ScalarNode && key.Value == "<<" && key.ShortTag() == "!!merge"
}

// merge adds the fields that a merge key (<<) names. Fields of the mapping itself, or merged earlier, take
// precedence.
func (c *converter) merge(into map[string]any, n *yaml.Node) error {
	source, err := c.value(n)
	if err != nil {
		return err
	}
	list, ok := source.([]any)
	if !ok {
		list = []any{source}
	}
	for _, item := range list {
		from, ok := item.(map[string]any)
		if !ok {
			return c.fail(n, &Error{Problem: "the merge key << names something that is not a mapping",
				Hint: "let it name an anchored mapping, as in <<: *defaults"})
		}
		for name, value := range from {
			if _, ok := into[name]; !ok {
				into[name] = value
			}
		}
	}
	return nil
}

// key returns a mapping's key as it is written in JSON.
func (c *converter) key(n *yaml.Node) (string, error) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.ScalarNode {
		return "", c.fail(n, notAKey(n))
	}
	if r, _ := utf8.DecodeRuneInString(n.Value); r > unicode.MaxASCII && unicode.IsSpace(r) && n.Style == 0 {
		return "", c.fail(n, notASpace())
	}
	if c.veils.over(n.Value) {
		return "", c.fail(n, &Error{Problem: "a key holds a decrypted value", Hint: "encrypt values only"})
	}
	value, err := c.plainScalar(n)
	if err != nil {
		return "", err
	}
	switch value := value.(type) {
	case string:
		return value, nil
	case bool, int64:
		return fmt.Sprint(value), nil
	case float64:
		return strconv.FormatFloat(value, 'g', -1, 32), nil
	}
	return "", c.fail(n, &Error{Problem: "a key is empty", Hint: "put it in quotes if that is meant"})
}

// fail gives an error the place of the node.
func (c *converter) fail(n *yaml.Node, err error) error {
	e, ok := err.(*Error)
	if !ok {
		e = &Error{Cause: err}
	}
	if e.Origin.File != "" {
		return e
	}
	here := *e // another place may report the same error
	here.Origin = c.document.at(n)
	return &here
}
