package render

import (
	"bytes"
	"encoding/base64"
	"strconv"
	"strings"
	"unicode/utf8"

	"berth.dev/berth/reconciler/manifest"
	"go.yaml.in/yaml/v3"
	k8sjson "k8s.io/apimachinery/pkg/util/json"
	sigsyaml "sigs.k8s.io/yaml"
)

// scalar converts a scalar and replaces its variables. A scalar that consists of one variable may get the variable's
// type.
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
	if c.kindOf(n.Value) == aValue {
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

// generatedText decodes a value of a generated Secret from base64 if it holds variables.
func (c *converter) generatedText(n *yaml.Node) (string, bool) {
	if !c.document.generated || len(n.Value) < len("JHt9") || notBase64.MatchString(n.Value[:min(len(n.Value), 64)]) {
		return "", false
	}
	text, err := base64.StdEncoding.DecodeString(n.Value)
	return string(text), err == nil && utf8.Valid(text) && bytes.Contains(text, []byte("${"))
}

// veiled converts a scalar that holds a veil. If the object may not hold decrypted values, the veils stay, and a
// later check finds them. Variables in decrypted values are not replaced.
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

// kindOf says what a text is, given where it stands.
func (c *converter) kindOf(text string) textKind {
	if c.commands > 0 {
		return aProgram
	}
	return textKindOf(text)
}

// replaced returns a text with its variables replaced.
func (c *converter) replaced(n *yaml.Node) (string, error) {
	text, err := c.variables.text(n.Value, c.kindOf(n.Value))
	c.remark(n)
	if err != nil {
		return "", c.fail(n, err)
	}
	return text, nil
}

// remark gives the warnings about a text the place of its node.
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

// resolve lets kubectl's own library read rare forms: other notations of numbers, explicit tags.
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

// applies reports whether a scalar that consists of one variable gets the variable's type.
func (t typedBy) applies(n *yaml.Node) bool {
	if t == byStyle {
		return n.Style == 0
	}
	return n.Tag == "!!int" || n.Tag == "!!float" || n.Tag == "!!bool"
}
