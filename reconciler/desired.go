package reconciler

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"berth.dev/berth/reconciler/kustomize"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/render"
	"berth.dev/berth/source"
)

// desired is what Git says about an environment at a commit.
type desired struct {
	commit   string
	about    CommitInfo
	settings string
	inputs   render.Inputs
	set      manifest.Set
	// rendered is how long it took to render.
	rendered time.Duration
	// decrypted are the kinds of the entry's decryption.kinds.
	decrypted manifest.Kinds
	// digest is the digest of the whole input: tree, variables, settings and keys.
	digest string
	// everyCommit says that a Job runs with every commit, whatever the commit changes.
	everyCommit bool
	// past says that it ran before and replaces the newest, which cannot be fetched.
	past bool
	// incomplete says that it may lack some of what ran.
	incomplete bool
}

func about(tree *source.Snapshot) CommitInfo {
	return CommitInfo{Time: tree.Time(), Author: tree.Author(), Subject: tree.Subject()}
}

// desire returns what Git says at a commit. It renders only if the input differs from what was last rendered. With an
// error, it returns only what is known about the commit.
func (r *Reconciler) desire(ctx context.Context, e Environment, m *memory, commit string, last desired) (desired, error) {
	holds := last.commit != "" && last.settings == e.Settings && last.inputs.SameScopes(r.Cluster.ClusterScoped)
	if holds && last.commit == commit {
		return last, nil
	}
	tree, err := r.Snapshots(ctx, e.Repository, commit)
	if err != nil {
		return desired{}, e.unreadable(commit, err)
	}
	variables := e.Variables(commit)
	if holds && !last.everyCommit && last.inputs.Same(tree, variables) {
		last.commit, last.about = commit, about(tree)
		return last, nil
	}
	if err := m.unrendered.same(r, e, tree, variables); err != nil {
		return desired{about: about(tree)}, err
	}
	result, took, err := r.render(ctx, e, m, commit, tree)
	if err != nil {
		if _, limit := errors.AsType[*kustomize.LimitError](err); limit {
			err = fmt.Errorf("%w; it is built again when its files change, or by berth retry %s", err, e.Name)
		}
		if err = lasting(err); lasts(err) && r.again(err).IsZero() {
			m.unrendered = unrendered{settings: e.Settings, source: e.Source, inputs: result.Inputs, err: err}
		}
		return desired{about: about(tree)}, err
	}
	result.Set = e.withCopies(result.Set)
	if err := result.Set.Seal(r.DigestKey, e.DecryptedKinds); err != nil {
		return desired{}, err
	}
	d := desired{commit: commit, about: about(tree), settings: e.Settings, inputs: result.Inputs, set: result.Set, rendered: took, decrypted: e.DecryptedKinds}
	d.everyCommit = everyCommit(result.Set)
	input := []string{result.Inputs.Digest(), e.Settings}
	if d.everyCommit {
		input = append(input, commit)
	}
	d.digest = manifest.Digest(strings.Join(input, "\n"))
	return d, nil
}

// warnings returns the warnings about Git that all users should see.
func (d desired) warnings() []string {
	var list []string
	for _, w := range d.set.Warnings {
		if w.Level == manifest.Warn {
			list = append(list, w.String())
		}
	}
	return list
}

// unreadable returns the error of a commit that cannot be fetched. If the server answered, the error is the commit's
// own.
func (e Environment) unreadable(commit string, err error) error {
	reason := source.ReasonOf(err)
	if e.Pinned && commit == e.Commit {
		err = fmt.Errorf("spec.pin names a commit that cannot be fetched: %w; to follow the branch again: berth pin %s --unpin", err, e.Name)
	}
	switch reason {
	case source.TooLarge, source.Refused, source.Corrupt, source.Unsupported, source.Invalid:
		return &unread{err}
	}
	return &unavailable{err}
}

// lasting marks errors as temporary that come from fetching or decrypting a commit, and not from the commit itself. The
// next pass fetches the commit again and asks the remote key again.
func lasting(err error) error {
	switch source.ReasonOf(err) {
	case source.Dropped, source.Corrupt, source.Unreachable:
		return &unavailable{err}
	}
	if temporary(err) {
		return &unavailable{err}
	}
	return err
}

// lasts reports whether an error comes from the commit itself, so that the same input gives the same error.
func lasts(err error) bool {
	return !isRendering(err) && !passes(err)
}

// temporary reports whether the same commit and keys may work later.
func temporary(err error) bool {
	var t interface {
		error
		Temporary() bool
	}
	return errors.As(err, &t) && t.Temporary()
}

// withCopies prepends the copies, except those for which Git has an object of its own.
func (e Environment) withCopies(s manifest.Set) manifest.Set {
	brought := make(map[manifest.Key]bool, s.Len())
	for _, o := range s.Objects {
		brought[o.Key()] = true
	}
	var copies []manifest.Object
	for _, c := range e.Copies {
		if o := (manifest.Object{Unstructured: c.Object, Origin: manifest.Origin{File: c.Origin}, Yields: true}); !brought[o.Key()] {
			copies = append(copies, o)
		}
	}
	s.Objects = append(copies, s.Objects...)
	return s
}

func everyCommit(s manifest.Set) bool {
	for _, o := range s.Objects {
		if o.GetAnnotations()[manifest.AnnotationJob] == "every-commit" {
			return true
		}
	}
	return false
}

// unread is the error of a commit that its server does not deliver, or not within the limits.
type unread struct{ error }

func (u *unread) Unwrap() error { return u.error }

// unavailable is the error of a commit that cannot be fetched now because of its server. The Repository's conditions
// report it. All other errors come from the commit itself.
type unavailable struct{ error }

func (u *unavailable) Unwrap() error { return u.error }
