package render

import (
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// separator is where Kustomize splits a file into documents.
var separator = regexp.MustCompile(`\n---.*\n`)

// check refuses a file whose aliases Kustomize could not write out: it has no bounds, and an
// alias within its own anchor overflows its stack, which no recover stops.
func (a *aliases) check(name string, content []byte) error {
	if a.bounded(string(content), 0) {
		return nil
	}
	e := tooManyAliased()
	e.Origin.File = name
	return e
}

// bounded says whether the aliases of a text stand for few values. Where it is no YAML, Kustomize
// does not come as far as aliases. Within is how many texts this one stands in.
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

// maxWithin is how deep in texts Kustomize reads YAML: a patch stands in a kustomization. Without a bound, as many texts
// in each other as a file has lines would each be parsed with all that is in it.
const maxWithin = 2

// place is where a node stands.
type place struct {
	// within is in how many texts, depth how deep in the last of them.
	within, depth int
	byAlias       bool
}

// boundedBelow says whether what is below a node is neither too deep nor, as far as it comes from
// aliases, too much. Texts that may be YAML themselves, such as patches, count alike.
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
