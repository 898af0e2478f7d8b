package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/checkout"
	"berth.dev/berth/cmd/internal/inspect"
	"berth.dev/berth/cmd/internal/output"
	"berth.dev/berth/reconciler/clusters"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/naming"
	"berth.dev/berth/reconciler/render"
)

// diffOptions are the flags of `berth diff`.
type diffOptions struct {
	which
	elsewhere            elsewhere
	path, commit, output string
	keys                 keyFlags
	showSecrets          bool
}

func newDiff(s streams) *cobra.Command {
	o := &diffOptions{}
	c := &cobra.Command{
		Use:   "diff ENV",
		Short: "Show what a sync of an environment would do, field by field",
		Long: `Show what a sync would do to an environment: which objects it would create, change, replace and
delete, and why, field by field. It plans as the agent does, and lets the API server compute each
object by a dry run; nothing is changed. Values are masked in Secrets, and in other kinds that the
entry allows to hold decrypted values.

It shows the commit that the environment should run, or the one of --commit. It reads commits from
the Git repository around the current folder. With --path it shows the manifests in a folder,
including uncommitted changes.

It reads with your rights. Without the right to change the objects, it compares only the fields in
the manifests. Without the right to read the agent's records, it shows a Job that ran and was deleted
as one to create. Encrypted files are decrypted in memory, with the entry's key Secret if you may
read it, or with --keys; remote keys are not used. Secrets that the entry copies are left out. An
environment in another cluster is read with your rights there, by the context of the cluster's name
or the one of --cluster-context.

Exits with 0 if there is nothing to do, with 1 if there is something, with 3 if something would be
refused or cannot be determined.`,
		Example: `  berth diff feature/login
  berth diff posts.production.main --commit "$(git rev-parse HEAD)"
  berth diff posts.production.main --path infra/production --keys production.agekey`,
		Args:              atMostOne,
		ValidArgsFunction: o.completeArgs,
		RunE:              func(c *cobra.Command, args []string) error { return o.run(c, s, args) },
	}
	o.addTo(c)
	o.elsewhere.addTo(c.Flags(), &o.connection)
	must(c.RegisterFlagCompletionFunc("cluster-context", completeContexts(&o.connection)))
	c.Flags().StringVar(&o.path, "path", "", "folder of the manifests, instead of a commit")
	c.Flags().StringVar(&o.commit, "commit", "", "commit of the repository around the current folder")
	addKeys(c, &o.keys, "; without it, the entry's key Secret is read")
	c.Flags().BoolVar(&o.showSecrets, "show-secrets", false, "print the values of Secrets")
	addOutput(c, &o.output, "json or yaml", output.JSON, output.YAML)
	return c
}

func (o *diffOptions) run(c *cobra.Command, s streams, args []string) error {
	if err := o.needed(c, args); err != nil {
		return err
	}
	format := formatTable
	if o.output != "" {
		var err error
		if format, err = output.Parse(o.output, output.JSON, output.YAML); err != nil {
			return usageError(c, "%w", err)
		}
	}
	if o.path != "" && o.commit != "" {
		return usageError(c, "--path and --commit are two different sources: choose one")
	}
	v, err := o.open()
	if err != nil {
		return err
	}
	env, err := o.environment(c.Context(), v, args)
	if err != nil {
		return err
	}
	if err := o.elsewhere.misplaced(env); err != nil {
		return usageError(c, "%w", err)
	}
	there, err := o.elsewhere.viewer(v, env, "berth diff "+env.Name)
	if err != nil {
		return fmt.Errorf("%s: %w", env.Name, err)
	}
	chosen, err := v.entryOf(c.Context(), env)
	if err != nil {
		return err
	}
	decrypter, err := v.decrypter(c.Context(), s, o.keys, chosen)
	if err != nil {
		return err
	}
	p := &prospect{viewer: v, there: there, env: env, choice: chosen, decrypter: decrypter, mask: chosen.mask(), complain: func(note string) { fmt.Fprintln(s.err, "note:", output.Plain(note)) }}
	if o.showSecrets {
		p.mask = nil
	}
	set, commit, err := o.render(c.Context(), s, p)
	if err != nil {
		return err
	}
	steps, err := p.steps(c.Context(), set, commit)
	if err != nil {
		return err
	}
	if len(steps) == 0 && o.path == "" {
		p.complain(fmt.Sprintf("commit %s changes nothing; to compare files that are not committed yet: berth diff %s --path %s",
			output.ShortCommit(commit), env.Name, cmp.Or(chosen.entry.Path, ".")))
	}
	return printSteps(s.out, steps, format)
}

