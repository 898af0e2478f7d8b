package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/checkout"
	"berth.dev/berth/cmd/internal/checkup"
	"berth.dev/berth/cmd/internal/output"
	"berth.dev/berth/reconciler/agent"
	"berth.dev/berth/reconciler/branches"
	"berth.dev/berth/reconciler/clusters"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/naming"
	"berth.dev/berth/reconciler/render"
	"berth.dev/berth/reconciler/stores"
	"berth.dev/berth/source"
)

// anyBranch stands for a branch of an entry whose pattern names none.
const anyBranch = "any-branch"

// checkFiles checks the files of a checkout.
func (o *checkOptions) checkFiles(c *cobra.Command, s streams, r *checkReport) error {
	choices, err := o.choices(s)
	if err != nil {
		return err
	}
	if len(choices) > 1 && (o.files.keys.file != "" || o.files.path != "") {
		return usageError(c, "--keys and --path are those of one entry: name it with --entry")
	}
	for _, chosen := range choices {
		var decrypter render.Decrypter = locked{why: errors.New("no keys were named with --keys, so that it was not tried")}
		if o.files.keys.file != "" {
			if decrypter, err = openerOf(s, o.files.keys); err != nil {
				return err
			}
		}
		tree, folder, err := chosen.open(&o.files)
		if err != nil {
			return err
		}
		subject := chosen.subject(cmp.Or(o.files.branch, chosen.ownBranch()))
		subject.Commit = o.files.commit
		options := chosen.options(folder, subject)
		options.Decrypter = decrypter
		about := checkup.EntryName(chosen.repository, chosen.entry)
		survey := checkup.Look(c.Context(), about, tree, options)
		found := slices.Concat(chosen.ofAgent(about), survey.Findings, survey.Problems, chosen.neverRun(about, survey.LastJobs))
		if len(survey.Findings)+len(survey.Problems) == 0 {
			found = append(found, unencrypted(about))
		}
		r.add(found...)
		if err := tree.Close(); err != nil {
			return err
		}
	}
	return nil
}

// choices returns the selected entries, or a stand-in if there is no Repository.
func (o *checkOptions) choices(s streams) ([]choice, error) {
	if o.files.repository == "" {
		o.files.branch = cmp.Or(o.files.branch, anyBranch)
		c, err := o.files.choose(s)
		return []choice{c}, err
	}
	if o.files.entry != "" {
		c, err := entryNamed(s, o.files.repository, o.files.entry)
		return []choice{c}, err
	}
	all, err := readEntries(s, o.files.repository)
	if o.files.branch != "" {
		all = slices.DeleteFunc(all, func(c choice) bool { return !c.patterns.Match(o.files.branch) })
	}
	if err == nil && len(all) == 0 {
		return nil, fmt.Errorf("%s: no entry matches the branch %q: it gets no environment", o.files.repository, o.files.branch)
	}
	return all, err
}

// ofAgent names the agent of an entry, if it has one.
func (c choice) ofAgent(about string) []checkup.Finding {
	if c.entry.Agent == "" {
		return nil
	}
	return []checkup.Finding{{Result: checkup.OK, About: about, Check: "agent", Message: "it belongs to " + branches.NameOf(c.entry.Agent) + ", and other agents leave it alone"}}
}

// ownBranch returns the branch of an entry that names one.
func (c choice) ownBranch() string {
	if c.patterns.Literal() {
		return string(c.entry.Branches[0])
	}
	return anyBranch
}

// neverRun warns of Jobs that are meant to run at the end of an environment of the entry, but never do.
func (c choice) neverRun(about string, jobs []checkup.LastJob) []checkup.Finding {
	if !c.orphans() {
		return nil
	}
	var found []checkup.Finding
	for _, job := range jobs {
		found = append(found, checkup.Finding{Result: checkup.Warning, About: about, Check: job.Origin.String(), Message: fmt.Sprintf(
			"%s: it never runs: the removal policy of entry %s is Orphan, and %s: on-removal runs only on a removal; set onRemoval: Delete, or remove the Job",
			job.Name, c.entry.Name, manifest.AnnotationJob)})
	}
	return found
}

