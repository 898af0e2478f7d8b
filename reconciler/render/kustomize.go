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
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
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
	err := files.affordable()
	if err != nil {
		files.problems.add(err)
	}
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
	lines := lineIndex{files: files, lines: map[string]map[string]map[string]int{}}
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

// maxCopied bounds what the copy operations of one JSON patch may add to an object, in bytes: thirty that copy a field
// into itself stand for gigabytes. No object that a cluster takes is larger.
const maxCopied = 3 << 20

// build runs Kustomize, which panics on some hostile input.
func build(files *buildFiles, options *krusty.Options, folder string) (resources []*resource.Resource, err error) {
	kustomizing.Lock()
	defer kustomizing.Unlock()
	jsonpatch.AccumulatedCopySizeLimit = maxCopied
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
	files *buildFiles
	lines map[string]map[string]map[string]int // by file, kind and name
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

// maxParts bounds among how many names of a file one is looked for that is part of another.
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

// nodes returns the objects of a file, none if it is one whose lines decrypting moved.
func (f *buildFiles) nodes(file string) []*yaml.Node {
	parsed, err := f.documents(file)
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