// entryOf reads the entry of an environment.
func (v *viewer) entryOf(ctx context.Context, env *v1alpha1.Environment) (choice, error) {
	repo, err := v.repositoryNamed(ctx, env.Spec.Repository)
	if err != nil {
		return choice{}, err
	}
	if entry := naming.EntryOf(repo, env); entry != nil {
		return chosen(repo, entry)
	}
	return choice{}, fmt.Errorf("the Repository %s has no entry %s any more: nothing is synced", env.Spec.Repository, env.Spec.Entry)
}

// render returns the objects of a commit or folder, and the commit.
func (o *diffOptions) render(ctx context.Context, s streams, p *prospect) (manifest.Set, string, error) {
	commit := target(p.env)
	tree, folder, done, err := o.tree(p.choice, &commit)
	if err != nil {
		return manifest.Set{}, "", err
	}
	set, err := p.render(ctx, s.err, tree, folder, commit)
	return set, commit, errors.Join(err, done())
}

// render returns the objects that the files of a commit have for the environment. It prints warnings, and the details of
// errors.
func (p *prospect) render(ctx context.Context, w io.Writer, tree render.Tree, folder, commit string) (manifest.Set, error) {
	subject := naming.SubjectOf(p.env, p.patterns)
	subject.Commit = commit
	options := p.options(folder, subject)
	options.ClusterScoped, options.Decrypter = clusters.Scopes(p.there.RESTMapper()), p.decrypter
	result, err := render.Render(ctx, tree, options)
	warn(w, result.Set.Warnings)
	switch {
	case ctx.Err() != nil:
		return manifest.Set{}, ctx.Err()
	case err != nil:
		return manifest.Set{}, complain(w, err)
	}
	// Only the agent has its key, so the digests of Secrets always differ. The dry runs show whether the Secrets
	// do.
	return result.Set, result.Set.Seal(nil, options.Decrypted)
}

// tree opens the files to render.
func (o *diffOptions) tree(c choice, commit *string) (tree *checkout.Tree, folder string, done func() error, err error) {
	if o.path != "" {
		tree, folder, err := checkout.Open(o.path)
		if err != nil {
			return nil, "", nil, fmt.Errorf("cannot open the folder %s: %w", o.path, err)
		}
		return tree, folder, tree.Close, nil
	}
	asked := *commit
	if o.commit != "" {
		asked = o.commit
	}
	tree, full, done, err := checkout.OpenCommit(".", asked)
	if err != nil {
		return nil, "", nil, fmt.Errorf("cannot read commit %s: %w; go to a clone of %s that has it (git fetch), or name the folder of the manifests with --path",
			output.ShortCommit(asked), err, c.repository.Spec.URL)
	}
	*commit = full
	return tree, c.entry.Path, done, nil
}

// printSteps prints the steps, and returns an error if there are any.
func printSteps(w io.Writer, steps []inspect.Step, format output.Format) error {
	if format != formatTable {
		if err := format.Write(w, map[string]any{"steps": append([]inspect.Step{}, steps...)}); err != nil {
			return err
		}
	}
	refused := 0
	for _, step := range steps {
		if step.Refused != "" {
			refused++
		}
		if format == formatTable {
			if _, err := io.WriteString(w, textOf(step)); err != nil {
				return err
			}
		}
	}
	switch {
	case refused > 0:
		return fmt.Errorf("%s would be refused, and the sync would not begin or not succeed", output.Count(refused, "object"))
	case len(steps) > 0:
		return errUnhealthy
	}
	return nil
}

// textOf returns a step in words: the action, the reason, and the changed fields.
func textOf(s inspect.Step) string {
	var b strings.Builder
	line := s.Action + " " + s.Object
	if s.Origin != "" {
		line += " (" + s.Origin + ")"
	}
	for _, why := range []string{s.Reason, s.Blocked} {
		if why != "" {
			line += ": " + why
		}
	}
	b.WriteString(output.Plain(line) + "\n")
	if s.Refused != "" {
		b.WriteString("  ! " + output.Plain(s.Refused) + "\n")
	}
	for _, change := range s.Fields {
		for _, line := range change.Lines() {
			b.WriteString(output.Line("  "+line) + "\n")
		}
	}
	return b.String()
}