// orphans reports whether the objects of the entry's environments stay when an environment is deleted.
func (c choice) orphans() bool {
	return len(c.entry.Branches) > 0 && naming.RemovalOf(c.entry, c.patterns) == v1alpha1.RemovalOrphan
}

func unencrypted(about string) checkup.Finding {
	return checkup.Finding{Result: checkup.OK, About: about, Check: "files", Message: "no file is encrypted"}
}

// checkEntries checks the files of every commit that should run. It checks a commit once, even if several branches
// share it.
func (v *viewer) checkEntries(ctx context.Context, s streams, o *checkOptions, repo *v1alpha1.Repository, environments []v1alpha1.Environment) []checkup.Finding {
	trees := &trees{viewer: v, repo: repo}
	for i := range environments {
		trees.needed = append(trees.needed, target(&environments[i]))
	}
	defer trees.close()
	var found []checkup.Finding
	for i := range repo.Spec.Environments {
		entry := &repo.Spec.Environments[i]
		if o.files.entry != "" && o.files.entry != entry.Name || !checkup.RunsHere(repo, entry) {
			continue
		}
		of := slices.DeleteFunc(slices.Clone(environments), func(env v1alpha1.Environment) bool {
			return naming.EntryOf(repo, &env) != entry || !isOrAny(env.Spec.Branch, o.files.branch) || target(&env) == ""
		})
		decrypter := func(c choice) (render.Decrypter, error) { return v.decrypter(ctx, s, o.files.keys, c) }
		found = append(found, trees.check(ctx, entry, of, decrypter)...)
	}
	return found
}

// check checks the files of an entry.
func (t *trees) check(ctx context.Context, entry *v1alpha1.Entry, environments []v1alpha1.Environment, keys func(choice) (render.Decrypter, error)) []checkup.Finding {
	about := checkup.EntryName(t.repo, entry)
	unknown := func(format string, args ...any) []checkup.Finding {
		return []checkup.Finding{{Result: checkup.Unknown, About: about, Check: "files", Message: fmt.Sprintf(format, args...)}}
	}
	chosen, err := chosen(t.repo, entry)
	if err != nil {
		return unknown("%v", err)
	}
	if len(environments) == 0 {
		return []checkup.Finding{{Result: checkup.OK, About: about, Check: "files", Message: "no branch has an environment of this entry, so there are no files to check"}}
	}
	decrypter, err := keys(chosen)
	if err != nil {
		return unknown("%v", err)
	}
	looking := surveys{about: about}
	var found []checkup.Finding
	for i := range environments {
		env := &environments[i]
		tree, err := t.at(ctx, target(env))
		if err != nil {
			found = append(found, unknown("commit %s of %s cannot be read: %v", output.ShortCommit(target(env)), env.Spec.Branch, err)...)
			continue
		}
		subject := naming.SubjectOf(env, chosen.patterns)
		subject.Commit = target(env)
		options := chosen.options(entry.Path, subject)
		options.Decrypter, options.ClusterScoped = decrypter, clusters.Scopes(t.RESTMapper())
		looking.look(ctx, tree, options, env.Spec.Branch)
	}
	for _, l := range looking.looked {
		found = append(found, l.found()...)
		found = append(found, chosen.neverRun(about, l.LastJobs)...)
	}
	if len(found) == 0 {
		return []checkup.Finding{unencrypted(about)}
	}
	return merged(found)
}

// lookedAt is a survey, and the branches that it is valid for.
type lookedAt struct {
	checkup.Survey
	branches []string
}

// surveys are the surveys of an entry's branches.
type surveys struct {
	about  string
	looked []lookedAt
}

