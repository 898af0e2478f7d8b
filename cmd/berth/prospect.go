package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/inspect"
	"berth.dev/berth/cmd/internal/output"
	"berth.dev/berth/reconciler"
	"berth.dev/berth/reconciler/apply"
	"berth.dev/berth/reconciler/environments"
	"berth.dev/berth/reconciler/fields"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/naming"
	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
	"berth.dev/berth/reconciler/records"
	"berth.dev/berth/reconciler/render"
)

// parallel is how many requests of a diff run at once.
const parallel = 8

// prospect plans a sync from what the user's rights allow to read.
type prospect struct {
	*viewer
	choice
	// there reads the cluster of the environment.
	there     *viewer
	env       *v1alpha1.Environment
	decrypter render.Decrypter
	mask      *output.Mask
	complain  func(note string)
}

// steps returns the steps of a sync to a set.
func (p *prospect) steps(ctx context.Context, set manifest.Set, commit string) ([]inspect.Step, error) {
	state, id, err := p.observe(ctx, set)
	if err != nil {
		return nil, err
	}
	record, err := records.New(p.core, p.namespace).Load(ctx, reconciler.RecordName(p.env.Name, p.env.Spec.Cluster))
	if err != nil {
		p.complain(fmt.Sprintf("it is unknown which Jobs ran before: %v", err))
	}
	bounds, err := environments.Bounds(p.entry)
	if err != nil {
		return nil, err
	}
	marks := environments.NamespaceMarks(p.env, p.entry, p.patterns)
	in := plan.Input{
		Name:        p.env.Name,
		Environment: id,
		Prover:      proverFor(record),
		Namespace:   plan.Namespace{Object: manifest.Namespace(p.env.Spec.Namespace, marks.Labels, marks.Annotations), Shared: p.patterns.Literal()},
		Own:         reconciler.Own(p.env.Spec.Namespace, id, p.entry.ServiceAccountName, bounds),
		Desired:     set,
		// A digest that no earlier input has, so that the plan treats it as new.
		Digest:   "diff",
		Origin:   p.entry.Path + " of " + p.repository.Spec.URL,
		Commit:   commit,
		Observed: state,
		Record:   record,
		Now:      time.Now(),
	}
	planned := plan.Make(in).Steps
	steps, err := p.carriedOut(ctx, planned)
	if err == nil && p.forgive(set, planned, steps) {
		steps, err = p.carriedOut(ctx, plan.Make(in).Steps)
	}
	return steps, err
}

// proverFor returns a Prover that distinguishes the environment's objects from copies. Only the agent has the
// installation's key, so the Prover relies on the record of what was applied. Without a record it accepts every
// proof.
func proverFor(record plan.Record) manifest.Prover {
	if len(record.Applied) > 0 {
		return manifest.Prover{}
	}
	return manifest.Credulous()
}

// forgive gives objects that turn out not to differ the live digest, so that no step seems to wait for them. The
// digests of Secrets differ because only the agent has their key.
func (p *prospect) forgive(set manifest.Set, planned []plan.Step, steps []inspect.Step) (any bool) {
	for _, s := range planned {
		says := func(step inspect.Step) bool { return step.Object == p.nameOf(s.Key) }
		if s.Action != plan.Change || s.Live == nil || slices.ContainsFunc(steps, says) {
			continue
		}
		for i := range set.Objects {
			if o := &set.Objects[i]; o.Key() == s.Key && o.Digest != s.Live.Digest {
				o.Digest, any = s.Live.Digest, true
			}
		}
	}
	return any
}

// observe reads what the agent watches. An object that may not be read is unknown, neither present nor absent.
func (p *prospect) observe(ctx context.Context, set manifest.Set) (observed.State, string, error) {
	state := observed.State{Objects: map[manifest.Key]observed.Object{}, Unknown: map[schema.GroupKind]observed.Unknown{}}
	id := naming.ID("", p.env.Spec.Repository, p.env.Spec.Entry, p.env.Spec.Branch)
	inspector := inspect.New(inspect.Config{Client: p.there, Discovery: p.there.discovery, Logs: p.there.logs, Now: time.Now})
	owned, notes := inspector.Owned(ctx, p.env, p.entry.Scope)
	for _, note := range notes {
		p.complain(note + ": it is unknown which of these would be deleted")
	}
	for _, object := range owned {
		if p.isCopy(object) {
			continue
		}
		live := observed.Reduce(object)
		state.Objects[live.Key], id = live, live.Environment
	}
	if err := p.observePlaces(ctx, set, state); err != nil {
		return state, "", err
	}
	namespace, err := p.live(ctx, schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}, p.ownNamespace())
	switch {
	case apierrors.IsForbidden(err): // it exists, which is all that matters here
		state.Namespace = &observed.Object{Key: p.ownNamespace(), Environment: id, Ownership: "unseen", Proof: "unseen"}
	case err != nil:
		return state, "", explain(err, p.env.Spec.Namespace)
	case namespace == nil && p.env.Spec.Cluster != "" && p.env.Status.AppliedCommit != "":
		p.complain(fmt.Sprintf("the namespace %s was not found; does your context reach the cluster %s?", p.env.Spec.Namespace, p.env.Spec.Cluster))
	case namespace != nil:
		live := observed.Reduce(namespace)
		state.Namespace = &live
	}
	return state, id, nil
}

