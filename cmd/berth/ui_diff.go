package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/checkout"
	"berth.dev/berth/cmd/internal/inspect"
	"berth.dev/berth/cmd/internal/output"
	"berth.dev/berth/reconciler/fields"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/render"
)

// differ compares commits for the page, as `berth diff` does. It reads them from the Git repository around the folder in
// which `berth ui` was started, or else from the Git server, if the viewer may.
type differ struct {
	*viewer
	elsewhere *elsewhere
}

// opener opens the files of a commit.
type opener func(ctx context.Context, repo *v1alpha1.Repository, commit string) (render.Tree, func(), error)

// Prospect returns what a sync to a commit would do to an environment, and what could not be determined.
func (d differ) Prospect(ctx context.Context, env *v1alpha1.Environment, commit string) (steps []inspect.Step, notes []string, err error) {
	p, err := d.prospect(ctx, env, &notes)
	if err != nil {
		return nil, notes, err
	}
	set, err := p.rendered(ctx, d.anywhere, commit, &notes)
	if err != nil {
		return nil, notes, err
	}
	steps, err = p.steps(ctx, set, commit)
	return steps, notes, err
}

// Compare returns how the objects of two commits differ.
func (d differ) Compare(ctx context.Context, env *v1alpha1.Environment, from, to string) (steps []inspect.Step, notes []string, err error) {
	p, err := d.prospect(ctx, env, &notes)
	if err != nil {
		return nil, notes, err
	}
	before, err := p.rendered(ctx, d.anywhere, from, &notes)
	if err != nil {
		return nil, notes, err
	}
	after, err := p.rendered(ctx, d.anywhere, to, &notes)
	if err != nil {
		return nil, notes, err
	}
	return p.between(before, after), notes, nil
}

// Origins returns where the objects of a commit are in Git. It asks no Git server: every new commit on an open page would
// be fetched.
func (d differ) Origins(ctx context.Context, env *v1alpha1.Environment, commit string) (map[string]string, error) {
	var notes []string // other screens show them
	p, err := d.prospect(ctx, env, &notes)
	if err != nil {
		return nil, err
	}
	set, err := p.rendered(ctx, cloned, commit, &notes)
	if err != nil {
		return nil, err
	}
	places := map[string]string{}
	for _, o := range set.Objects {
		key := o.Key()
		places[inspect.ID(key.Group, key.Kind, key.Namespace, key.Name)] = o.Origin.String()
	}
	return places, nil
}

func (d differ) prospect(ctx context.Context, env *v1alpha1.Environment, notes *[]string) (*prospect, error) {
	there, err := d.elsewhere.viewer(d.viewer, env, "berth ui")
	if err != nil {
		return nil, err
	}
	chosen, err := d.entryOf(ctx, env)
	if err != nil {
		return nil, err
	}
	decrypter, err := d.decrypter(ctx, streams{err: io.Discard}, keyFlags{}, chosen)
	if err != nil {
		return nil, err
	}
	complain := func(note string) { *notes = append(*notes, note) }
	return &prospect{viewer: d.viewer, there: there, env: env, choice: chosen, decrypter: decrypter, mask: chosen.mask(), complain: complain}, nil
}

// cloned opens a commit of the Git repository around the current folder.
func cloned(_ context.Context, _ *v1alpha1.Repository, commit string) (render.Tree, func(), error) {
	tree, _, done, err := checkout.OpenCommit(".", commit)
	if err != nil {
		return nil, nil, err
	}
	return tree, func() { _ = done() }, nil // files left in the temporary folder are not worth an error
}

// anywhere opens a commit of that repository, or else of the Git server.
func (d differ) anywhere(ctx context.Context, repo *v1alpha1.Repository, commit string) (render.Tree, func(), error) {
	if tree, done, err := cloned(ctx, repo, commit); err == nil {
		return tree, done, nil
	}
	t := &trees{viewer: d.viewer, repo: repo, needed: []string{commit}}
	tree, err := t.at(ctx, commit)
	if err != nil {
		t.close()
		return nil, nil, fmt.Errorf("cannot read commit %s: %w; start berth ui in a clone of %s that has it (git fetch)", output.ShortCommit(commit), err, repo.Spec.URL)
	}
	return tree, t.close, nil
}

// rendered renders a commit. What the command would print to the standard error becomes notes.
func (p *prospect) rendered(ctx context.Context, open opener, commit string, notes *[]string) (manifest.Set, error) {
	tree, done, err := open(ctx, p.repository, commit)
	if err != nil {
		return manifest.Set{}, err
	}
	defer done()
	var said bytes.Buffer
	set, err := p.render(ctx, &said, tree, p.entry.Path, commit)
	for line := range strings.Lines(said.String()) {
		if line = strings.TrimSpace(line); !slices.Contains(*notes, line) {
			*notes = append(*notes, line)
		}
	}
	return set, err
}

// between returns how the objects of two sets differ, sorted by their names.
func (p *prospect) between(before, after manifest.Set) []inspect.Step {
	was := map[manifest.Key]manifest.Object{}
	for _, o := range before.Objects {
		was[o.Key()] = o
	}
	var steps []inspect.Step
	for _, o := range after.Objects {
		old, there := was[o.Key()]
		delete(was, o.Key())
		step := inspect.Step{Action: "create", Object: p.nameOf(o.Key()), Origin: o.Origin.String()}
		if there {
			step.Action = "change"
		}
		if step.Fields = p.differing(old.Unstructured, o.Unstructured); len(step.Fields) > 0 {
			steps = append(steps, step)
		}
	}
	for key, o := range was {
		steps = append(steps, inspect.Step{Action: "delete", Object: p.nameOf(key), Origin: o.Origin.String()})
	}
	slices.SortFunc(steps, func(a, b inspect.Step) int { return cmp.Compare(a.Object, b.Object) })
	return steps
}

func (p *prospect) differing(before, after *unstructured.Unstructured) []fields.Change {
	changes := fields.Compare(before, after)
	if p.mask.Hides(after.GroupVersionKind().GroupKind()) {
		return fields.Hide(changes)
	}
	return changes
}
