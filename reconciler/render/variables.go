package render

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"regexp"
	"strconv"
	"strings"

	"berth.dev/berth/reconciler/manifest"
)

// treePrefix begins the names of variables that hold the Git hash of a folder.
const treePrefix = "TREE:"

// maxVariable bounds the length of ${NAME}, so that a text full of openings is not searched to its end for each.
const maxVariable = 1024

// variables replaces ${NAME} in texts and notes which names were used.
type variables struct {
	values map[string]any
	tree   Tree
	used   map[string]any
	// folders are those whose hashes were looked up, with the error if there was one; bytes counts the text that
	// variables produced so far.
	folders map[string]error
	bytes   int
	// others are the variables of other entries of the Repository, each with the name of one such entry.
	others map[string]string
	// doubted are the names and notations that were checked, and remarks the warnings that are not reported yet.
	doubted map[string]bool
	remarks []remark
	// assignments match the places in a text that set a variable.
	assignments map[string]*regexp.Regexp
}

// maxFolders bounds how many folder names are looked up: one folder has many, such as dir, ./dir and dir/../dir.
const maxFolders = 1000

// text replaces every known variable and keeps everything else, because it belongs to another syntax (nginx, a
// shell). $${NAME} of a known name is the literal ${NAME}. ${NAME:-text} and ${NAME:=text} are the text if the value
// is empty.
func (v *variables) text(s string, in textKind) (string, error) {
	var out strings.Builder
	for whole := s; ; {
		start := strings.Index(s, "${")
		if start < 0 {
			break
		}
		reference := referenceAt(s[start:])
		name := reference.name
		escaped := start > 0 && s[start-1] == '$'
		switch {
		case !reference.closed || !v.known(name) || !escaped && v.own(whole, reference, in):
			switch {
			case !reference.closed || v.known(name):
			case escaped:
				v.keptEscape(reference)
			default:
				v.doubt(reference.inner, in)
			}
			// Only the opening is passed by: in ${a${NAME}} the inner one still counts.
			out.WriteString(s[:start+2])
			s = s[start+2:]
			continue
		case escaped:
			out.WriteString(s[:start-1] + s[start:start+reference.length])
		default:
			text, err := v.valueOf(reference, in)
			if err != nil {
				return "", err
			}
			out.WriteString(s[:start] + text)
		}
		s = s[start+reference.length:]
	}
	out.WriteString(s)
	return out.String(), nil
}

// own reports whether a known name belongs to the text itself, and if so notes a remark.
func (v *variables) own(text string, r reference, in textKind) bool {
	if in == aProgram && r.hasDefault || v.assigns(text, r.name) {
		if noted := "own " + r.name; !v.doubted[noted] {
			v.doubted[noted] = true
			v.remark(manifest.Note, "${%s} stays as it is in a script that sets it or has a default for it; to have it replaced, give the script's variable another name", r.name)
		}
		return true
	}
	return false
}

// keptEscape says once that the escape of an unknown variable stays as it is.
func (v *variables) keptEscape(r reference) {
	if !v.doubted["$$"] {
		v.doubted["$$"] = true
		v.remark(manifest.Note, "$${%s} keeps both dollar signs, since %s is no variable of Berth's; write ${%s} where one is meant, here and elsewhere", r.inner, r.name, r.inner)
	}
}

// reference is a ${NAME}, or what looks like one.
type reference struct {
	// name is the variable's, inner all of the text within the braces.
	name, inner string
	// length covers the whole reference; closed is false if no brace closes it.
	length int
	closed bool
	// fallback replaces an empty value.
	fallback   string
	hasDefault bool
}

// referenceAt reads the reference at the start of a text.
func referenceAt(s string) reference {
	s = s[:min(len(s), maxVariable)]
	end := strings.IndexByte(s, '}')
	if end < 0 {
		return reference{}
	}
	r := reference{inner: s[2:end], length: end + 1, closed: true}
	r.name = r.inner
	if name, fallback, ok := cutDefault(r.inner); ok {
		if strings.Contains(fallback, "${") { // the brace belongs to that one
			if end = closing(s); end < 0 {
				return reference{}
			}
			r.inner, r.length = s[2:end], end+1
			name, fallback, _ = cutDefault(r.inner)
		}
		r.name, r.fallback, r.hasDefault = name, fallback, true
	}
	return r
}

// closing returns the position of the brace that closes the first one, or -1.
func closing(s string) int {
	depth := 0
	for i := range len(s) {
		switch {
		case strings.HasPrefix(s[i:], "${"):
			depth++
		case s[i] == '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

var withDefault = regexp.MustCompile(`(?s)^([A-Za-z_][A-Za-z0-9_]*):[-=](.*)$`)

// cutDefault splits NAME:-text and NAME:=text.
func cutDefault(inner string) (name, fallback string, ok bool) {
	if strings.HasPrefix(inner, treePrefix) {
		return "", "", false
	}
	match := withDefault.FindStringSubmatch(inner)
	if match == nil {
		return "", "", false
	}
	return match[1], match[2], true
}

// valueOf returns the value of a reference.
func (v *variables) valueOf(r reference, in textKind) (string, error) {
	value, err := v.use(r.name)
	if err != nil {
		return "", err
	}
	text, err := textOf(r.name, value)
	if err == nil && text == "" && r.hasDefault {
		return v.text(r.fallback, in)
	}
	return text, err
}

// typed returns the value of the variable that is all of s, in its own type; ok is false if s is not exactly one
// known variable.
func (v *variables) typed(s string) (value any, ok bool, err error) {
	if !strings.HasPrefix(s, "${") {
		return nil, false, nil
	}
	r := referenceAt(s)
	if r.length != len(s) || !v.known(r.name) {
		return nil, false, nil
	}
	name := r.name
	value, err = v.use(name)
	if err != nil {
		return nil, false, err
	}
	if r.hasDefault && (value == "" || value == nil) {
		return nil, false, nil
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

// use returns the value of a known variable and notes its use.
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
		err = &Error{Problem: fmt.Sprintf("with ${%s}, the values of variables exceed the limit of %d MiB", name, maxBytes>>20), Hint: "use it in fewer texts, or give it a shorter value"}
	}
	return value, err
}

// hash returns the hash of a folder, which is looked up once.
func (v *variables) hash(name, folder string) (any, error) {
	if err, again := v.folders[name]; again {
		return v.used[name], err
	}
	if len(v.folders) == maxFolders {
		return nil, &Error{Problem: fmt.Sprintf("with ${%s}, the folders of ${TREE:…} exceed the limit of %d", name, maxFolders), Hint: "name a folder that contains several of them"}
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
		hash = "" // as hashOf returns for a missing folder
	}
	v.used[name], v.folders[name] = hash, err
	return hash, err
}

func cleanFolder(folder string) string { return path.Clean(folder) }

// textOf writes a value as it appears within a longer text.
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
		Hint: "correct the entry's variables"}
}
