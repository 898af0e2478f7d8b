package render

import (
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// separator is where Kustomize splits a file into documents.
var separator = regexp.MustCompile(`\n---.*\n`)

// check refuses a file whose aliases would expand without bound. An alias within its own anchor would overflow
// Kustomize's stack, which no recover catches.
func (a *aliases) check(name string, content []byte) error {
	if a.bounded(string(content), 0) {
		return nil
	}
	e := tooManyAliased()
	e.Origin.File = name
	return e
}

// bounded reports whether the aliases of a text expand to few values. A text that is not YAML passes, because
// Kustomize fails before it reads aliases. within is the number of texts that this one is nested in.
func (a *aliases) bounded(text string, within int) bool {
	if within > maxWithin || !strings.Contains(text, "*") || !strings.Contains(text, "&") {
		return true
	}
	for _, part := range separator.Split(strings.ReplaceAll(text, "\r\n", "\n"), -1) {
		decoder := yaml.NewDecoder(strings.NewReader(part))
		for {
			var doc yaml.Node
			if decoder.Decode(&doc) != nil {
				break
			}
			if !a.boundedBelow(&doc, place{within: within}) {
				return false
			}
		}
	}
	return true
}

// maxWithin bounds how deep Kustomize reads YAML in texts: a patch stands in a kustomization. Without a bound, deeply
// nested texts would each be parsed again with everything in them.
const maxWithin = 2

// place is the position of a node.
type place struct {
	// within is the number of texts around the node, depth its depth in the innermost text.
	within, depth int
	byAlias       bool
}

// boundedBelow reports whether the values below a node are neither nested too deep nor, as far as they come from
// aliases, too many. Texts that may be YAML themselves, such as patches, count alike.
func (a *aliases) boundedBelow(n *yaml.Node, at place) bool {
	if at.depth > maxDepth || at.byAlias && a.exceeded() {
		return false
	}
	at.depth++
	if n.Kind == yaml.AliasNode {
		at.byAlias = true
		return a.boundedBelow(n.Alias, at)
	}
	if n.Kind == yaml.ScalarNode && n.Style != 0 && !at.byAlias {
		return a.bounded(n.Value, at.within+1)
	}
	for _, child := range n.Content {
		if !a.boundedBelow(child, at) {
			return false
		}
	}
	return true
}
