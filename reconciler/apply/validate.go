package apply

import (
	"context"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/plan"
)

// refusing are the classes that concern the content: an object that is refused today will be refused when it is written.
var refusing = []Class{Invalid, Immutable, Missing, Forbidden, Denied, Quota, NotServed, Claimed}

// Validate finds the writing steps that the API server would refuse, by dry runs. It tries them concurrently,
// whatever their stage and whatever they wait for. It returns a result for each step, in their order. A result has
// an error only if the step itself would be refused. Transient errors, such as a webhook that is down, do not
// count. Neither do refusals that another of the steps may end, such as one that writes a role, a limit or a
// policy. For these, the result says why the dry run proves nothing. It stops once too many steps have timed out.
func (a *Applier) Validate(ctx context.Context, target Target, steps []plan.Step) []Result {
	r := a.begin(target, metav1.DryRunAll)
	others := make([]made, 0, len(steps))
	for _, s := range steps {
		others = append(others, madeBy(s))
	}
	results := make([]Result, len(steps))
	all := make([]int, len(steps))
	for i := range all {
		all[i] = i
	}
	r.each(all, func(i int) {
		results[i] = Result{Step: steps[i], Done: Unchanged, Live: steps[i].Live}
		if unaskable(steps[i], others) {
			results[i].Unproved = "its CustomResourceDefinition changes with it"
			return
		}
		if err := r.untried(ctx, steps[i]); err != nil {
			results[i].Unproved = err.Error()
			return
		}
		err := r.try(ctx, steps[i])
		if err != nil && err.Class == Unanswered {
			r.note(Result{Step: steps[i], Err: err})
		}
		switch {
		case err == nil || slices.Contains(proving, err.Class):
		case cured(steps[i], err.answer, others):
			results[i].Unproved = "it needs other objects of the same commit"
		case slices.Contains(refusing, err.Class):
			results[i].Done, results[i].Err = "", err
		default:
			results[i].Unproved = err.Message
		}
	})
	return results
}

// proving are the classes that come after validation and admission. They are about the object that is there.
var proving = []Class{Conflict, Exists, Taken}

// try makes the requests of one step as a dry run.
func (r *run) try(ctx context.Context, s plan.Step) *Error {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	client, err := r.client(s)
	switch {
	case err != nil:
	case manifest.IsJob(s.Key.GroupKind()):
		_, _, err = r.create(ctx, client, s)
	default:
		_, _, err = r.apply(ctx, client, s)
		if err != nil && classOf(err) == Immutable && s.MayReplace {
			_, err = r.prove(ctx, client, s)
		}
	}
	if err == nil {
		return nil
	}
	return r.explain(s, err)
}

// cured reports whether a refusal may end once other steps have been taken.
func cured(s plan.Step, err error, others []made) bool {
	return slices.ContainsFunc(others, func(m made) bool { return m.cures(s, err) })
}

// unaskable reports whether other steps define the kind of the object.
func unaskable(s plan.Step, others []made) bool {
	return slices.ContainsFunc(others, func(m made) bool { return m.defines == s.Key.GroupKind() })
}

func isCRD(k manifest.Key) bool {
	return k.Group == "apiextensions.k8s.io" && k.Kind == "CustomResourceDefinition"
}

// definedBy returns the kind that a CustomResourceDefinition defines.
func definedBy(crd *manifest.Object) schema.GroupKind {
	group, _, _ := unstructured.NestedString(crd.Object, "spec", "group")
	kind, _, _ := unstructured.NestedString(crd.Object, "spec", "names", "kind")
	return schema.GroupKind{Group: group, Kind: kind}
}
