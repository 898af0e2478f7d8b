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

// refusing are the classes that say something of the content: what the API server has against it today, it
// will have against it when it is written.
var refusing = []Class{Invalid, Immutable, Forbidden, Denied, Quota, NotServed, Claimed}

// Validate asks the API server what it has against the steps that write, without writing: concurrently,
// whatever stage they are of and whatever they wait for. There is a result for each step, in their order;
// it has an error only if the step itself would be refused. What may pass by itself, such as a webhook that
// is away, and what other steps change, such as a namespace, a right or a kind, is none; nor is what is not asked any
// more once too many steps were not answered in time.
func (a *Applier) Validate(ctx context.Context, target Target, steps []plan.Step) []Result {
	r := a.begin(target, metav1.DryRunAll)
	changed := changing(steps)
	results := make([]Result, len(steps))
	all := make([]int, len(steps))
	for i := range all {
		all[i] = i
	}
	r.each(all, func(i int) {
		results[i] = Result{Step: steps[i], Done: Unchanged, Live: steps[i].Live}
		if changed[steps[i].Key.GroupKind()] || r.untried(ctx, steps[i]) != nil {
			return
		}
		err := r.try(ctx, steps[i])
		if err != nil && err.Class == Unanswered {
			r.note(Result{Step: steps[i], Err: err})
		}
		if err != nil && slices.Contains(refusing, err.Class) && !(changed[err.Class] && !lasts(err, changed)) {
			results[i].Done, results[i].Err = "", err
		}
	})
	return results
}

// lasts says whether an error stays what it is whatever else is granted: no Role of a commit widens what the account that
// writes it may grant. Only the agent does, with the binding of that account.
func lasts(err *Error, changed map[any]bool) bool { return isGranting(err.Err) && !changed[binding] }

// binding stands for the rights of the account that writes.
const binding = "binding"

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
	if err == nil || isWithoutDryRun(err) {
		return nil
	}
	return r.explain(s, err)
}

// changing returns what the API server will judge otherwise once the steps have been taken: the kinds that
// they define, and the classes of errors that the rights and quotas among them may end.
func changing(steps []plan.Step) map[any]bool {
	changed := map[any]bool{}
	for _, s := range steps {
		switch {
		case s.Key.Group == rbacGroup:
			changed[Forbidden] = true
			changed[binding] = changed[binding] || manifest.IsBinding(s.Key)
		case s.Key.Group == "" && (s.Key.Kind == "ResourceQuota" || s.Key.Kind == "LimitRange"):
			changed[Quota] = true
		case isCRD(s.Key) && s.Object != nil:
			changed[definedBy(s.Object)] = true
		}
	}
	return changed
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
