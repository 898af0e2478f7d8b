package apply

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
)

// Preview returns the object that Run would write, by dry runs. It is only for steps that apply, not for Jobs and
// new objects.
func (a *Applier) Preview(ctx context.Context, target Target, s plan.Step) (*unstructured.Unstructured, *Error) {
	r := a.begin(target, metav1.DryRunAll)
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	if s.Seek {
		s = r.seek(ctx, s)
	}
	client, err := r.client(s)
	if err != nil {
		return nil, r.explain(s, err)
	}
	after, err := r.outcome(ctx, client, s)
	if err != nil {
		return nil, r.explain(s, err)
	}
	return after, nil
}

// outcome returns an object as apply would write it.
func (r *run) outcome(ctx context.Context, client dynamic.ResourceInterface, s plan.Step) (*unstructured.Unstructured, error) {
	obj, err := r.sent(s)
	if err != nil {
		return nil, err
	}
	obj.SetUID(s.Live.UID)
	if err := r.hold(ctx, client, s, obj); err != nil {
		return nil, err
	}
	if s.TakeOver != nil {
		m, err := r.mender(ctx, client, s, obj)
		if err != nil {
			return nil, err
		}
		return m.outcome(ctx, s)
	}
	after, err := r.patch(ctx, client, obj, r.dryRun...)
	switch {
	case isMendable(err):
		return r.mend(ctx, client, s, obj, err)
	case err == nil && s.Action == plan.Change:
		_, after = fresh(ctx, client, after, observed.Owned(after.GetManagedFields()))
	}
	return after, err
}

// outcome returns the object as it is written once Berth owns the fields that users own.
func (m *mender) outcome(ctx context.Context, s plan.Step) (*unstructured.Unstructured, error) {
	after, err := become(ctx, m.client, m.live, m.tried.object)
	if isMendable(err) {
		_, after, err = m.find(ctx, err)
	}
	return m.fresh(ctx, s, after), err
}
