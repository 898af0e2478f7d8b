package render

import (
	"regexp"
	"strings"

	"berth.dev/berth/reconciler/manifest"
	"go.yaml.in/yaml/v3"
)

// separator is where Kustomize splits a file into documents.
var separator = regexp.MustCompile(`\n---.*\n`)

// checkAliases refuses a file whose aliases Kustomize could not write out: it has no bounds, and an
// alias within its own anchor overflows its stack, which no recover stops.
func checkAliases(name string, content []byte) error {
	if expandable(string(content)) {
		return nil
	}
	return &Error{Origin: manifest.Origin{File: name}, Problem: "aliases (*name) stand for too many values, or for themselves",
		Hint: "write out what they stand for"}
}

// expandable says whether the aliases of a text stand for few values. Where it is no YAML, Kustomize
// does not come as far as aliases.
func expandable(text string) bool {
	if !strings.Contains(text, "*") || !strings.Contains(text, "&") {
		return true
	}
	for _, part := range separator.Split(strings.ReplaceAll(text, "\r\n", "\n"), -1) {
		decoder := yaml.NewDecoder(strings.NewReader(part))
		var doc yaml.Node
		for decoder.Decode(&doc) == nil {
			budget := maxAliased
			if !bounded(&doc, 0, false, &budget) {
				return false
			}
			doc = yaml.Node{}
		}
	}
	return true
}

// bounded says whether what is below a node is neither too deep nor, as far as it comes from
// aliases, more than the budget. Texts that are YAML themselves, such as patches, count alike.
func bounded(n *yaml.Node, depth int, aliased bool, budget *int) bool {
	if depth > maxDepth {
		return false
	}
	if aliased {
		if *budget--; *budget < 0 {
			return false
		}
	}
	if n.Kind == yaml.AliasNode {
		return bounded(n.Alias, depth+1, true, budget)
	}
	if n.Kind == yaml.ScalarNode && n.Style != 0 && len(n.Value) > 0 && !aliased {
		return expandable(n.Value)
	}
	for _, child := range n.Content {
		if !bounded(child, depth+1, aliased, budget) {
			return false
		}
	}
	return true
}
