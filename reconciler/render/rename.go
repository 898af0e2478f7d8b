package render

import (
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/hasher"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
)

// hashed matches a name to which Kustomize added the hash of the object's content.
var hashed = regexp.MustCompile(`^(.+)-([a-z0-9]{10})$`)

// rename gives objects with decrypted values the names that they would have without veils. Kustomize adds a hash of
// the content so that a change reaches the pods, and it saw veils.
func (r *renderer) rename(documents []document) error {
	if len(r.veils.files) == 0 {
		return nil
	}
	var pairs []string
	for _, d := range documents {
		name := field(d.node, "metadata", "name")
		if name == nil || !r.mayHold(d.node) || !r.veils.under(d.node) {
			continue
		}
		after, err := r.nameWithin(d.node, name.Value)
		if err != nil {
			return err
		}
		if after != name.Value {
			pairs = append(pairs, name.Value, after)
		}
	}
	if len(pairs) == 0 {
		return nil
	}
	names := strings.NewReplacer(pairs...)
	for _, d := range documents {
		replaceTexts(d.node, names)
	}
	return nil
}

// nameWithin returns the name that belongs to the content under the veils.
func (r *renderer) nameWithin(n *yaml.Node, name string) (string, error) {
	parts := hashed.FindStringSubmatch(name)
	if parts == nil {
		return name, nil
	}
	object := r.veils.copied(n)
	field(object, "metadata", "name").Value = parts[1]
	// The hash is that of the content as Kustomize saw it.
	before := copied(n)
	field(before, "metadata", "name").Value = parts[1]
	hash, err := (&hasher.Hasher{}).Hash(kyaml.NewRNode(before))
	if err != nil || hash != parts[2] {
		return name, err
	}
	hash, err = (&hasher.Hasher{}).Hash(kyaml.NewRNode(object))
	return parts[1] + "-" + hash, err
}

// copied returns a copy of a node and all below it.
func copied(n *yaml.Node) *yaml.Node {
	c := *n
	c.Content = slices.Clone(n.Content)
	for i, child := range c.Content {
		c.Content[i] = copied(child)
	}
	return &c
}

// copied returns a copy without veils.
func (v *veils) copied(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.ScalarNode && v.over(n.Value) {
		if lifted, ok := v.lift(n); ok {
			return lifted
		}
	}
	c := *n
	c.Content = slices.Clone(n.Content)
	for i, child := range c.Content {
		c.Content[i] = v.copied(child)
	}
	return &c
}

func replaceTexts(n *yaml.Node, names *strings.Replacer) {
	if n.Kind == yaml.ScalarNode {
		n.Value = names.Replace(n.Value)
	}
	for _, child := range n.Content {
		replaceTexts(child, names)
	}
}
