package reconciler

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/apply"
	"berth.dev/berth/reconciler/live"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/plan"
	"berth.dev/berth/reconciler/render"
)

// Candidate is what an environment might consist of one day, such as after a merge.
type Candidate struct {
	// Current is what Git says about the environment now, and Next what it would say.
	Current, Next manifest.Set
	// Changed are the objects to decide about. Proved are those of them that the API server validates.
	Changed, Proved map[manifest.Key]bool
	// Unnamed are objects of Next whose real names differ, because they end with a hash of content that is not known; by what
	// the names begin with.
	Unnamed map[manifest.Key]string
	// Commit is the commit of Next.
	Commit string
}

// Prospect is what passes would do with the changed objects of a Candidate.
type Prospect struct {
	// Steps are the steps of the plan. Those that delete are decided as if everything else had settled.
	Steps map[manifest.Key]plan.Step
	// Results are those of the dry runs, as the account of the environment.
	Results map[manifest.Key]apply.Result
}

// Foresee returns what passes would do with a Candidate. It changes nothing in the cluster, in the memory of passes or in the
// sets, and may run beside passes.
func (r *Reconciler) Foresee(ctx context.Context, e Environment, c Candidate) (Prospect, error) {
	judges, err := health.Compile(e.Expressions)
	if err != nil {
		return Prospect{}, err
	}
	e.judges = judges
	record, err := r.load(ctx, e.Name)
	if err != nil && !isUnreadable(err) {
		return Prospect{}, fmt.Errorf("reading the record: %w", err)
	}
	c.Next.Objects = slices.Clone(c.Next.Objects)
	for i, o := range c.Next.Objects {
		c.Next.Objects[i].Unstructured = o.DeepCopy() // sealing changes objects
	}
	c.Next = e.withCopies(c.Next)
	if err := c.Next.Seal(r.DigestKey, e.DecryptedKinds); err != nil {
		return Prospect{}, err
	}
	p := plan.Make(r.foresight(e, c, record))
	found := Prospect{Steps: map[manifest.Key]plan.Step{}, Results: map[manifest.Key]apply.Result{}}
	var proved []plan.Step
	for _, s := range p.Steps {
		if c.Changed[s.Key] {
			found.Steps[s.Key] = s
		}
	}
	for _, s := range p.Changes() {
		if c.Proved[s.Key] && s.Failure == "" {
			proved = append(proved, s)
		}
	}
	for _, result := range r.Cluster.Applier.Validate(ctx, r.target(e), proved) {
		found.Results[result.Step.Key] = result
	}
	return found, ctx.Err()
}

// foresight returns the input of a plan for a Candidate. The cluster is observed only as the environment already does: a
// Candidate must not begin watches, nor requeue the environment when other objects change.
func (r *Reconciler) foresight(e Environment, c Candidate, record plan.Record) plan.Input {
	kinds := e.kinds(c.Current, record)
	var keys []manifest.Key
	for _, o := range slices.Concat(e.own(), c.Current.Objects) {
		keys = append(keys, o.Key())
	}
	in := plan.Input{
		Name: e.Name, Environment: e.ID, Prover: r.prover(), Within: e.Namespace, Namespace: e.namespace(), Own: e.own(),
		Desired: c.Next, Digest: "candidate", Commit: c.Commit, Record: record, Now: r.Now(), Timeout: e.Timeout, Ahead: true,
		Origin: e.Path + " of " + e.URL,
		Observed: r.Cluster.Watches.Observe(live.Query{
			Environment: e.ID, Namespace: e.Namespace, Kinds: kinds, Keys: keys, Expressions: e.judges, Now: r.Now(), ImagePullGrace: e.ImagePullGrace,
		}),
	}
	c.rename(&in)
	if e.SharedNamespace {
		want := desired{commit: c.Commit, set: c.Next}
		in.Heirs, in.Released = r.claims.heirs(e, want, in.Observed), r.claims.released(e, in.Observed)
	}
	return in
}

// rename lets a plan find the objects in the cluster that the unnamed ones stand for. They would otherwise count as deleted.
func (c Candidate) rename(in *plan.Input) {
	wanted := map[manifest.Key]bool{}
	for _, o := range in.Desired.Objects {
		wanted[o.Key()] = true
	}
	for key, stem := range c.Unnamed {
		for there, live := range in.Observed.Objects {
			alike := there.GroupKind() == key.GroupKind() && there.Namespace == key.Namespace && len(there.Name) == len(key.Name) && strings.HasPrefix(there.Name, stem)
			if !alike || wanted[there] || live.Environment != in.Environment {
				continue
			}
			live.Key = key
			in.Observed.Objects[key] = live
			delete(in.Observed.Objects, there)
			if applied, ok := in.Record.Applied[there]; ok {
				in.Record.Applied[key] = applied
				delete(in.Record.Applied, there)
			}
			break
		}
	}
}

// RenderOptions returns how the folder of an environment is rendered, with the variables of a commit.
func (r *Reconciler) RenderOptions(e Environment, commit string) render.Options {
	return render.Options{
		Path:           e.Path,
		Namespace:      e.Namespace,
		Policy:         e.Policy,
		Scope:          e.Scope,
		Variables:      e.Variables(commit),
		OtherVariables: e.OtherVariables,
		ClusterScoped:  r.Cluster.ClusterScoped,
		Decrypter:      e.Decrypter,
		Decrypted:      e.DecryptedKinds,
		Kustomize:      r.Kustomize,
		Urgent:         e.Urgent,
		Owner:          e.Repository,
	}
}
