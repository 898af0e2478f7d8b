package kustomize

import (
	"encoding/json"
	"errors"
	"testing"

	"go.yaml.in/yaml/v3"
)

// sent encodes and decodes an object as a child and its parent do.
func sent(t *testing.T, n *yaml.Node) (Resource, int, error) {
	t.Helper()
	text, err := json.Marshal(message{Built: &wireResource{Node: encode(n)}})
	if err != nil {
		t.Fatal(err)
	}
	var m message
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	return m.Built.decode()
}

func TestObjectsKeepStylesLinesAndAliases(t *testing.T) {
	const text = "a: &x [1, \"2\", '3', !!str 4]\nb: *x\nc: |-\n  line\n  ${NAME}\nd: {}\n\"e\": ~\n"
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	doc.Content[0].Content[1].Content[0].Line = 0
	got, count, err := sent(t, doc.Content[0])
	if err != nil {
		t.Fatal(err)
	}
	want, err := yaml.Marshal(doc.Content[0])
	if err != nil {
		t.Fatal(err)
	}
	list, alias := got.Node.Content[1], got.Node.Content[3]
	if alias.Kind != yaml.AliasNode || alias.Alias != list || list.Content[0].Line != 0 || list.Content[1].Line != 1 || count != 15 {
		t.Errorf("got %d nodes, the list %+v, the alias %+v", count, list, alias)
	}
	alias.Alias.Anchor, alias.Value = "x", "x" // names of anchors are not kept
	if again, err := yaml.Marshal(got.Node); err != nil || string(again) != string(want) {
		t.Errorf("got %v\n%s\nwant\n%s", err, again, want)
	}
}

// Kustomize copies nodes, so an alias may refer to a node outside the object.
func TestAnAliasOfWhatIsElsewhereIsWrittenOut(t *testing.T) {
	elsewhere := &yaml.Node{Kind: yaml.ScalarNode, Value: "v", Anchor: "x"}
	got, _, err := sent(t, &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{{Kind: yaml.AliasNode, Value: "x", Alias: elsewhere}}})
	if err != nil || got.Node.Content[0].Value != "v" {
		t.Errorf("got %+v, %v", got.Node, err)
	}
}

func TestAnAliasOfItselfIsAnError(t *testing.T) {
	list := &yaml.Node{Kind: yaml.SequenceNode, Anchor: "x"}
	list.Content = []*yaml.Node{{Kind: yaml.AliasNode, Value: "x", Alias: list}}
	if _, _, err := sent(t, list); !errors.Is(err, errWire) {
		t.Errorf("got %v", err)
	}
}
