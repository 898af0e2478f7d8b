package environments

import (
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/branches"
)

// lookAgain is how soon an expiry that the deletion guard blocks is checked again.
const lookAgain = 10 * time.Minute

// expires reports whether an Environment expires now. It does not while too many would expire at the same time: after a
// clock jump, all branches look unused.
func (e *Controller) expires(ctx context.Context, env *v1alpha1.Environment, s *settings) (bool, error) {
	begun := branches.IsReason(env, v1alpha1.ReasonExpiring) || !branches.Stands(env)
	if !s.expiry.Due || begun || e.Guard.Allowed(env) || branches.ConfirmedBy(env) {
		return s.expiry.Due, nil
	}
	have, err := e.ofRepository(ctx, client.ObjectKeyFromObject(env), env.Spec.Repository)
	now := e.Now()
	if err != nil || !branches.Count(have, branches.Overdue(have, s.repository, now), now).BlocksExpiries() {
		return true, err
	}
	s.life.ExpiresSoon = fmt.Sprintf("the branch is unused, but the deletion guard blocks the expiry: too many environments would expire at once; to delete them all: berth confirm --repository %s; to delete only this one: berth confirm %s; to keep it, push",
		env.Spec.Repository, env.Name)
	s.expiry.Next = now.Add(lookAgain)
	return false, nil
}
