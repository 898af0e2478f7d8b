package render

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
)

// treePrefix begins the names of variables that hold the Git hash of a folder.
const treePrefix = "TREE:"

// maxVariable bounds the length of ${NAME}, so that a text of nothing but openings is not searched
// to its end for each.
const maxVariable = 1024

// variables replaces ${NAME} in texts and notes which names it used.
type variables struct {
	values map[string]any
	tree   Tree
	used   map[string]any
	// folders are those whose hashes were looked up, with what was wrong; bytes is how much text came of variables
	// so far.
	folders map[string]error
	bytes   int
	// doubted are the unknown names that were compared with the known ones, and typos those that nobody has been
	// told of yet.
	doubted map[string]bool
	typos   []typo
}

// maxFolders bounds how many names of folders are looked up: one has many names, as dir, ./dir and dir/../dir.
const maxFolders = 1000

// text replaces every known variable; what is not known stays as it is, and so does everything else:
// it is somebody else's syntax (nginx, a shell). $${NAME} of a known name is the literal ${NAME}.
func (v *variables) text(s string) (string, error) {
	var out strings.Builder
	for {
		start := strings.Index(s, "${")
		if start < 0 {
			break
		}
		length := strings.IndexByte(s[start:min(len(s), start+maxVariable)], '}')
		name := s[start+2 : max(start+2, start+length)]
		switch {
		case length < 0 || !v.known(name):
			v.doubt(name)
			// Only the opening is passed by: in ${a${NAME}} the inner one still counts.
			out.WriteString(s[:start+2])
			s = s[start+2:]
			continue
		case start > 0 && s[start-1] == '$':
			out.WriteString(s[:start-1] + s[start:start+length+1])
		default:
			value, err := v.use(name)
			if err != nil {
				return "", err
			}
			text, err := textOf(name, value)
			if err != nil {
				return "", err
			}
			out.WriteString(s[:start] + text)
		}
		s = s[start+length+1:]
	}
	out.WriteString(s)
	return out.String(), nil
}

// typed returns the value of the variable that is all of s, in its own type; ok is false if s is
// anything else than one known variable.
func (v *variables) typed(s string) (value any, ok bool, err error) {
	name, isVariable := strings.CutPrefix(s, "${")
	name, closed := strings.CutSuffix(name, "}")
	if !isVariable || !closed || strings.Contains(name, "}") || !v.known(name) {
		return nil, false, nil
	}
	value, err = v.use(name)
	if err != nil {
		return nil, false, err
	}
	switch value := value.(type) {
	case nil, bool, string, int64:
		return value, true, nil
	case float64:
		if value == math.Trunc(value) && math.Abs(value) < 1<<53 {
			return int64(value), true, nil
		}
		return value, true, nil
	}
	text, err := textOf(name, value)
	if err != nil {
		return nil, false, err
	}
	if whole, err := strconv.ParseInt(text, 10, 64); err == nil {
		return whole, true, nil
	}
	number, err := strconv.ParseFloat(text, 64)
	return number, true, err
}

func (v *variables) known(name string) bool {
	_, ok := v.values[name]
	return ok || strings.HasPrefix(name, treePrefix)
}

// use returns the value of a known variable and notes that it was used.
func (v *variables) use(name string) (value any, err error) {
	if folder, isTree := strings.CutPrefix(name, treePrefix); isTree {
		value, err = v.hash(name, folder)
	} else {
		value = v.values[name]
		v.used[name] = value
	}
	if text, ok := value.(string); ok {
		v.bytes += len(text)
	}
	if err == nil && v.bytes > maxBytes {
		err = &Error{Problem: fmt.Sprintf("with ${%s}, it is more than %d MiB that variables stand for", name, maxBytes>>20), Hint: "let fewer texts name it, or give it a shorter value"}
	}
	return value, err
}

// hash returns the hash of a folder, which is looked up once.
func (v *variables) hash(name, folder string) (any, error) {
	if err, again := v.folders[name]; again {
		return v.used[name], err
	}
	if len(v.folders) == maxFolders {
		return nil, &Error{Problem: fmt.Sprintf("with ${%s}, there are more than %d folders whose hash is asked for", name, maxFolders), Hint: "name a folder above them"}
	}
	hash, err := v.tree.Hash(cleanFolder(folder))
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid):
		err = &Error{Problem: fmt.Sprintf("${%s}: there is no folder %q in this commit", name, folder),
			Hint: "name a folder from the root of the repository"}
	case err != nil:
		err = &Error{Problem: fmt.Sprintf("${%s}: reading the folder's hash", name), Cause: err}
	}
	if err != nil {
		hash = "" // what hashOf says of a folder that is not there
	}
	v.used[name], v.folders[name] = hash, err
	return hash, err
}

func cleanFolder(folder string) string { return path.Clean(folder) }

// textOf writes a value as it stands within a longer text.
func textOf(name string, value any) (string, error) {
	switch value := value.(type) {
	case nil:
		return "", nil
	case string:
		return value, nil
	case json.Number:
		return value.String(), nil
	case bool, int, int32, int64, uint32, uint64:
		return fmt.Sprint(value), nil
	case float64:
		if !math.IsNaN(value) && !math.IsInf(value, 0) {
			return strconv.FormatFloat(value, 'f', -1, 64), nil
		}
	}
	return "", &Error{Problem: fmt.Sprintf("the variable %s is neither a text, a number nor a boolean", name),
		Hint: "mend the entry's variables"}
}
