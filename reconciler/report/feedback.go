package report

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
)

// EnvironmentFeedback writes what was last reported to the forge about an Environment. It changes nothing else of the status.
func (r *Reporter) EnvironmentFeedback(ctx context.Context, env *v1alpha1.Environment, told *v1alpha1.EnvironmentFeedback) error {
	patch, err := feedbackPatch(told)
	if err != nil {
		return fmt.Errorf("the environment %s: %w", env.Name, err)
	}
	target := &v1alpha1.Environment{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: env.Name}}
	return client.IgnoreNotFound(r.Client.Status().Patch(ctx, target, client.RawPatch(types.MergePatchType, patch)))
}

// feedbackPatch returns a merge patch of status.feedback. It names all fields, because a merge patch keeps what it does not
// name, and the cache may not know yet what was written.
func feedbackPatch(told *v1alpha1.EnvironmentFeedback) ([]byte, error) {
	fields := map[string]any{"project": nil, "name": nil, "commit": nil, "state": nil, "digest": nil, "pipeline": nil, "notes": nil, "plans": nil, "deployment": nil, "error": nil}
	encoded, err := json.Marshal(told)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(encoded, &fields); err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{"status": map[string]any{"feedback": fields}})
}

// withFeedback adds the condition Feedback to the others of a Repository with spec.feedback: the current one, or else the one
// that an earlier agent wrote.
func (r *Reporter) withFeedback(repo *v1alpha1.Repository, others []metav1.Condition) []metav1.Condition {
	if repo.Spec.Feedback == nil {
		return others
	}
	current := r.Feedback(repo)
	if current == nil {
		current = meta.FindStatusCondition(repo.Status.Conditions, v1alpha1.ConditionFeedback)
	}
	if current == nil {
		return others
	}
	return append(others[:len(others):len(others)], *current)
}

// feedbackEvents returns the warning that the forge does not accept reports any more, or for another reason.
func feedbackEvents(before, after v1alpha1.RepositoryStatus) []event {
	now := meta.FindStatusCondition(after.Conditions, v1alpha1.ConditionFeedback)
	then := meta.FindStatusCondition(before.Conditions, v1alpha1.ConditionFeedback)
	if now == nil || now.Status == metav1.ConditionTrue || then != nil && then.Reason == now.Reason {
		return nil
	}
	return []event{{kind: corev1.EventTypeWarning, reason: now.Type, action: "Report", note: now.Reason + ": " + now.Message}}
}
