package installation

import (
	"context"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// leaseAge is the age at which an unrenewed lease proves that no agent leads. Agents renew it every few seconds.
const leaseAge = time.Minute

// held reports whether an agent has taken a lease and not released it. An agent that ends in order releases it.
func held(lease *coordinationv1.Lease) bool {
	return lease.Spec.HolderIdentity != nil && *lease.Spec.HolderIdentity != "" && lease.Spec.RenewTime != nil
}

// awaitLease waits until no agent holds the lease. An agent outside the cluster, or in a Deployment with other labels, may still
// run with rights that are not those of the installation. It would delete the environments of deleted Repositories.
//
// The lease counts as lost once it was not renewed for its duration. Its time was written by the agent's clock, so it is compared
// with the API server's only if the difference is large.
func (r *Remover) awaitLease(ctx context.Context) error {
	var renewed, since time.Time
	return poll(ctx, func(ctx context.Context) (bool, error) {
		lease, err := r.Kubernetes.CoordinationV1().Leases(r.Namespace).Get(ctx, leaseName, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		if !held(lease) {
			return true, nil
		}
		now, err := r.ServerTime(ctx)
		if err != nil {
			return false, err
		}
		if at := lease.Spec.RenewTime.Time; since.IsZero() || !at.Equal(renewed) {
			renewed, since = at, now
		}
		if now.Sub(renewed) > leaseAge || now.Sub(since) > duration(lease) {
			return true, nil
		}
		r.say("waiting until no agent renews Lease/%s; if %s still runs, stop it", leaseName, *lease.Spec.HolderIdentity)
		return false, nil
	})
}

func duration(lease *coordinationv1.Lease) time.Duration {
	if seconds := lease.Spec.LeaseDurationSeconds; seconds != nil {
		return time.Duration(*seconds) * time.Second
	}
	return leaseAge
}
