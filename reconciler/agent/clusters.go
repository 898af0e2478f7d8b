package agent

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler"
	"berth.dev/berth/reconciler/clusters"
	"berth.dev/berth/reconciler/fleet"
	"berth.dev/berth/reconciler/report"
)

// addFleet adds the clusters: the agent's own, and those whose kubeconfigs are in Secrets of its namespace. They share everything
// but what is known about each.
func (a *Agent) addFleet(home reconciler.Config) {
	a.fleet = fleet.New(fleet.Config{
		Home: reconciler.New(home),
		Secret: func(ctx context.Context, name string) (*corev1.Secret, error) {
			secret := &corev1.Secret{}
			return secret, a.mgr.GetClient().Get(ctx, types.NamespacedName{Namespace: a.Namespace, Name: name}, secret)
		},
		Named: func(ctx context.Context) (map[string]bool, error) { return a.repositories.Named(ctx) },
		Used:  func(ctx context.Context) (map[string]bool, error) { return a.repositories.Clusters(ctx) },
		Wire: func(c fleet.Connection) (*reconciler.Reconciler, error) {
			cluster, err := clusters.New(clusters.Config{
				Name: c.Name, Identity: c.Identity, REST: c.REST, HTTP: c.HTTP, Confined: a.SecretWatch.confined(),
				Requeue: a.requeues.Requeue, Stray: a.stray, Now: a.Now, Jitter: a.Jitter, Log: a.Log.With("cluster", c.Name),
			})
			if err != nil {
				return nil, err
			}
			there := home
			there.Cluster = cluster
			return reconciler.New(there), nil
		},
		Fence:     a.mgr.fence,
		Changed:   a.clusterChanged,
		UserAgent: "berth/" + a.Version,
		Now:       a.Now,
		Jitter:    a.Jitter,
		Log:       a.Log,
	})
	a.Metrics.Clusters(func(yield func(report.ClusterState) bool) {
		for _, state := range a.fleet.States() {
			if !yield(report.ClusterState(state)) {
				return
			}
		}
	})
}

// clusterChanged requeues everything that depends on a cluster, because it can be used now, or cannot be used any more.
func (a *Agent) clusterChanged(ctx context.Context, cluster string) {
	a.environments.InCluster(ctx, types.NamespacedName{Namespace: a.Namespace, Name: cluster})
	a.repositories.InCluster(ctx, cluster)
}

// podsOf returns where the logs of an Environment are read; nil: its cluster cannot be read.
func (a *Agent) podsOf(env *v1alpha1.Environment) typedcorev1.PodsGetter {
	if passes := a.fleet.Known(env.Spec.Cluster); passes != nil {
		return passes.Cluster.Core
	}
	return nil
}
