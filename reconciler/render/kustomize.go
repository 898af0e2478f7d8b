package render

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"berth.dev/berth/reconciler/manifest"
	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"
)

// kustomizing lets one build run at a time: Kustomize keeps the schema that a build uses in a global
// variable (https://github.com/kubernetes-sigs/kustomize/issues/3659), and one branch's schema
// must not be another's. All others wait meanwhile, so what may take long is done before.
var kustomizing sync.Mutex

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
func (r *renderer) kustomize(kustomization string) []document {
	files := &buildFiles{renderer: r, top: kustomization, cache: map[string]*builtFile{}}
	options := &krusty.Options{
		Reorder: krusty.ReorderOptionNone,
		// Files outside of a kustomization's folder are fine: buildFiles cannot leave the tree.
		LoadRestrictions: types.LoadRestrictionsNone,
		PluginConfig:     types.DisabledPluginConfig(),
	}
	files.gather()
	var resources []*resource.Resource
	var err error
	if len(files.problems.list) == 0 {
		resources, err = build(files, options, r.Path)
	}
	if len(files.problems.list) > 0 {
		r.problems.list = append(r.problems.list, files.problems.list...)
		return nil
	}
	if err != nil {
		r.problems.add(files.explain(err))
		return nil
	}
	documents := make([]document, 0, len(resources))
	lines := lineIndex{files: files, parsed: map[string][]*yaml.Node{}}
	for _, resource := range resources {
		origin, err := lines.origin(resource)
		if err != nil {
			r.problems.add(&Error{Origin: manifest.Origin{File: kustomization}, Problem: "finding where an object comes from", Cause: err})
			continue
		}
		documents = append(documents, document{node: resource.YNode(), origin: origin, booleans: kustomizeBooleans})
	}
	return documents
}

// build runs Kustomize, which panics on some hostile input.
func build(files *buildFiles, options *krusty.Options, folder string) (resources []*resource.Resource, err error) {
	kustomizing.Lock()
	defer kustomizing.Unlock()
	defer func() {
		if recover() != nil {
			err = errors.New("a panic in its code")
		}
	}()
	built, err := krusty.MakeKustomizer(options).Run(files, absolute(folder))
	if err != nil {
		return nil, err
	}
	return built.Resources(), nil
}

// explain says why a build failed: the first file that is not YAML, or what stands there twice, else in Kustomize's words, which
// quote contents of files and are therefore withheld once something was decrypted.
func (f *buildFiles) explain(cause error) error {
	for _, name := range f.read {
		if !isManifest(name) {
			continue
		}
		if _, err := f.documents(name); err != nil {
			return err
		}
	}
	if err := f.twice(cause); err != nil {
		return err
	}
	e := &Error{Origin: manifest.Origin{File: f.top}, Problem: "Kustomize cannot build it"}
	if f.decrypted {
		e.Hint = "its message is withheld, since it may quote what was decrypted; run kustomize build to see it"
		return e
	}
	text := strings.ReplaceAll(strings.TrimSpace(cause.Error()), "'/", "'")
	e.Cause = errors.New(strings.ReplaceAll(text, "\n", " "))
	return e
}

// lineIndex finds built objects again in the files that they came from.
type lineIndex struct {
	files  *buildFiles
	parsed map[string][]*yaml.Node
}

// origin finds the file and line of a built object, and takes out the annotation that names the file
// unless the kustomization itself asked for it.
func (i *lineIndex) origin(built *resource.Resource) (manifest.Origin, error) {
	from, err := built.GetOrigin()
	if err != nil {
		return manifest.Origin{}, err
	}
	if !i.files.keepOrigins {
		if err := built.SetOrigin(nil); err != nil {
			return manifest.Origin{}, err
		}
	}
	if from == nil {
		return manifest.Origin{File: i.files.top}, nil
	}
	if from.Path == "" {
		return manifest.Origin{File: path.Join(i.files.renderer.Path, from.ConfiguredIn)}, nil
	}
	name := path.Join(i.files.renderer.Path, from.Path)
	return manifest.Origin{File: name, Line: i.line(name, built.GetKind(), built.GetName())}, nil
}

// line finds an object in the file that it came from: by its name, or if Kustomize changed that by
// one that is part of it. It returns 0 in doubt.
func (i *lineIndex) line(file, kind, name string) int {
	part, parts := 0, 0
	for _, n := range i.nodes(file) {
		k, m := field(n, "kind"), field(n, "metadata", "name")
		if k == nil || m == nil || k.Value != kind || m.Value == "" {
			continue
		}
		if m.Value == name {
			return n.Line
		}
		if strings.Contains(name, m.Value) {
			part, parts = n.Line, parts+1
		}
	}
	if parts != 1 {
		return 0
	}
	return part
}

// nodes returns the objects of a file, none if it is one whose lines decrypting moved.
func (i *lineIndex) nodes(file string) []*yaml.Node {
	nodes, ok := i.parsed[file]
	if !ok {
		parsed, err := i.files.documents(file)
		if built := i.files.cache[file]; err == nil && (!built.encrypted || len(parsed) == 1) {
			nodes = flatten(parsed)
		}
		i.parsed[file] = nodes
	}
	return nodes
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