// look adds a branch, and renders it unless an earlier branch had the same files.
func (s *surveys) look(ctx context.Context, tree render.Tree, o render.Options, branch string) {
	for i := range s.looked {
		if (render.Inputs{Hashes: s.looked[i].Inputs.Hashes}).Same(tree, nil) {
			s.looked[i].branches = append(s.looked[i].branches, branch)
			return
		}
	}
	s.looked = append(s.looked, lookedAt{checkup.Look(ctx, s.about, tree, o), []string{branch}})
}

// found returns the findings, including those that prevent rendering or ordering. An environment's status shows
// these only after the agent has tried.
func (l lookedAt) found() []checkup.Finding {
	for i := range l.Findings {
		if file := l.Findings[i].File; file != nil {
			file.Branches = l.branches
		}
	}
	for i := range l.Problems {
		l.Problems[i].Message += " (" + strings.Join(l.branches, ", ") + ")"
	}
	return append(l.Findings, l.Problems...)
}

// merged combines findings that differ only in their branches.
func merged(all []checkup.Finding) []checkup.Finding {
	type id struct {
		result         checkup.Result
		check, message string
	}
	first := map[id]int{}
	var found []checkup.Finding
	for _, f := range all {
		key := id{f.Result, f.Check, f.Message}
		if i, again := first[key]; again {
			if f.File != nil {
				found[i].File.Branches = append(found[i].File.Branches, f.File.Branches...)
			}
			continue
		}
		first[key] = len(found)
		found = append(found, f)
	}
	return found
}

// trees are the files of a Repository's commits. They come from its server, as the agent reads them. If the user's
// rights or network do not allow that, they come from the clone around the current folder.
type trees struct {
	*viewer
	repo   *v1alpha1.Repository
	needed []string

	store   *source.Repository
	fetched error
	open    map[string]render.Tree
	done    []func() error
}

// at returns the files of a commit.
func (t *trees) at(ctx context.Context, commit string) (render.Tree, error) {
	if t.open == nil {
		t.open = map[string]render.Tree{}
		t.fetched = t.fetch(ctx)
	}
	if tree := t.open[commit]; tree != nil {
		return tree, nil
	}
	why := t.fetched
	if t.store != nil && (why == nil || source.ReasonOf(why) == source.Refused) { // the refusal may concern another commit
		snapshot, err := t.store.Snapshot(ctx, commit)
		if err == nil {
			t.open[commit] = snapshot
			return snapshot, nil
		}
		why = err
	}
	tree, _, done, err := checkout.OpenCommit(".", commit)
	if err != nil {
		return nil, fmt.Errorf("%w; or go to a clone that has it, for %w", why, err)
	}
	t.done = append(t.done, done)
	t.open[commit] = tree
	return tree, nil
}

// fetch fetches all commits at once.
func (t *trees) fetch(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "berth-check-")
	if err != nil {
		return err
	}
	t.done = append(t.done, func() error { return os.RemoveAll(dir) })
	stores := stores.New(stores.Config{Dir: dir, Credentials: t.credentials, Proxy: http.ProxyFromEnvironment})
	if t.store, _, err = stores.Open(ctx, t.repo); err != nil {
		return err
	}
	t.done = append(t.done, t.store.Close)
	slices.Sort(t.needed)
	return t.store.Fetch(ctx, slices.DeleteFunc(slices.Compact(t.needed), func(commit string) bool { return commit == "" })...)
}

// credentials returns those of the Repository, if the user may read them.
func (t *trees) credentials(ctx context.Context, repo *v1alpha1.Repository) (source.Credentials, error) {
	credentials, err := agent.GitCredentials(t)(ctx, repo)
	if apierrors.IsForbidden(err) {
		err = fmt.Errorf("you are not allowed to read Secret/%s with the credentials", repo.Spec.SecretRef.Name)
	}
	return credentials, err
}

// close removes all temporary files.
func (t *trees) close() {
	for _, done := range slices.Backward(t.done) {
		_ = done() // files left in the temporary folder are not worth an error
	}
}
