package source

import (
	"bytes"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-git/go-git/v5/plumbing"
)

// emptyTree is the id of the tree without entries, which Git knows without storing it.
var emptyTree = plumbing.NewHash("4b825dc642cb6eb9a060e54bf8d69288fbee4904")

// commitObject holds the used fields of a commit.
type commitObject struct {
	tree    plumbing.Hash
	parents []string  // the first two; the store does not hold them
	time    time.Time // the committer's
	author  string
	subject string
}

func parseCommit(data []byte) (commitObject, error) {
	var c commitObject
	header, message, _ := strings.Cut(string(data), "\n\n")
	c.subject = subjectOf(message)
	for line := range strings.SplitSeq(header, "\n") {
		key, value, _ := strings.Cut(line, " ")
		switch {
		case key == "tree" && c.tree.IsZero() && isObjectID(value):
			c.tree = plumbing.NewHash(value)
		case key == "parent" && len(c.parents) < 2 && isObjectID(value):
			c.parents = append(c.parents, value)
		case key == "committer":
			c.time = parseTime(value)
		case key == "author":
			name, _, _ := strings.Cut(value, "<")
			c.author = oneLine(name)
		}
	}
	if c.tree.IsZero() {
		return c, fmt.Errorf("it names no tree")
	}
	return c, nil
}

// subjectOf returns the first paragraph of a commit message in one line, as git log --format=%s does.
func subjectOf(message string) string {
	paragraph, _, _ := strings.Cut(strings.TrimLeft(message, "\n"), "\n\n")
	return oneLine(paragraph)
}

// maxText bounds the length, in characters, of a commit's author and subject.
const maxText = 120

// oneLine turns text from anyone who can push into one short line, without control characters and without invisible
// or direction-changing ones.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r == utf8.RuneError, !unicode.IsPrint(r):
			return -1
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > maxText {
		text = string(runes[:maxText-1]) + "…"
	}
	return text
}

// parseTime reads "Name <mail> 1700000000 +0100". A commit with a broken date is still a commit.
func parseTime(signature string) time.Time {
	fields := strings.Fields(signature[strings.LastIndexByte(signature, '>')+1:])
	if len(fields) == 0 {
		return time.Time{}
	}
	seconds, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}

// entry is one line of a tree.
type entry struct {
	name string
	mode fs.FileMode
	id   plumbing.Hash
}

func (e entry) isDir() bool       { return e.mode.IsDir() }
func (e entry) isSymlink() bool   { return e.mode&fs.ModeSymlink != 0 }
func (e entry) isSubmodule() bool { return e.mode&fs.ModeIrregular != 0 }

func parseTree(data []byte) ([]entry, error) {
	var entries []entry
	for len(data) > 0 {
		mode, rest, ok := bytes.Cut(data, []byte(" "))
		name, rest, ok2 := bytes.Cut(rest, []byte{0})
		if !ok || !ok2 || len(rest) < len(plumbing.ZeroHash) {
			return nil, fmt.Errorf("it is cut off")
		}
		e := entry{name: string(name)}
		copy(e.id[:], rest)
		data = rest[len(e.id):]
		var err error
		if e.mode, err = fileMode(string(mode)); err != nil {
			return nil, err
		}
		if e.name == "" || e.name == "." || e.name == ".." || strings.Contains(e.name, "/") {
			return nil, fmt.Errorf("it has an entry named %q", e.name)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

func fileMode(octal string) (fs.FileMode, error) {
	mode, err := strconv.ParseUint(octal, 8, 32)
	if err != nil {
		return 0, fmt.Errorf("it has an entry of mode %q", octal)
	}
	switch mode & 0o170000 {
	case 0o040000:
		return fs.ModeDir | 0o555, nil
	case 0o120000:
		return fs.ModeSymlink | 0o777, nil
	case 0o160000: // a submodule: a commit of another repository
		return fs.ModeIrregular, nil
	case 0o100000:
		return 0o444 | fs.FileMode(mode&0o111), nil
	}
	return 0, fmt.Errorf("it has an entry of mode %q", octal)
}
