package render

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"berth.dev/berth/reconciler/manifest"
)

// Both mean that there is nothing to apply. Neither ever counts as a request to delete.
var (
	// ErrNoPath means that the folder does not exist in this commit.
	ErrNoPath = errors.New("no such folder in this commit")
	// ErrNoManifests means that the folder holds no objects.
	ErrNoManifests = errors.New("no manifests in this folder")
)

// Error is one problem in the contents of Git. It quotes no values, since they may be secret.
type Error struct {
	// Origin is where the problem is.
	Origin manifest.Origin
	// Object is kind/name, as far as known.
	Object string
	// Problem says what is wrong; it may be empty if Cause says it.
	Problem string
	// Hint is the next step for a person; it may be empty.
	Hint string
	// Cause is the error behind it; it may be nil.
	Cause error
}

// Error returns "file:line: kind/name: problem: cause; hint", without the unknown parts.
func (e *Error) Error() string {
	var parts []string
	for _, part := range []string{e.Origin.String(), e.Object, e.Problem} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	if e.Cause != nil {
		parts = append(parts, e.Cause.Error())
	}
	text := strings.Join(parts, ": ")
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// passing is an error whose cause is not in Git.
type passing struct{ error }

// Temporary reports that the same files may succeed at another time.
func (p *passing) Temporary() bool { return true }

// Unwrap returns the wrapped error.
func (p *passing) Unwrap() error { return p.error }

// problems collects all problems, so that a user sees them at once.
type problems struct{ list []*Error }

const (
	// maxProblems bounds the number of reported problems: a million invalid documents are one mistake.
	maxProblems = 100
	// maxTold bounds the length of one reported problem, because names come from files and may be as long as those.
	maxTold = 1000
)

func (p *problems) add(err error) {
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{Cause: err}
	}
	e.Object, e.Problem = shortened(unveiled(e.Object)), shortened(unveiled(e.Problem))
	p.list = append(p.list, e)
}

func shortened(text string) string {
	if len(text) <= maxTold {
		return text
	}
	return strings.ToValidUTF8(text[:maxTold], "") + "…"
}

// join returns the problems by file and line, or nil.
func (p *problems) join() error {
	slices.SortStableFunc(p.list, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Origin.File, b.Origin.File), cmp.Compare(a.Origin.Line, b.Origin.Line))
	})
	var errs []error
	for i, e := range p.list {
		if i == maxProblems {
			errs = append(errs, &Error{Origin: e.Origin, Problem: fmt.Sprintf("%d problems more, here and below", len(p.list)-i), Hint: "correct those above first"})
			break
		}
		errs = append(errs, e)
	}
	return errors.Join(errs...)
}

// unreadable returns the problem of a file that the tree cannot read. An error that can be written without the name
// of the file is, because the name stands before it.
func unreadable(name string, err error) *Error {
	e := &Error{Origin: manifest.Origin{File: name}, Problem: "cannot be read", Cause: err}
	var known interface{ Why() (cause, hint string) }
	if errors.As(err, &known) {
		cause, hint := known.Why()
		e.Cause, e.Hint = &told{cause, err}, hint
	}
	return e
}

// told is an error in fewer words.
type told struct {
	text string
	err  error
}

func (t *told) Error() string { return t.text }
func (t *told) Unwrap() error { return t.err }
