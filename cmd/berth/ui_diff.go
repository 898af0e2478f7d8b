package main

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/fields"
	"berth.dev/berth/cmd/internal/inspect"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/render"
)

// differ compares commits for the page, as `berth diff` does. It reads them from the Git repository around the folder in
// which `berth ui` was started.
type differ struct{ *viewer }

// Prospect returns what a sync to a commit would do to an environment, and what could not be determined.
func (d differ) Prospect(ctx context.Context, env *v1alpha1.Environment, commit string) (steps []inspect.Step, notes []string, err error) {
	p, decrypter, err := d.prospect(ctx, env, &notes)
	if err != nil {
		return nil, notes, err
	}
	set, full, err := d.rendered(ctx, p, decrypter, commit, &notes)
	if err != nil {
		return nil, notes, err
	}
	steps, err = p.steps(ctx, set, full)
	return steps, notes, err
}

// Compare returns how the objects of two commits differ.
func (d differ) Compare(ctx context.Context, env *v1alpha1.Environment, from, to string) (steps []inspect.Step, notes []string, err error) {
	p, decrypter, err := d.prospect(ctx, env, &notes)
	if err != nil {
		return nil, notes, err
	}
	before, _, err := d.rendered(ctx, p, decrypter, from, &notes)
	if err != nil {
		return nil, notes, err
	}
	after, _, err := d.rendered(ctx, p, decrypter, to, &notes)
	if err != nil {
		return nil, notes, err
	}
	return p.between(before, after), notes, nil
}

// Origins returns where the objects of a commit are in Git.
func (d differ) Origins(ctx context.Context, env *v1alpha1.Environment, commit string) (map[string]string, error) {
	var notes []string // other screens show them
	p, decrypter, err := d.prospect(ctx, env, &notes)
	if err != nil {
		return nil, err
	}
	set, _, err := d.rendered(ctx, p, decrypter, commit, &notes)
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

func (d differ) prospect(ctx context.Context, env *v1alpha1.Environment, notes *[]string) (*prospect, render.Decrypter, error) {
	chosen, err := d.entryOf(ctx, env)
	if err != nil {
		return nil, nil, err
	}
	decrypter, err := d.decrypter(ctx, streams{err: &bytes.Buffer{}}, keyFlags{}, chosen)
	if err != nil {
		return nil, nil, err
	}
	complain := func(note string) { *notes = append(*notes, note) }
	return &prospect{viewer: d.viewer, env: env, choice: chosen, mask: chosen.mask(), complain: complain}, decrypter, nil
}

// rendered renders a commit. What the command would print to the standard error becomes notes.
func (d differ) rendered(ctx context.Context, p *prospect, decrypter render.Decrypter, commit string, notes *[]string) (manifest.Set, string, error) {
	var said bytes.Buffer
	set, full, err := (&diffOptions{commit: commit}).render(ctx, streams{err: &said}, p, decrypter)
	for line := range strings.Lines(said.String()) {
		if line = strings.TrimSpace(line); !slices.Contains(*notes, line) {
			*notes = append(*notes, line)
		}
	}
	return set, full, err
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
