package render

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"berth.dev/berth/reconciler/kustomize"
	"berth.dev/berth/reconciler/manifest"
	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/konfig"
)

func isKustomization(base string) bool {
	return slices.Contains(konfig.RecognizedKustomizationFileNames(), base)
}

// kustomizationIn returns the kustomization file of a folder, or "".
func kustomizationIn(tree fs.FS, folder string) string {
	for _, base := range konfig.RecognizedKustomizationFileNames() {
		name := path.Join(folder, base)
		if exists(tree, name) {
			return name
		}
	}
	return ""
}

// kustomize builds the path with Kustomize.
func (r *renderer) kustomize(ctx context.Context, kustomization string) []document {
	files := &buildFiles{renderer: r, top: kustomization, cache: map[string]*builtFile{}}
	files.gather()
	files.connected()
	files.prepare()
	if len(files.problems.list) == 0 {
		resources, err := files.build(ctx)
		switch {
		case len(files.problems.list) > 0: // a problem of a file explains more than Kustomize's error
		case err != nil:
			files.problems.add(files.explain(err))
		default:
			return files.documents(resources)
		}
	}
	r.problems.list = append(r.problems.list, files.problems.list...)
	return nil
}

func (f *buildFiles) build(ctx context.Context) ([]kustomize.Resource, error) {
	r := f.renderer
	if r.Kustomize == nil {
		return nil, errNoKustomize
	}
	return r.Kustomize.Build(ctx, kustomize.Request{Folder: r.Path, KeepOrigins: f.keepOrigins, Urgent: r.Urgent, Owner: r.Owner}, f)
}

// errNoKustomize is the error of a kustomization where Options.Kustomize is not set.
var errNoKustomize = errors.New("kustomizations are not built here")

func (f *buildFiles) documents(resources []kustomize.Resource) []document {
	documents := make([]document, len(resources))
	lines := lineIndex{files: f, lines: map[string]map[string]map[string]int{}}
	for i, resource := range resources {
		documents[i] = document{node: resource.Node, origin: lines.origin(resource), booleans: kustomizeBooleans, typedBy: byTag, generated: resource.Path == "" && resource.Kind == "Secret"}
	}
	if err := f.renderer.rename(documents); err != nil {
		f.renderer.problems.add(&Error{Origin: manifest.Origin{File: f.top}, Problem: "naming generated objects by their content", Cause: err})
	}
	return documents
}

// lineIndex finds the source file and line of built objects.
type lineIndex struct {
	files *buildFiles
	lines map[string]map[string]map[string]int // by file, kind and name
}

// origin finds the file and line of a built object.
func (i *lineIndex) origin(built kustomize.Resource) manifest.Origin {
	folder := i.files.renderer.Path
	switch {
	case built.Path != "":
		name := path.Join(folder, built.Path)
		return manifest.Origin{File: name, Line: i.line(name, built.Kind, built.Name)}
	case built.ConfiguredIn != "":
		return manifest.Origin{File: path.Join(folder, built.ConfiguredIn)}
	}
	return manifest.Origin{File: i.files.top}
}

// line finds an object in its source file by its name. If Kustomize changed the name, it looks for one that is
// contained in it. It returns 0 in doubt.
func (i *lineIndex) line(file, kind, name string) int {
	named := i.named(file)[kind]
	if line, ok := named[name]; ok {
		return line
	}
	part, parts := 0, 0
	if len(named) <= maxParts {
		for other, line := range named {
			if strings.Contains(name, other) {
				part, parts = line, parts+1
			}
		}
	}
	if parts != 1 {
		return 0
	}
	return part
}

// maxParts bounds the names of a file that are searched for one contained in another.
const maxParts = 1000

// named returns the lines of a file's objects by kind and name.
func (i *lineIndex) named(file string) map[string]map[string]int {
	lines, ok := i.lines[file]
	if ok {
		return lines
	}
	lines = map[string]map[string]int{}
	i.lines[file] = lines
	for _, n := range i.files.nodes(file) {
		kind, name := field(n, "kind"), field(n, "metadata", "name")
		if kind == nil || name == nil || name.Value == "" {
			continue
		}
		if lines[kind.Value] == nil {
			lines[kind.Value] = map[string]int{}
		}
		if _, twice := lines[kind.Value][name.Value]; !twice {
			lines[kind.Value][name.Value] = n.Line
		}
	}
	return lines
}

// nodes returns the objects of a file. It returns none if decrypting moved its lines.
func (f *buildFiles) nodes(file string) []*yaml.Node {
	parsed, err := f.parsed(file)
	if built := f.cache[file]; err != nil || built.encrypted && len(parsed) != 1 {
		return nil
	}
	return flatten(parsed)
}

func flatten(nodes []*yaml.Node) []*yaml.Node {
	var flat []*yaml.Node
	for _, n := range nodes {
		if items, ok := listItems(n); ok {
			flat = append(flat, items...)
			continue
		}
		flat = append(flat, n)
	}
	return flat
}
