package kustomize

import (
	"errors"

	"go.yaml.in/yaml/v3"
)

// request is the parent's request for a build.
type request struct {
	Folder      string
	KeepOrigins bool `json:",omitempty"`
}

// message is a message of the child: one of its fields is set.
type message struct {
	// Stat and Read ask for a name, which a reply answers.
	Stat string `json:",omitempty"`
	Read string `json:",omitempty"`
	// Built is one object, Done follows the last, and Failed is the error if there are none.
	Built  *wireResource `json:",omitempty"`
	Done   bool          `json:",omitempty"`
	Failed string        `json:",omitempty"`
}

// reply answers a message of the child.
type reply struct {
	Kind    Kind
	Content []byte `json:",omitempty"`
	// Failed is the error if there is no content.
	Failed string `json:",omitempty"`
}

type wireResource struct {
	Node               *wireNode
	Kind, Name         string
	Path, ConfiguredIn string `json:",omitempty"`
}

// wireNode is a yaml.Node without comments and columns.
type wireNode struct {
	Kind  yaml.Kind   `json:"k"`
	Style yaml.Style  `json:"s,omitempty"`
	Tag   string      `json:"t,omitempty"`
	Value string      `json:"v,omitempty"`
	Line  int         `json:"l,omitempty"`
	Items []*wireNode `json:"c,omitempty"`
	// Anchor numbers a node that aliases refer to; Alias is that number.
	Anchor int `json:"a,omitempty"`
	Alias  int `json:"r,omitempty"`
}

// encoder numbers the anchors of one object.
type encoder struct{ anchors map[*yaml.Node]*wireNode }

func encode(n *yaml.Node) *wireNode { return (&encoder{map[*yaml.Node]*wireNode{}}).encode(n) }

func (e *encoder) encode(n *yaml.Node) *wireNode {
	w := &wireNode{Kind: n.Kind, Style: n.Style, Tag: n.Tag, Value: n.Value, Line: n.Line}
	if n.Kind == yaml.AliasNode {
		target := e.anchors[n.Alias]
		if target == nil {
			return e.encode(n.Alias) // the alias's node was copied without its name
		}
		w.Alias, w.Value = target.Anchor, ""
		return w
	}
	if n.Anchor != "" {
		e.anchors[n] = w
		w.Anchor = len(e.anchors)
	}
	w.Items = make([]*wireNode, len(n.Content))
	for i, item := range n.Content {
		w.Items[i] = e.encode(item)
	}
	return w
}

// errWire is the error of a child that sends nonsense.
var errWire = errors.New("its process sent data that is not an object")

// decode returns the object and the number of its values.
func (r *wireResource) decode() (Resource, int, error) {
	d := decoder{anchors: map[int]*yaml.Node{}}
	node, err := d.decode(r.Node)
	return Resource{Node: node, Kind: r.Kind, Name: r.Name, Path: r.Path, ConfiguredIn: r.ConfiguredIn}, d.count, err
}

type decoder struct {
	anchors map[int]*yaml.Node
	count   int
}

func (d *decoder) decode(w *wireNode) (*yaml.Node, error) {
	if w == nil {
		return nil, errWire
	}
	d.count++
	n := &yaml.Node{Kind: w.Kind, Style: w.Style, Tag: w.Tag, Value: w.Value, Line: w.Line}
	if w.Kind == yaml.AliasNode {
		if n.Alias = d.anchors[w.Alias]; n.Alias == nil {
			return nil, errWire
		}
		return n, nil
	}
	n.Content = make([]*yaml.Node, len(w.Items))
	for i, item := range w.Items {
		var err error
		if n.Content[i], err = d.decode(item); err != nil {
			return nil, err
		}
	}
	if w.Anchor > 0 {
		d.anchors[w.Anchor] = n // noted after its children, so that no alias is within itself
	}
	return n, nil
}
