package apply

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
)

// freshen claims the stale defaults of an object that is about to change. The apply then removes them, and the API server
// sets them again. An object whose apply is refused has none: the apply itself reports the reason.
func (r *run) freshen(ctx context.Context, client dynamic.ResourceInterface, s plan.Step, obj *unstructured.Unstructured) error {
	if s.Live == nil || s.Action != plan.Change || len(r.dryRun) > 0 || !observed.HasDefaults(s.Key.GroupKind()) {
		return nil
	}
	applied, err := r.patch(ctx, client, obj, metav1.DryRunAll)
	if err != nil {
		return nil
	}
	stale, _ := fresh(ctx, client, applied, observed.Owned(applied.GetManagedFields()))
	if stale.Empty() {
		return nil
	}
	live, err := client.Get(ctx, s.Key.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if err := r.claim(ctx, client, live, observed.Unowned(stale, live.GetManagedFields())); err != nil {
		return err
	}
	return r.hold(ctx, client, s, obj)
}

// fresh returns the stale defaults of an object: those that contradict Git, that an apply keeps, and that the API
// server would otherwise set differently. For example, the deprecated twin of serviceAccountName restores it after
// its removal, and a NetworkPolicy keeps the policyTypes of its former rules. fresh also returns the object without
// them. given is the answer to a dry run, and owned are the fields with a field manager.
func fresh(ctx context.Context, client dynamic.ResourceInterface, applied *unstructured.Unstructured, owned *fieldpath.Set) (*fieldpath.Set, *unstructured.Unstructured) {
	defaults := observed.DefaultsOf(applied, owned)
	if defaults.None() {
		return &fieldpath.Set{}, applied
	}
	again, err := become(ctx, client, applied, defaults.Without())
	if err != nil {
		return &fieldpath.Set{}, applied // the API server requires them
	}
	return defaults.Stale(again), again
}
