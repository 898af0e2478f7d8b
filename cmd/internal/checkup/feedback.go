package checkup

import (
	"context"
	"errors"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/feedback"
	"berth.dev/berth/source/forge"
)

// feedback checks whether the forge accepts what the agent reports. It asks the forge itself, from this machine, whether the
// token has the permissions. That changes nothing there.
func (c *Checker) feedback(ctx context.Context, f *findings, repo *v1alpha1.Repository) {
	if repo.Spec.Feedback == nil {
		return
	}
	if state := meta.FindStatusCondition(repo.Status.Conditions, v1alpha1.ConditionFeedback); state != nil && state.Status != metav1.ConditionTrue {
		f.add(Problem, "feedback", "%s: %s", state.Reason, state.Message)
	}
	settings, err := feedback.Settings(ctx, c.secretNamed, repo)
	if known, ok := errors.AsType[*forge.Error](err); ok {
		f.add(Problem, "feedback", "%v", known)
		return
	}
	if err != nil {
		f.unseen("feedback", "Secret/"+repo.Spec.Feedback.SecretRef.Name, err)
		return
	}
	settings.Proxy, settings.UserAgent, settings.Now = c.Proxy, "berth", c.Now
	client, err := forge.New(settings)
	if err != nil {
		f.add(Problem, "feedback", "%v", err)
		return
	}
	defer client.Close()
	if repo.Spec.Feedback.Statuses != v1alpha1.StatusesNever {
		f.probe("feedback", "set commit statuses", client.Probe(ctx, forge.UseStatuses))
	}
	if repo.Spec.Feedback.Deployments == v1alpha1.DeploymentsRecorded {
		f.probe("feedback", "record deployments", client.Probe(ctx, forge.UseDeployments))
	}
	if repo.Spec.Feedback.Note != v1alpha1.NoteNever {
		f.probe("feedback", "write notes in merge requests", client.Probe(ctx, forge.UseNotes))
	}
}

// probe records whether the forge would let the agent do something.
func (f *findings) probe(check, does string, err error) {
	switch {
	case err == nil:
		f.add(OK, check, "the token may %s", does)
	case slices.Contains([]forge.Reason{forge.Unreachable, forge.RateLimited}, forge.ReasonOf(err)):
		f.add(Unknown, check, "whether the token may %s is not known: %v", does, err)
	default:
		f.add(Problem, check, "the token may not %s: %v", does, err)
	}
}

func (c *Checker) secretNamed(ctx context.Context, name types.NamespacedName) (*corev1.Secret, error) {
	return c.Kubernetes.CoreV1().Secrets(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
}
