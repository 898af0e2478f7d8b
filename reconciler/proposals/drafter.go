package proposals

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"berth.dev/berth/reconciler"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/render"
)

// DrafterConfig has the dependencies of a Drafter.
type DrafterConfig struct {
	// Environment returns the settings of an Environment, for content that must not be decrypted.
	Environment func(ctx context.Context, s Subject) (reconciler.Environment, error)
	// Trees returns the files of commits, which may come from a merge request.
	Trees func(ctx context.Context, s Subject, commits ...string) ([]render.Tree, error)
	// Passes returns what makes the passes of an environment in its cluster. An error says why it cannot make any now.
	Passes func(ctx context.Context, e reconciler.Environment) (Passes, error)
}

// Passes makes the passes of environments, see reconciler.Reconciler.
type Passes interface {
	// RenderOptions returns how the folder of an environment is rendered, with the variables of a commit.
	RenderOptions(e reconciler.Environment, commit string) render.Options
	// Foresee returns what passes would do.
	Foresee(ctx context.Context, e reconciler.Environment, c reconciler.Candidate) (reconciler.Prospect, error)
}

// Drafter makes plans, one at a time.
type Drafter struct {
	DrafterConfig
	last rendered
}

// rendered is the render of a target branch. Plans of several merge requests share it.
type rendered struct {
	environment, settings, commit string
	result                        render.Result
	err                           error
}

// NewDrafter returns a Drafter.
func NewDrafter(c DrafterConfig) *Drafter { return &Drafter{DrafterConfig: c} }

// Draft returns the plan of a merge. An error may pass, such as a Git server that does not answer.
func (d *Drafter) Draft(ctx context.Context, w Want) (Plan, error) {
	e, err := d.Environment(ctx, w.Subject)
	if err != nil {
		return Plan{}, err
	}
	e.Decrypter, e.Urgent = Concealer{}, false
	passes, err := d.Passes(ctx, e)
	if err != nil {
		return Plan{}, err
	}
	trees, err := d.trees(ctx, w)
	if err != nil {
		return Plan{}, err
	}
	plan, err := d.compare(ctx, passes, e, w, trees)
	plan.Outdated = isOutdated(trees[1], w)
	return plan, err
}

// isOutdated reports whether the forge merged an earlier head than the one that was pushed.
func isOutdated(tree render.Tree, w Want) bool {
	merge, ok := tree.(interface{ Parents() []string })
	if !ok || w.Parent == "" {
		return false
	}
	parents := merge.Parents()
	return len(parents) == 2 && parents[1] != w.Parent
}

// compare returns the plan of a merge, whose trees are there.
func (d *Drafter) compare(ctx context.Context, passes Passes, e reconciler.Environment, w Want, trees []render.Tree) (Plan, error) {
	// The id of the commit that the merge makes is not known yet, so all sides have the variables of the target's.
	options := passes.RenderOptions(e, w.Target)
	target, err := d.target(ctx, e, w, trees[0], options)
	if err != nil {
		return Plan{}, err
	}
	if target.err == nil && target.result.Inputs.Same(trees[1], options.Variables) {
		return Plan{Environment: e.Name, Commit: w.Commit}, nil
	}
	next, err := render.Render(ctx, trees[1], options)
	if mayPass(ctx, err) {
		return Plan{}, err
	}
	if target.err != nil || err != nil {
		return unrenderable(e, w, target.err, err), nil
	}
	set, both := next.Set, []manifest.Key(nil)
	if len(trees) > 2 {
		base, err := render.Render(ctx, trees[2], options)
		switch {
		case mayPass(ctx, err):
			return Plan{}, err
		case err == nil: // otherwise the branch began at a commit that does not render, and repaired it
			set, both = merge(base.Set, target.result.Set, next.Set)
		}
	}
	return d.plan(ctx, passes, e, w, sides{target.result, set, both, next.Inputs})
}

// trees returns the files of the target and of the merge; and those of the commit that the branch or the merge began at, unless
// that is the target.
func (d *Drafter) trees(ctx context.Context, w Want) ([]render.Tree, error) {
	commits := []string{w.Target, w.Commit}
	if w.Base != "" && w.Base != w.Target {
		commits = append(commits, w.Base)
	}
	trees, err := d.Trees(ctx, w.Subject, commits...)
	if err != nil || w.Base != "" {
		return trees, err
	}
	onto := ontoOf(trees[1], w)
	if onto == "" || onto == w.Target {
		return trees, nil
	}
	before, err := d.Trees(ctx, w.Subject, onto)
	return append(trees, before...), err
}

