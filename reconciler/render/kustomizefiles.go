package render

import (
	"io/fs"
	"path"

	"berth.dev/berth/reconciler/kustomize"
	"berth.dev/berth/reconciler/manifest"
	"go.yaml.in/yaml/v3"
)

// buildFiles is the tree as Kustomize sees it. It notes which files are read, decrypts them, and checks kustomization
// files.
type buildFiles struct {
	renderer *renderer
	// top is the kustomization file of the path.
	top      string
	problems problems
	// cache holds the loaded files; read lists the names that Kustomize asked for, in order.
	cache       map[string]*builtFile
	read        []string
	keepOrigins bool
}

// builtFile is one file that Kustomize read.
type builtFile struct {
	content   []byte
	encrypted bool
	// names are the files and folders in a kustomization, relative to its own folder; some of them are resources,
	// components, and configurations of transformers and generators.
	names, resources, components, plugins []string
	isComponent, followed                 bool
	// shown is the content that Kustomize gets, and err the answer if there is none.
	shown []byte
	err   error
	// read is true once Kustomize has asked for it.
	read bool
}

func exists(tree fs.FS, name string) bool {
	_, err := fs.Stat(tree, name)
	return err == nil
}

func isFolder(tree fs.FS, name string) bool {
	info, err := fs.Stat(tree, name)
	return err == nil && info.IsDir()
}

func isFile(tree fs.FS, name string) bool {
	info, err := fs.Stat(tree, name)
	return err == nil && !info.IsDir()
}

// gather loads all files that the kustomization and those below it need, so that a build itself never waits for a
// remote key.
func (f *buildFiles) gather() {
	tree := f.renderer.tree
	for waiting := []string{f.top}; len(waiting) > 0 && !f.renderer.exhausted(); waiting = waiting[1:] {
		name := waiting[0]
		if isFolder(tree, name) {
			f.renderer.inputs.record(name)
			name = kustomizationIn(tree, name)
		}
		if _, known := f.cache[name]; known || !isFile(tree, name) {
			continue
		}
		for _, named := range f.file(name).names {
			waiting = append(waiting, path.Join(path.Dir(name), named))
		}
	}
}

// file loads a file once.
func (f *buildFiles) file(name string) *builtFile {
	built, ok := f.cache[name]
	if !ok {
		built = f.load(name)
		f.cache[name] = built
		if built.err != nil {
			f.problems.add(built.err)
		}
	}
	return built
}

// Stat returns the kind of a name.
func (f *buildFiles) Stat(name string) kustomize.Kind {
	f.renderer.inputs.record(name)
	info, err := fs.Stat(f.renderer.tree, name)
	switch {
	case err != nil:
		return kustomize.None
	case info.IsDir():
		return kustomize.Folder
	}
	return kustomize.File
}

// ReadFile returns a file as Kustomize is to see it.
func (f *buildFiles) ReadFile(name string) ([]byte, error) {
	f.renderer.inputs.record(name)
	if !isFile(f.renderer.tree, name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	built := f.file(name)
	if !built.read {
		built.read, f.read = true, append(f.read, name)
	}
	return built.shown, built.err
}

func (f *buildFiles) load(name string) *builtFile {
	content, encrypted, err := f.renderer.readFile(name)
	if err == nil {
		err = f.renderer.aliases.check(name, content)
	}
	built := &builtFile{content: content, encrypted: encrypted, shown: content, err: err}
	switch {
	case err != nil || !isKustomization(path.Base(name)):
	case encrypted: // its errors could quote decrypted values
		built.err = &Error{Origin: manifest.Origin{File: name}, Problem: "a kustomization cannot be encrypted",
			Hint: "encrypt the files that it names"}
	default:
		built.err = f.checked(name, built)
	}
	return built
}

// parsed returns the documents of a file that Kustomize read.
func (f *buildFiles) parsed(name string) ([]*yaml.Node, error) {
	built, ok := f.cache[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return parse(name, built.content)
}
