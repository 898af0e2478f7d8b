package render

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"berth.dev/berth/reconciler/manifest"
	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// objects converts documents to objects and unfolds lists. Each invalid one becomes a problem and is left out.
func (r *renderer) objects(documents []document) []manifest.Object {
	var checked []checker
	for _, document := range documents {
		if checked = r.unfold(checked, document); len(checked) > maxObjects {
			r.problems.add(&Error{Origin: checked[maxObjects].document.origin, Problem: fmt.Sprintf("this object exceeds the limit of %d for an environment", maxObjects),
				Hint: "split the objects over several entries"})
			return nil
		}
	}
	objects := make([]manifest.Object, len(checked))
	for i, c := range checked {
		objects[i] = c.object()
	}
	return objects
}

// unfold appends the objects of one document: the object itself, or the items of a list.
func (r *renderer) unfold(checked []checker, d document) []checker {
	if items, ok := listItems(d.node); ok {
		for _, item := range items {
			at := document{node: item, origin: d.at(item), ownLines: d.ownLines, booleans: d.booleans, typedBy: d.typedBy}
			checked = r.unfold(checked, at)
		}
		return checked
	}
	c, err := r.check(d)
	if err != nil {
		r.problems.add(err)
		return checked
	}
	if c.left {
		return checked
	}
	return append(checked, c)
}

// listItems returns the items of a v1 List, or of the list of any kind that kubectl get prints. It follows no
// aliases, since lists of lists by alias would have no bound.
func listItems(n *yaml.Node) ([]*yaml.Node, bool) {
	if n.Kind != yaml.MappingNode {
		return nil, false
	}
	kind, items := field(n, "kind"), field(n, "items")
	if kind == nil || !strings.HasSuffix(kind.Value, "List") {
		return nil, false
	}
	if items == nil || items.ShortTag() == "!!null" {
		return nil, kind.Value == "List"
	}
	return items.Content, items.Kind == yaml.SequenceNode
}

// field returns a value of a mapping, or nil.
func field(n *yaml.Node, path ...string) *yaml.Node {
	for _, name := range path {
		n = child(n, name)
	}
	return n
}

func child(n *yaml.Node, name string) *yaml.Node {
	if n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n == nil || n.Kind != yaml.MappingNode {
		return item(n, name)
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i+1]
		}
	}
	return nil
}

// item returns an item of a list by its index, or nil.
func item(n *yaml.Node, index string) *yaml.Node {
	i, err := strconv.Atoi(index)
	if n == nil || n.Kind != yaml.SequenceNode || err != nil || i >= len(n.Content) {
		return nil
	}
	return n.Content[i]
}

// check converts one document that is not a list, and checks its content.
func (r *renderer) check(d document) (checker, error) {
	convert := &converter{document: d, variables: r.variables, veils: r.veils, lifts: r.mayHold(d.node), off: switchedOff(d.node), aliases: r.aliases}
	value, err := convert.value(d.node)
	if err != nil {
		return checker{}, named(err, objectName(nil, d.node))
	}
	content, ok := value.(map[string]any)
	if !ok {
		return checker{}, &Error{Origin: d.origin, Problem: "this is not a mapping, as a manifest is",
			Hint: "a manifest begins with apiVersion and kind; if this is not a manifest, move it out of the entry's path"}
	}
	c := checker{document: d, content: content, name: objectName(content, d.node), mayHold: convert.lifts}
	if r.nameless(d.node) {
		c.name = objectName(nil, d.node) // identified does not report it
	}
	for _, w := range convert.remarks {
		w.Object = c.name
		r.warn(w)
	}
	if c.left = !r.foreign(c); c.left {
		return c, nil
	}
	for _, step := range []func(checker) *Error{
		r.concealed, checker.identified, checker.texts, checker.unreserved, checker.readable, checker.ordered, checker.understood, r.unclaimed,
	} {
		if problem := step(c); problem != nil {
			return checker{}, problem
		}
	}
	r.advise(c)
	normalise(content)
	return c, nil
}

// named adds the object's name to an error.
func named(err error, name string) error {
	if e, ok := err.(*Error); ok && e.Object == "" {
		e.Object = name
	}
	return err
}

// objectName returns kind/name as far as known. Without content, it reads them from the file.
func objectName(content map[string]any, n *yaml.Node) string {
	kind, _ := content["kind"].(string)
	metadata, _ := content["metadata"].(map[string]any)
	name, _ := metadata["name"].(string)
	if content == nil {
		if n := field(n, "kind"); n != nil {
			kind = n.Value
		}
		if n := field(n, "metadata", "name"); n != nil {
			name = n.Value
		}
	}
	if kind == "" || name == "" {
		return kind
	}
	return kind + "/" + name
}

// checker checks one converted object for mistakes that the API server would report without a file name, and for
// names that Berth reserves.
type checker struct {
	document document
	content  map[string]any
	name     string
	// mayHold is true if the object may hold decrypted values.
	mayHold bool
	// left is true if the object is left out.
	left bool
}

func (c checker) object() manifest.Object {
	return manifest.Object{Unstructured: &unstructured.Unstructured{Object: c.content}, Origin: c.document.origin}
}

