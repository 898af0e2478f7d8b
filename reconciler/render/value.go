package render

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"berth.dev/berth/reconciler/manifest"
	"go.yaml.in/yaml/v3"
	k8sjson "k8s.io/apimachinery/pkg/util/json"
	sigsyaml "sigs.k8s.io/yaml"
)

// booleans says which plain scalars are booleans beside true and false.
type booleans int

const (
	// kubectlBooleans are YAML 1.1's: yes, no, on, off, y, n. kubectl reads them so.
	kubectlBooleans booleans = iota
	// kustomizeBooleans are YAML 1.2's: Kustomize writes "yes" with quotes where it read yes.
	kustomizeBooleans
)

var oldBooleans = map[string]bool{
	"y": true, "Y": true, "yes": true, "Yes": true, "YES": true, "on": true, "On": true, "ON": true,
	"n": false, "N": false, "no": false, "No": false, "NO": false, "off": false, "Off": false, "OFF": false,
}

// maxAliased bounds how many values of one render may come from aliases: nine lines of them can
// stand for billions.
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
	// lifts says that the object may hold what is under veils.
	lifts bool
	// off says that the object wants its variables left alone.
	off     bool
	depth   int
	aliases *aliases
	// within counts the aliases that are being followed.
	within int
	// commands counts the commands and arguments of containers that the value is in.
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
	return &Error{Problem: "aliases (*name) stand for too many values, or for themselves", Hint: "write out what they stand for"}
}

func duplicate(name string, line int) *Error {
	problem := fmt.Sprintf("the key %q stands here a second time", name)
	if line > 0 {
		problem += fmt.Sprintf(", first at line %d", line)
	}
	return &Error{Problem: problem, Hint: "keep one of them"}
}

func isMerge(key *yaml.Node) bool {
	return key.Kind == yaml.ScalarNode && key.Value == "<<" && key.ShortTag() == "!!merge"
}

// merge adds what a merge key (<<) names; what stands in the mapping itself, or was merged earlier,
// prevails.
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

// key returns a mapping's key as the text that it is in JSON.
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
		return "", c.fail(n, &Error{Problem: "a key holds what was decrypted", Hint: "encrypt values only"})
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

// scalar converts a scalar with its variables. One that is nothing but a variable may get the variable's type.
func (c *converter) scalar(n *yaml.Node) (any, error) {
	if c.veils.over(n.Value) {
		return c.veiled(n)
	}
	if c.off {
		return c.plainScalar(n)
	}
	if text, ok := c.generatedText(n); ok {
		replaced, err := c.replaced(Value{Text: text}.node())
		return wrapped(base64.StdEncoding.EncodeToString([]byte(replaced))), err
	}
	if textKindOf(n.Value, c.commands > 0) == aValue {
		c.variables.notations(n.Value)
		c.remark(n)
	}
	if !strings.Contains(n.Value, "${") {
		return c.plainScalar(n)
	}
	if c.document.typedBy.applies(n) {
		typed, ok, err := c.variables.typed(n.Value)
		if err != nil {
			return nil, c.fail(n, err)
		}
		if ok {
			return typed, nil
		}
	}
	return c.replaced(n)
}

// generatedText returns the text with variables that a value of a generated Secret is in base64.
func (c *converter) generatedText(n *yaml.Node) (string, bool) {
	if !c.document.generated || len(n.Value) < len("JHt9") || notBase64.MatchString(n.Value[:min(len(n.Value), 64)]) {
		return "", false
	}
	text, err := base64.StdEncoding.DecodeString(n.Value)
	return string(text), err == nil && utf8.Valid(text) && bytes.Contains(text, []byte("${"))
}

// veiled converts a scalar that holds a veil. The veils of an object that may not hold what was decrypted stay, and are
// found there. No variables are replaced in what was decrypted.
func (c *converter) veiled(n *yaml.Node) (any, error) {
	_, whole := c.veils.files[n.Value]
	if strings.Contains(n.Value, "${") && !whole && !c.off {
		text, err := c.replaced(n)
		if err != nil {
			return nil, err
		}
		n = Value{Text: text}.node()
	}
	if !c.lifts {
		return n.Value, nil
	}
	lifted, ok := c.veils.lift(n)
	if !ok {
		return n.Value, nil
	}
	return c.plainScalar(lifted)
}

// replaced returns a text with its variables replaced.
func (c *converter) replaced(n *yaml.Node) (string, error) {
	text, err := c.variables.text(n.Value, textKindOf(n.Value, c.commands > 0))
	c.remark(n)
	if err != nil {
		return "", c.fail(n, err)
	}
	return text, nil
}

// remark gives the place of a node to what there is to say about its text.
func (c *converter) remark(n *yaml.Node) {
	for _, r := range c.variables.remarks {
		c.remarks = append(c.remarks, manifest.Warning{Origin: c.document.at(n), Text: r.text, Level: r.level})
	}
	c.variables.remarks = nil
}

// plainScalar converts a scalar that holds no variables.
func (c *converter) plainScalar(n *yaml.Node) (any, error) {
	tag := n.ShortTag()
	quoted := n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
	if n.Style&yaml.TaggedStyle == 0 {
		if quoted || tag == "!!timestamp" {
			return n.Value, nil
		}
		if old, ok := oldBooleans[n.Value]; ok && c.document.booleans == kubectlBooleans {
			return old, nil
		}
	}
	switch tag {
	case "!!str", "!!merge":
		return n.Value, nil
	case "!!null":
		return nil, nil
	case "!!bool":
		switch n.Value {
		case "true", "True", "TRUE":
			return true, nil
		case "false", "False", "FALSE":
			return false, nil
		}
	case "!!int":
		if n.Value != "" && n.Value[0] >= '1' && n.Value[0] <= '9' {
			if number, err := strconv.ParseInt(n.Value, 10, 64); err == nil {
				return number, nil
			}
		}
	}
	return c.resolve(n)
}

// resolve has kubectl's own library read what is rare: other notations of numbers, explicit tags.
func (c *converter) resolve(n *yaml.Node) (any, error) {
	text := n.Value
	if n.Style&yaml.TaggedStyle != 0 {
		text = n.Tag + " " + strconv.Quote(n.Value)
	}
	var value any
	encoded, err := sigsyaml.YAMLToJSON([]byte(text))
	if err == nil {
		err = k8sjson.Unmarshal(encoded, &value)
	}
	if err != nil {
		return nil, c.fail(n, &Error{Problem: "this value cannot be written as JSON", Hint: "put it in quotes"})
	}
	return value, nil
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
	here := *e // which may be said of another place too
	here.Origin = c.document.at(n)
	return &here
}

// applies says whether a scalar that is nothing but a variable has the variable's type.
func (t typedBy) applies(n *yaml.Node) bool {
	if t == byStyle {
		return n.Style == 0
	}
	return n.Tag == "!!int" || n.Tag == "!!float" || n.Tag == "!!bool"
}
