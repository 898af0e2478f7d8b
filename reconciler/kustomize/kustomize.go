// Package kustomize builds kustomizations, each in a child process of its own with limits. Kustomize keeps the schema
// of a build in a global variable (https://github.com/kubernetes-sigs/kustomize/issues/3659) and cannot be
// interrupted. The cost of some of its operations grows with the square of their input or faster.
package kustomize

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"go.yaml.in/yaml/v3"

	"berth.dev/berth/internal/worker"
)

// Files is the tree that a build reads. Names are slash-separated and begin at its root, which is ".".
type Files interface {
	// Stat returns the kind of a name.
	Stat(name string) Kind
	// ReadFile returns a file's content.
	ReadFile(name string) ([]byte, error)
}

// Kind is the kind of a name in a tree.
type Kind int

// The kinds of names.
const (
	None Kind = iota
	File
	Folder
)

// Config configures a Builder.
type Config struct {
	// Command is a program, with its arguments, that only calls Serve.
	Command []string
	// Limits are those of one build.
	Limits Limits
	// AtOnce bounds the builds that run at the same time; 0 means 1. With more than one slot, the last is kept for
	// urgent builds. With more than two, an owner has at most one of the others at a time.
	AtOnce int
}

// Limits are those of one build. A zero field sets no limit.
type Limits struct {
	// Memory is in bytes.
	Memory int64
	// CPU is processor time, Time is wall-clock time.
	CPU, Time time.Duration
}

// DefaultLimits leave room for about 2,000 Deployments in a base and an overlay.
var DefaultLimits = Limits{Memory: 128 << 20, CPU: 30 * time.Second, Time: 2 * time.Minute}

// Builder builds kustomizations. It may be used by several goroutines at once.
type Builder struct {
	command []string
	limits  worker.Limits
	queue   *queue
}

// New returns a Builder.
func New(c Config) *Builder {
	return &Builder{
		command: c.Command,
		limits:  worker.Limits{Memory: c.Limits.Memory, CPU: c.Limits.CPU, Time: c.Limits.Time, Message: maxMessage},
		queue:   newQueue(max(c.AtOnce, 1)),
	}
}

// Request describes a build.
type Request struct {
	// Folder holds the kustomization.
	Folder string
	// KeepOrigins leaves the annotation config.kubernetes.io/origin in the objects. The kustomization asks Kustomize for
	// it in any case.
	KeepOrigins bool
	// Urgent builds run before others. Of the others, those whose Owner used the least time lately run first.
	Urgent bool
	Owner  string
}

// Resource is an object of a build's result.
type Resource struct {
	// Node is the object. The line of a scalar is 0 if the scalar does not come from a file.
	Node *yaml.Node
	// Kind and Name are the object's own.
	Kind, Name string
	// Path is the file that the object came from, relative to the folder; ConfiguredIn is the kustomization that
	// generated it.
	Path, ConfiguredIn string
}

// LimitError is the error of a build that exceeded a limit.
type LimitError = worker.LimitError

// ErrPanicked is the error of a build during which Kustomize panicked. It panics again on the same files.
var ErrPanicked = worker.ErrPanicked

// Error is an error of Kustomize itself. Its text may quote what Kustomize read.
type Error struct{ Text string }

// Error returns the text as Kustomize wrote it.
func (e *Error) Error() string { return e.Text }

// Limits of what a build exchanges with its parent.
const (
	maxMessage = 96 << 20
	maxAsked   = 200_000
	maxNodes   = 1_000_000
)

// Build runs Kustomize on a folder of files. It waits for a slot, and ends with ctx. Errors are *Error, *LimitError,
// or those of the process itself.
func (b *Builder) Build(ctx context.Context, r Request, files Files) ([]Resource, error) {
	done, err := b.queue.enter(ctx, r)
	if err != nil {
		return nil, err
	}
	defer done()
	process, err := worker.Start(worker.Config{Command: b.command, Limits: b.limits})
	if err != nil {
		return nil, fmt.Errorf("starting a process for Kustomize: %w", err)
	}
	defer process.Stop() // a process runs one build: nothing of it can reach the next
	var built []Resource
	err = process.Exchange(ctx, func(c *worker.Conn) error {
		built, err = converse(c, request{Folder: r.Folder, KeepOrigins: r.KeepOrigins}, files)
		return err
	})
	return built, err
}

// converse answers the child's questions, and collects the objects that it builds.
func converse(c *worker.Conn, r request, files Files) (built []Resource, err error) {
	if err := c.Send(r); err != nil {
		return nil, err
	}
	nodes := 0
	for asked := 0; ; {
		var said message
		if err := c.Receive(&said); err != nil {
			return nil, err
		}
		switch {
		case said.Failed != "":
			return nil, &Error{said.Failed}
		case said.Done:
			return built, nil
		case said.Built != nil:
			resource, count, err := said.Built.decode()
			if err != nil {
				return nil, err
			}
			if nodes += count; nodes > maxNodes {
				return nil, &LimitError{Resource: "output", Limit: fmt.Sprintf("%d values", maxNodes)}
			}
			built = append(built, resource)
		default:
			if asked++; asked > maxAsked {
				return nil, &LimitError{Resource: "input", Limit: fmt.Sprintf("%d files", maxAsked)}
			}
			if err := c.Send(answer(files, said)); err != nil {
				return nil, err
			}
		}
	}
}

// answer looks up a file or name for the child.
func answer(files Files, asked message) reply {
	if asked.Stat != "" {
		return reply{Kind: files.Stat(asked.Stat)}
	}
	content, err := files.ReadFile(asked.Read)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return reply{}
	case err != nil:
		return reply{Kind: File, Failed: err.Error()}
	}
	return reply{Kind: File, Content: content}
}
