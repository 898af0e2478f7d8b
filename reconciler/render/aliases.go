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
	if a.bounded(string(content)) {
		return nil
	}
	e := tooManyAliased()
	e.Origin.File = name
	return e
}

// bounded says whether the aliases of a text stand for few values. Where it is no YAML, Kustomize
// does not come as far as aliases.
func (a *aliases) bounded(text string) bool {
	if !strings.Contains(text, "*") || !strings.Contains(text, "&") {
		return true
	}
	for _, part := range separator.Split(strings.ReplaceAll(text, "\r\n", "\n"), -1) {
		decoder := yaml.NewDecoder(strings.NewReader(part))
		for {
			var doc yaml.Node
			if decoder.Decode(&doc) != nil {
				break
			}
			if !a.boundedBelow(&doc, 0, original) {
				return false
			}
		}
	}
	return true
}

// reached says how a node was reached.
type reached int

const (
	original reached = iota // where it stands in the file
	byAlias
)

// boundedBelow says whether what is below a node is neither too deep nor, as far as it comes from
// aliases, too much. Texts that may be YAML themselves, such as patches, count alike.
func (a *aliases) boundedBelow(n *yaml.Node, depth int, how reached) bool {
	if depth > maxDepth || how == byAlias && a.exceeded() {
		return false
	}
	if n.Kind == yaml.AliasNode {
		return a.boundedBelow(n.Alias, depth+1, byAlias)
	}
	if n.Kind == yaml.ScalarNode && n.Style != 0 && how == original {
		return a.bounded(n.Value)
	}
	for _, child := range n.Content {
		if !a.boundedBelow(child, depth+1, how) {
			return false
		}
	}
	return true
}