// ontoOf returns the commit that a forge merged a head onto. The target branch may have moved since. Empty: it made no merge.
func ontoOf(tree render.Tree, w Want) string {
	merge, ok := tree.(interface{ Parents() []string })
	if !ok || w.Commit == w.Head {
		return ""
	}
	if parents := merge.Parents(); len(parents) == 2 && parents[1] == w.Head {
		return parents[0]
	}
	return ""
}

// sides are what is compared: the target branch, and what it would be after the merge.
type sides struct {
	current render.Result
	next    manifest.Set
	both    []manifest.Key
	inputs  render.Inputs
}

// plan compares, and asks the plan and the cluster about what differs.
func (d *Drafter) plan(ctx context.Context, in Passes, e reconciler.Environment, w Want, r sides) (Plan, error) {
	differs := compare(r.current.Set, r.next, e.DecryptedKinds)
	if len(differs.list) == 0 {
		return Plan{Environment: e.Name, Commit: w.Commit}, nil
	}
	found, err := in.Foresee(ctx, e, reconciler.Candidate{Current: r.current.Set, Next: r.next, Changed: differs.changed, Proved: differs.proved, Unnamed: unnamed(r.next), Commit: w.Commit})
	if err != nil {
		return Plan{}, err
	}
	p := conclude(e, differs, r.next, found)
	p.Commit = w.Commit
	p.Remarks = remarks(e, r)
	return p, nil
}

// remarks returns what else is to be known about a plan.
func remarks(e reconciler.Environment, r sides) (list []string) {
	if e.Problem != nil {
		list = append(list, "nothing new is applied now: "+e.Problem.Error())
	}
	if e.Suspended {
		list = append(list, "the environment is suspended: nothing happens before it is resumed")
	}
	if e.Pinned {
		list = append(list, "the environment is pinned to a commit: nothing happens before it is unpinned")
	}
	if len(r.both) > 0 {
		names := make([]string, 0, len(r.both))
		for _, key := range r.both[:min(5, len(r.both))] {
			names = append(names, key.Short())
		}
		list = append(list, fmt.Sprintf("both branches changed %s (%s): the plan has what this branch says", counted(len(r.both), "object"), strings.Join(names, ", ")))
	}
	if namesCommit(r.inputs) {
		list = append(list, "manifests use variables of the commit: what differs in these alone is not listed")
	}
	return list
}

// commitVariables are the variables whose values change with every commit.
var commitVariables = []string{"COMMIT", "COMMIT_SHORT", "CI_COMMIT_SHA", "CI_COMMIT_SHORT_SHA"}

func namesCommit(i render.Inputs) bool {
	return slices.ContainsFunc(commitVariables, func(name string) bool { _, used := i.Variables[name]; return used })
}

// target renders the target branch, unless the last plan was for the same.
func (d *Drafter) target(ctx context.Context, e reconciler.Environment, w Want, tree render.Tree, o render.Options) (rendered, error) {
	want := rendered{environment: e.Name, settings: e.Settings, commit: w.Target}
	if l := d.last; l.environment == want.environment && l.settings == want.settings && l.commit == want.commit && l.result.Inputs.SameScopes(o.ClusterScoped) {
		return l, nil
	}
	want.result, want.err = render.Render(ctx, tree, o)
	if mayPass(ctx, want.err) {
		return want, want.err
	}
	d.last = want
	return want, nil
}

// mayPass reports whether an error of a render may pass, such as that of a cluster that does not answer.
func mayPass(ctx context.Context, err error) bool {
	var temporary interface{ Temporary() bool }
	return err != nil && (ctx.Err() != nil || errors.As(err, &temporary) && temporary.Temporary())
}

// unrenderable returns the plan of a merge of which a side does not render.
func unrenderable(e reconciler.Environment, w Want, target, next error) Plan {
	p := Plan{Environment: e.Name, Commit: w.Commit}
	switch {
	case next == nil:
		p.Problems = []string{"the target branch does not render, so there is nothing to compare with; with this merge it does: " + first(target)}
	case target != nil && target.Error() == next.Error():
		return p // the merge changes nothing
	default:
		p.Problems = strings.Split(next.Error(), "\n")
	}
	return p
}

// first returns the first of joined errors.
func first(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