// fail returns a problem at the line of the field, or at that of the object if the field has none.
func (c checker) fail(path []string, problem, hint string) *Error {
	origin := c.document.origin
	if n := field(c.document.node, path...); n != nil && len(path) > 0 {
		origin = c.document.at(n)
	}
	return &Error{Origin: origin, Object: c.name, Problem: problem, Hint: hint}
}

// identified refuses an object without the fields that identify it.
func (c checker) identified() *Error {
	const elsewhere = "if it is not a manifest, but a values.yaml for example, move it out of the entry's path"
	for _, key := range []string{"kind", "apiVersion"} {
		switch value := c.content[key].(type) {
		case string:
			if value != "" {
				continue
			}
			return c.fail([]string{key}, "it has no "+key, elsewhere)
		case nil:
			return c.fail(nil, "it has no "+key, elsewhere)
		default:
			return c.fail([]string{key}, key+" is not a text", "put it in quotes")
		}
	}
	metadata, ok := c.content["metadata"].(map[string]any)
	if _, beside := c.content["name"]; !ok && beside {
		return c.fail([]string{"name"}, "name is beside metadata instead of in it", "indent it")
	}
	if !ok {
		return c.fail(nil, "it has no metadata.name", "every object in Git has a name")
	}
	if _, ok := metadata["generateName"]; ok {
		return c.fail([]string{"metadata", "generateName"}, "it has metadata.generateName, so every sync would make another object",
			"give it a metadata.name")
	}
	for _, key := range []string{"name", "namespace"} {
		switch value := metadata[key].(type) {
		case string:
			if value == "" && key == "name" {
				return c.fail([]string{"metadata", key}, "metadata.name is empty", "every object in Git has a name")
			}
		case nil:
			if key == "name" {
				return c.fail(nil, "it has no metadata.name", "every object in Git has a name")
			}
		default:
			return c.fail([]string{"metadata", key}, "metadata."+key+" is not a text", "put it in quotes")
		}
	}
	return nil
}

// texts refuses other values in maps of texts: a number or a boolean without quotes is the most common mistake.
func (c checker) texts() *Error {
	maps := [][]string{{"metadata", "labels"}, {"metadata", "annotations"}}
	if group := c.content["apiVersion"]; group == "v1" {
		switch c.content["kind"] {
		case "ConfigMap":
			maps = append(maps, []string{"data"})
		case "Secret":
			maps = append(maps, []string{"data"}, []string{"stringData"})
		}
	}
	for _, path := range maps {
		value, _, err := unstructured.NestedFieldNoCopy(c.content, path...)
		if err != nil || value == nil {
			continue
		}
		texts, ok := value.(map[string]any)
		if !ok {
			return c.fail(path, strings.Join(path, ".")+" is not a mapping", "write it as key: value lines")
		}
		for _, key := range sortedKeys(texts) {
			if _, ok := texts[key].(string); !ok {
				return c.fail(append(path, key), fmt.Sprintf("%s.%s is not a text", strings.Join(path, "."), key),
					"put the value in quotes")
			}
		}
	}
	return nil
}

// ordered refuses an object whose wave is not an integer.
func (c checker) ordered() *Error {
	if _, err := manifest.PlaceOf(c.object()); err != nil {
		path := []string{"metadata", "annotations", manifest.AnnotationWave}
		return c.fail(path, fmt.Sprintf("the annotation %s is not an integer", manifest.AnnotationWave), `write "-1", "0" or "1", say`)
	}
	return nil
}

// settings are the annotations that objects in Git may have, with the allowed values if they are few.
var settings = map[string][]string{
	manifest.AnnotationWave:            nil,
	manifest.AnnotationPrune:           {"never", "allow"},
	manifest.AnnotationDrift:           {"ignore"},
	manifest.AnnotationJob:             {"on-change", "every-commit", "once", "on-removal"},
	manifest.AnnotationJobReplace:      {"wait", "terminate"},
	manifest.AnnotationTimeout:         nil,
	manifest.AnnotationAdopt:           {"true", "false"},
	manifest.AnnotationReplace:         {"when-immutable", "orphan"},
	manifest.AnnotationRestartOnChange: {"true", "false"},
	manifest.AnnotationVariables:       {"off"},
}

// understood refuses annotations of Berth's that are unknown or have an unknown value. A misspelt one would silently
// have the opposite effect, and prune: never protects data.
func (c checker) understood() *Error {
	annotations, _, _ := unstructured.NestedStringMap(c.content, "metadata", "annotations")
	for _, mark := range slices.Sorted(maps.Keys(annotations)) {
		values, known := settings[mark]
		path := []string{"metadata", "annotations", mark}
		switch {
		case !strings.HasPrefix(mark, "berth.dev/"):
		case !known:
			return c.fail(path, "there is no annotation "+mark,
				"correct it: there are "+strings.Join(slices.Sorted(maps.Keys(settings)), ", "))
		case mark == manifest.AnnotationTimeout && !isDuration(annotations[mark]):
			return c.fail(path, fmt.Sprintf("the annotation %s is not a time", mark), `write "90s", "15m" or "1h30m", say`)
		case values != nil && !slices.Contains(values, annotations[mark]):
			return c.fail(path, fmt.Sprintf("the annotation %s has an unknown value", mark),
				`write "`+strings.Join(values, `" or "`)+`"`)
		}
	}
	return nil
}

func isDuration(text string) bool {
	d, err := time.ParseDuration(text)
	return err == nil && d > 0
}