// observePlaces reads the objects that a set would replace and that lack the environment's label.
func (p *prospect) observePlaces(ctx context.Context, set manifest.Set, state observed.State) error {
	for _, o := range set.Objects {
		if _, seen := state.Objects[o.Key()]; seen {
			continue
		}
		switch object, err := p.live(ctx, o.GroupVersionKind(), o.Key()); {
		case meta.IsNoMatchError(err):
			state.Unknown[o.Key().GroupKind()] = observed.Unknown{State: observed.NotServed, Elsewhere: manifest.ServedIn(p.there.RESTMapper(), o.Key().Kind)}
		case apierrors.IsForbidden(err):
			state.Unknown[o.Key().GroupKind()] = observed.Unknown{State: observed.Unwatched, Message: "it cannot be read, because you lack the right"}
		case err != nil:
			return explain(err, p.env.Spec.Namespace)
		case object != nil:
			state.Objects[o.Key()] = observed.Reduce(object)
		}
	}
	return nil
}

// isCopy reports whether the entry copies an object that has no manifest.
func (p *prospect) isCopy(object *unstructured.Unstructured) bool {
	return object.GetKind() == "Secret" && slices.Contains(p.entry.CopySecrets, v1alpha1.SecretReference{Name: object.GetName()})
}

// live reads an object. It returns nil if there is none.
func (p *prospect) live(ctx context.Context, gvk schema.GroupVersionKind, key manifest.Key) (*unstructured.Unstructured, error) {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(gvk)
	err := p.there.Get(ctx, client.ObjectKey{Namespace: key.Namespace, Name: key.Name}, object)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return object, err
}

// carriedOut determines the result of the steps, and omits those that would change nothing.
func (p *prospect) carriedOut(ctx context.Context, planned []plan.Step) ([]inspect.Step, error) {
	results, errs := make([]*inspect.Step, len(planned)), make([]error, len(planned))
	var all errgroup.Group
	all.SetLimit(parallel)
	for i, s := range planned {
		if s.Action == plan.Keep && s.Failure == "" {
			continue
		}
		all.Go(func() error {
			results[i], errs[i] = p.carryOut(ctx, s)
			return nil
		})
	}
	_ = all.Wait() // one that fails does not end the others
	var steps []inspect.Step
	for _, result := range results {
		if result != nil {
			steps = append(steps, *result)
		}
	}
	return steps, errors.Join(errs...)
}

// carryOut determines the result of one step, as far as the user may see it. It returns nil if the step would
// change nothing.
func (p *prospect) carryOut(ctx context.Context, s plan.Step) (*inspect.Step, error) {
	result, err := p.outcome(ctx, s)
	if result != nil && s.Object != nil && p.mask.Hides(s.Key.GroupKind()) {
		result.Fields, result.Refused = fields.Hide(result.Fields), p.mask.Text(result.Refused, s.Object.Unstructured)
	}
	return result, err
}

func (p *prospect) outcome(ctx context.Context, s plan.Step) (*inspect.Step, error) {
	result := &inspect.Step{Action: string(s.Action), Object: p.nameOf(s.Key), Reason: s.Reason, Blocked: s.Blocked, Refused: s.Failure}
	if s.Object == nil {
		return result, nil
	}
	result.Origin = s.Object.Origin.String()
	if s.Live == nil {
		var before *unstructured.Unstructured
		if s.Before != nil {
			before = s.Before.Unstructured
		}
		result.Fields = fields.Compare(before, s.Object.Unstructured)
		result.Refused = cmp.Or(result.Refused, p.refusal(ctx, s))
		return result, nil
	}
	before, err := p.live(ctx, s.Object.GroupVersionKind(), s.Key)
	switch {
	case apierrors.IsForbidden(err) && s.Key == p.ownNamespace():
		return nil, nil // Git has nothing to do with such an object, whatever labels it has
	case err != nil:
		return nil, explain(err, p.env.Spec.Namespace)
	}
	if s.Action == plan.Replace {
		result.Fields = fields.Wanted(before, s.Object.Unstructured)
		return result, nil
	}
	if s.Action == plan.Correct {
		s.TakeOver = s.Live.Added // the agent removes that in the next pass
	}
	after, refused := p.there.applier.Preview(ctx, apply.Target{Environment: s.Live.Environment, Namespace: p.env.Spec.Namespace, Decrypted: p.choice.mask().Kinds}, s)
	switch {
	case refused == nil:
		result.Fields = fields.Compare(before, after)
	case refused.Class == apply.Forbidden: // the user may not change the object, but the agent may
		result.Fields = fields.Wanted(before, s.Object.Unstructured)
	default:
		_, why, _ := strings.Cut(refused.Message, s.Key.String()+": ")
		result.Fields, result.Refused = fields.Wanted(before, s.Object.Unstructured), cmp.Or(result.Refused, why)
	}
	if len(result.Fields) == 0 && result.Refused == "" {
		return nil, nil
	}
	return result, nil
}

// refusal returns the cluster's reason to reject a new object, as far as a dry run can determine that now.
func (p *prospect) refusal(ctx context.Context, s plan.Step) string {
	wanted := s.Object.DeepCopy()
	s.Trim(wanted)
	err := p.there.Create(ctx, wanted, client.DryRunAll, client.FieldOwner(manifest.FieldManager), client.FieldValidation(metav1.FieldValidationStrict))
	switch {
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return err.Error()
	case meta.IsNoMatchError(err):
		return "the cluster does not know the kind " + s.Key.Kind
	}
	return "" // the sync creates what is missing, such as the namespace; the agent may do what the user may not
}

func (p *prospect) ownNamespace() manifest.Key {
	return manifest.Key{Kind: "Namespace", Name: p.env.Spec.Namespace}
}

func (p *prospect) nameOf(k manifest.Key) string {
	if k.Namespace == p.env.Spec.Namespace {
		return k.Short()
	}
	return k.String()
}
