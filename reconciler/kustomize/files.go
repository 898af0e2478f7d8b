package kustomize

import (
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"berth.dev/berth/internal/worker"
)

// errNotNeeded is the answer to operations that a build never needs.
var errNotNeeded = errors.New("builds only read files that they know by name")

// askedFiles shows Kustomize the tree of the parent as a file system with the tree as its root, so that no path leads
// out of it. Each file is asked for once.
type askedFiles struct {
	conn     *worker.Conn
	kinds    map[string]Kind
	contents map[string]reply
	// plain makes the kustomization in folder not ask for origins.
	plain  bool
	folder string
	// broken is the error after which nothing more can be asked.
	broken error
}

// mention reports whether a file that was read contains a match.
func (f *askedFiles) mention(text *regexp.Regexp) bool {
	for _, r := range f.contents {
		if text.Match(r.Content) {
			return true
		}
	}
	return false
}

// withoutOrigins returns a kustomization that does not ask for the origins of objects.
func withoutOrigins(kustomization []byte) []byte {
	var document yaml.Node
	if yaml.Unmarshal(kustomization, &document) != nil || len(document.Content) == 0 {
		return kustomization
	}
	fields := document.Content[0].Content
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i].Value == "buildMetadata" {
			fields[i+1].Content = slices.DeleteFunc(fields[i+1].Content, func(n *yaml.Node) bool { return n.Value == types.OriginAnnotations })
		}
	}
	text, err := yaml.Marshal(&document)
	if err != nil {
		return kustomization
	}
	return text
}

// absolute and relative translate between the names of the tree and Kustomize's paths.
func absolute(name string) string { return path.Join("/", name) }

func relative(name string) string {
	if name = strings.TrimPrefix(path.Clean("/"+filepath.ToSlash(name)), "/"); name != "" {
		return name
	}
	return "."
}

func (f *askedFiles) ask(m message) (r reply, err error) {
	if f.broken == nil {
		f.broken = f.conn.Send(m)
	}
	if f.broken == nil {
		f.broken = f.conn.Receive(&r)
	}
	return r, f.broken
}

func (f *askedFiles) kind(name string) Kind {
	kind, known := f.kinds[name]
	if !known {
		r, err := f.ask(message{Stat: name})
		if err != nil {
			return None
		}
		kind, f.kinds[name] = r.Kind, r.Kind
	}
	return kind
}

// ReadFile returns a file's content.
func (f *askedFiles) ReadFile(file string) ([]byte, error) {
	name := relative(file)
	r, known := f.contents[name]
	if !known {
		var err error
		if r, err = f.ask(message{Read: name}); err != nil {
			return nil, err
		}
		f.contents[name] = r
	}
	switch {
	case r.Kind != File:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	case r.Failed != "":
		return nil, errors.New(r.Failed)
	}
	if f.plain && path.Dir(name) == f.folder && slices.Contains(konfig.RecognizedKustomizationFileNames(), path.Base(name)) {
		return withoutOrigins(r.Content), nil
	}
	return r.Content, nil
}

// CleanedAbs splits a path into folder and file.
func (f *askedFiles) CleanedAbs(file string) (filesys.ConfirmedDir, string, error) {
	name := relative(file)
	switch f.kind(name) {
	case Folder:
		return filesys.ConfirmedDir(absolute(name)), "", nil
	case File:
		return filesys.ConfirmedDir(absolute(path.Dir(name))), path.Base(name), nil
	}
	return "", "", &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
}

// Exists reports whether a file or folder exists.
func (f *askedFiles) Exists(file string) bool { return f.kind(relative(file)) != None }

// IsDir reports whether a folder exists.
func (f *askedFiles) IsDir(file string) bool { return f.kind(relative(file)) == Folder }

// ReadDir fails, like all methods that follow.
func (f *askedFiles) ReadDir(string) ([]string, error) { return nil, errNotNeeded }

// Glob fails.
func (f *askedFiles) Glob(string) ([]string, error) { return nil, errNotNeeded }

// Open fails.
func (f *askedFiles) Open(string) (filesys.File, error) { return nil, errNotNeeded }

// Walk fails.
func (f *askedFiles) Walk(string, filepath.WalkFunc) error { return errNotNeeded }

// Create fails.
func (f *askedFiles) Create(string) (filesys.File, error) { return nil, errNotNeeded }

// Mkdir fails.
func (f *askedFiles) Mkdir(string) error { return errNotNeeded }

// MkdirAll fails.
func (f *askedFiles) MkdirAll(string) error { return errNotNeeded }

// RemoveAll fails.
func (f *askedFiles) RemoveAll(string) error { return errNotNeeded }

// WriteFile fails.
func (f *askedFiles) WriteFile(string, []byte) error { return errNotNeeded }
