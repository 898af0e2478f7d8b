package render

import (
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"berth.dev/berth/reconciler/manifest"
	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// errReadOnly is the answer to every attempt to write.
var errReadOnly = errors.New("the tree of a commit cannot be written")

// buildFiles shows the tree to Kustomize as a file system with the tree as its root, so that no path
// leads out of it. It notes what is read, decrypts, and checks kustomization files.
type buildFiles struct {
	renderer *renderer
	// top is the kustomization file of the path.
	top      string
	problems problems
	// cache holds what was loaded; read are the names of what Kustomize asked for, in that order.
	cache       map[string]*builtFile
	read        []string
	keepOrigins bool
}

// builtFile is one file that Kustomize read.
type builtFile struct {
	content   []byte
	encrypted bool
	// names are those of files and folders in a kustomization, relative to its own folder; resources are those
	// with objects. Further objects are generated, and changes are those of many.
	names, resources   []string
	generated, changes int
	// shown is what Kustomize gets, and err the answer if it gets nothing.
	shown []byte
	err   error
	// read is true once Kustomize has asked for it.
	read bool
}

// absolute and relative translate between the names of the tree and Kustomize's paths.
func absolute(name string) string { return path.Join("/", name) }

func relative(name string) string {
	if name = strings.TrimPrefix(path.Clean("/"+filepath.ToSlash(name)), "/"); name != "" {
		return name
	}
	return "."
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

// gather loads all that the kustomization and those that it names need, so that a build itself waits for nobody's keys.
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

// ReadFile gives a file as Kustomize is to see it.
func (f *buildFiles) ReadFile(file string) ([]byte, error) {
	name := relative(file)
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
	case encrypted: // errors in it could quote what was decrypted
		built.err = &Error{Origin: manifest.Origin{File: name}, Problem: "a kustomization cannot be encrypted",
			Hint: "encrypt the files that it names"}
	default:
		built.err = f.checked(name, built)
	}
	return built
}

// documents parses a file that Kustomize read.
func (f *buildFiles) documents(name string) ([]*yaml.Node, error) {
	built, ok := f.cache[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return parse(name, built.content)
}

// CleanedAbs splits a path into folder and file.
func (f *buildFiles) CleanedAbs(file string) (filesys.ConfirmedDir, string, error) {
	name := relative(file)
	f.renderer.inputs.record(name)
	info, err := fs.Stat(f.renderer.tree, name)
	if err != nil {
		return "", "", err
	}
	if info.IsDir() {
		return filesys.ConfirmedDir(absolute(name)), "", nil
	}
	return filesys.ConfirmedDir(absolute(path.Dir(name))), path.Base(name), nil
}

// Exists says whether there is a file or folder.
func (f *buildFiles) Exists(file string) bool {
	f.renderer.inputs.record(relative(file))
	return exists(f.renderer.tree, relative(file))
}

// IsDir says whether there is a folder.
func (f *buildFiles) IsDir(file string) bool {
	f.renderer.inputs.record(relative(file))
	return isFolder(f.renderer.tree, relative(file))
}

// ReadDir lists a folder.
func (f *buildFiles) ReadDir(folder string) ([]string, error) {
	f.renderer.inputs.record(relative(folder))
	entries, err := fs.ReadDir(f.renderer.tree, relative(folder))
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = entry.Name()
	}
	return names, err
}

// Glob lists the files that a pattern matches, and notes its folder.
func (f *buildFiles) Glob(pattern string) ([]string, error) {
	f.renderer.inputs.record(relative(path.Dir(pattern)))
	names, err := fs.Glob(f.renderer.tree, relative(pattern))
	for i, name := range names {
		names[i] = absolute(name)
	}
	return names, err
}

// Open is not used by builds.
func (f *buildFiles) Open(string) (filesys.File, error) { return nil, errReadOnly }

// Walk is not used by builds.
func (f *buildFiles) Walk(string, filepath.WalkFunc) error { return errReadOnly }

// Create fails, like all that follow.
func (f *buildFiles) Create(string) (filesys.File, error) { return nil, errReadOnly }

// Mkdir fails.
func (f *buildFiles) Mkdir(string) error { return errReadOnly }

// MkdirAll fails.
func (f *buildFiles) MkdirAll(string) error { return errReadOnly }

// RemoveAll fails.
func (f *buildFiles) RemoveAll(string) error { return errReadOnly }

// WriteFile fails.
func (f *buildFiles) WriteFile(string, []byte) error { return errReadOnly }
