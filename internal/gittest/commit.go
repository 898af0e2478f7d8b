package gittest

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
)

// A Change is a commit's change of one path.
type Change struct {
	path string
	// mode is Git's, or empty to remove the path.
	mode string
	// content is a file's content, a symbolic link's target, or the commit of a submodule.
	content string
}

// Git's modes of tree entries.
const (
	modeFile       = "100644"
	modeExecutable = "100755"
	modeSymlink    = "120000"
	modeSubmodule  = "160000"
)

// Write writes a file.
func Write(path, content string) Change {
	return Change{path: path, mode: modeFile, content: content}
}

// Remove removes a file or a whole directory.
func Remove(path string) Change { return Change{path: path} }

// Symlink writes a symbolic link.
func Symlink(path, target string) Change {
	return Change{path: path, mode: modeSymlink, content: target}
}

// Submodule makes a path a submodule: a commit of another repository.
func Submodule(path, commit string) Change {
	return Change{path: path, mode: modeSubmodule, content: commit}
}

func writes(files map[string]string) []Change {
	var changes []Change
	for _, path := range slices.Sorted(maps.Keys(files)) {
		changes = append(changes, Write(path, files[path]))
	}
	return changes
}

// writesOf returns the changes that turn an empty tree into a copy of a file system, without directories named
// .git.
func writesOf(files fs.FS) ([]Change, error) {
	var changes []Change
	err := fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == ".git":
			return fs.SkipDir
		case entry.IsDir():
			return nil
		}
		change, err := writeOf(files, path, entry)
		changes = append(changes, change)
		return err
	})
	return changes, err
}

func writeOf(files fs.FS, path string, entry fs.DirEntry) (Change, error) {
	if entry.Type() == fs.ModeSymlink {
		target, err := fs.ReadLink(files, path)
		return Symlink(path, target), err
	}
	content, err := fs.ReadFile(files, path)
	if err != nil {
		return Change{}, err
	}
	info, err := entry.Info()
	if err != nil {
		return Change{}, err
	}
	change := Write(path, string(content))
	if info.Mode()&0o111 != 0 {
		change.mode = modeExecutable
	}
	return change, nil
}

// A commit is a commit to be written.
type commit struct {
	branch string
	// parent is empty for a commit without one.
	parent  string
	message string
	changes []Change
	// replaces means that the changes are the whole content.
	replaces bool
}

// write creates a commit in one run of git fast-import, which is fast even for many branches, and returns its id.
func (r *Repository) write(c commit) string {
	r.server.reporter.Helper()
	return r.git(c.stream(), "fast-import", "--quiet", "--force", "--date-format=now")
}

// quoted escapes special characters in a quoted path.
var quoted = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// stream returns the commit as the input of git fast-import.
func (c commit) stream() string {
	var s strings.Builder
	fmt.Fprintf(&s, "reset refs/heads/%s\n", c.branch)
	fmt.Fprintf(&s, "commit refs/heads/%s\nmark :1\n", c.branch)
	s.WriteString("committer Berth Test <test@berth.dev> now\n")
	writeData(&s, c.message)
	if c.parent != "" {
		fmt.Fprintf(&s, "from %s\n", c.parent)
	}
	if c.replaces {
		s.WriteString("deleteall\n")
	}
	for _, change := range c.changes {
		path := `"` + quoted.Replace(change.path) + `"`
		switch change.mode {
		case "":
			fmt.Fprintf(&s, "D %s\n", path)
		case modeSubmodule:
			fmt.Fprintf(&s, "M %s %s %s\n", change.mode, change.content, path)
		default:
			fmt.Fprintf(&s, "M %s inline %s\n", change.mode, path)
			writeData(&s, change.content)
		}
	}
	s.WriteString("get-mark :1\n")
	return s.String()
}

func writeData(s *strings.Builder, text string) {
	fmt.Fprintf(s, "data %d\n%s\n", len(text), text)
}
