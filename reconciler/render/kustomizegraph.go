package render

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"berth.dev/berth/reconciler/manifest"
	"go.yaml.in/yaml/v3"
)

// connected makes sure that kustomizations name each other as Kustomize expects, because Kustomize's own errors name
// no file.
func (f *buildFiles) connected() {
	if len(f.problems.list) == 0 {
		f.follow(f.top, nil)
	}
}

// follow checks a kustomization and those that it names. above are those that led to it.
func (f *buildFiles) follow(name string, above []string) {
	built := f.cache[name]
	if built == nil || built.followed && !slices.Contains(above, name) {
		return
	}
	if i := slices.Index(above, name); i >= 0 {
		f.circle(append(slices.Clone(above[i:]), name))
		return
	}
	built.followed = true
	above = append(slices.Clone(above), name)
	for _, resource := range built.resources {
		f.isBase(name, resource, above)
	}
	for _, component := range built.components {
		f.isComponent(name, component, above)
	}
	for _, file := range built.names {
		target := path.Join(path.Dir(name), file)
		if isFolder(f.renderer.tree, target) && !slices.Contains(built.resources, file) && !slices.Contains(built.components, file) && !slices.Contains(built.plugins, file) {
			f.fail(name, file, fmt.Sprintf("%q is a folder, and a file is needed here", file), "name a file")
		}
	}
}

func (f *buildFiles) circle(names []string) {
	for i, name := range names {
		names[i] = path.Dir(name)
	}
	f.problems.add(&Error{Origin: manifest.Origin{File: f.top}, Problem: "kustomizations name each other in a circle: " + strings.Join(names, " → "),
		Hint: "remove one of the names"})
}

// isBase makes sure that a folder under resources is another kustomization.
func (f *buildFiles) isBase(name, resource string, above []string) {
	folder := path.Join(path.Dir(name), resource)
	if !isFolder(f.renderer.tree, folder) {
		return
	}
	base := kustomizationIn(f.renderer.tree, folder)
	switch {
	case base == "":
		f.fail(name, resource, fmt.Sprintf("the folder %q has no kustomization.yaml", folder), "add one that lists its files under resources, or name the files themselves")
	case f.cache[base] != nil && f.cache[base].isComponent:
		f.fail(name, resource, fmt.Sprintf("%q is a component", folder), "name it under components")
	default:
		f.follow(base, above)
	}
}

// isComponent makes sure that a name under components is a folder with a component.
func (f *buildFiles) isComponent(name, component string, above []string) {
	folder := path.Join(path.Dir(name), component)
	base := kustomizationIn(f.renderer.tree, folder)
	switch {
	case !isFolder(f.renderer.tree, folder):
		f.fail(name, component, fmt.Sprintf("%q is not a folder, as a component is", component), "name it under resources")
	case base == "":
		f.fail(name, component, fmt.Sprintf("the folder %q has no kustomization.yaml", folder), "add one with kind: Component")
	case f.cache[base] != nil && !f.cache[base].isComponent:
		f.fail(name, component, fmt.Sprintf("%q is not a component: its kustomization has no kind: Component", folder), "name it under resources")
	default:
		f.follow(base, above)
	}
}

// fail notes a problem at the line of a kustomization that holds a text.
func (f *buildFiles) fail(file, at, problem, hint string) {
	check := kustomizationCheck{name: file, text: strings.ToLower(string(f.cache[file].content))}
	f.problems.add(&Error{Origin: check.at(at), Problem: problem, Hint: hint})
}

var (
	unknownField = regexp.MustCompile(`unknown field "([^"]*)"`)
	wrongField   = regexp.MustCompile(`cannot unmarshal (\S+) into Go struct field (?:\w+\.)*?([a-zA-Z0-9]+) of type (\S+)`)
	notFields    = regexp.MustCompile(`cannot unmarshal \S+ into Go value`)
)

// unreadableKustomization names the wrong field of a kustomization, in plainer words than Go's JSON decoder.
func unreadableKustomization(file string, n *yaml.Node, cause error) error {
	e := &Error{Origin: manifest.Origin{File: file}, Problem: "the kustomization cannot be read", Cause: cause}
	text := cause.Error()
	version := field(n, "apiVersion")
	switch unknown, wrong := unknownField.FindStringSubmatch(text), wrongField.FindStringSubmatch(text); {
	case version != nil && strings.HasPrefix(version.Value, "kustomize.toolkit.fluxcd.io/"):
		e.Problem, e.Cause = "this is a Kustomization of Flux, not of Kustomize", nil
		e.Hint = "give the file another name, or move it out of the entry's path"
	case unknown != nil:
		e.Origin.Line = lineOf(n, unknown[1])
		e.Problem, e.Cause = fmt.Sprintf("a kustomization has no field %q here", unknown[1]), nil
		e.Hint = "correct it, or its indentation"
	case wrong != nil:
		e.Origin.Line = lineOf(n, wrong[2])
		e.Problem, e.Cause = fmt.Sprintf("%s is %s here, and %s is needed", wrong[2], kindOfJSON(wrong[1]), kindOfGo(wrong[3])), nil
		e.Hint = "correct it"
	case notFields.MatchString(text):
		e.Problem, e.Cause, e.Hint = "a kustomization is a mapping of fields, and this is none", nil, "begin with resources:, say"
	}
	return e
}

// lineOf returns the line of the first key with a name, in any case.
func lineOf(n *yaml.Node, name string) int {
	for i, child := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 && strings.EqualFold(child.Value, name) {
			return child.Line
		}
		if line := lineOf(child, name); line > 0 {
			return line
		}
	}
	return 0
}

func kindOfJSON(kind string) string {
	switch kind {
	case "string":
		return "a text"
	case "bool":
		return "a boolean"
	case "array":
		return "a list"
	case "object":
		return "a mapping"
	}
	return "a number"
}

func kindOfGo(kind string) string {
	switch {
	case kind == "string":
		return "a text (in quotes)"
	case strings.HasPrefix(kind, "[]"):
		return "a list"
	case kind == "bool":
		return "true or false"
	case strings.HasPrefix(kind, "int"):
		return "a number"
	}
	return "a mapping"
}
