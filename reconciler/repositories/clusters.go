package repositories

import (
	"context"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/naming"
)

// clustersOf returns the other clusters that the entries of a Repository name, in a fixed order.
func clustersOf(repo *v1alpha1.Repository) (names []string) {
	for i := range repo.Spec.Environments {
		if name := naming.Cluster(&repo.Spec.Environments[i]); name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func namesCluster(repo *v1alpha1.Repository, secret string) bool {
	return slices.Contains(clustersOf(repo), secret)
}

// clusterTroubles returns conditions that say which clusters of a Repository cannot be used, and which credentials end soon. It
// connects to clusters that have no environment yet, so that users see their trouble before the first one.
func (r *Controller) clusterTroubles(ctx context.Context, repo *v1alpha1.Repository) []metav1.Condition {
	r.Fleet.Tidy(ctx)
	var troubles, ends []string
	for _, name := range clustersOf(repo) {
		notice := r.Fleet.Notice(ctx, name)
		if notice.Pending {
			return slices.Concat(kept(repo, v1alpha1.ConditionClusterUnavailable), kept(repo, v1alpha1.ConditionClusterAccessExpires))
		}
		if notice.Trouble != "" {
			troubles = append(troubles, notice.Trouble)
		}
		if notice.Ends != "" {
			ends = append(ends, notice.Ends)
		}
	}
	return slices.Concat(
		noted(repo, v1alpha1.ConditionClusterUnavailable, v1alpha1.ReasonUnavailable, troubles),
		noted(repo, v1alpha1.ConditionClusterAccessExpires, v1alpha1.ReasonExpiresSoon, ends),
	)
}

// kept returns a condition as it is, because nothing new is known yet.
func kept(repo *v1alpha1.Repository, kind string) []metav1.Condition {
	if c := meta.FindStatusCondition(repo.Status.Conditions, kind); c != nil {
		return []metav1.Condition{*c}
	}
	return nil
}

// noted returns a condition with some texts; without one, there is no condition.
func noted(repo *v1alpha1.Repository, kind, reason string, texts []string) []metav1.Condition {
	if len(texts) == 0 {
		return nil
	}
	return []metav1.Condition{{Type: kind, Status: metav1.ConditionTrue, Reason: reason, Message: strings.Join(texts, "; "), ObservedGeneration: repo.Generation}}
}

// InCluster requeues the Repositories that name a cluster. It does not block.
func (r *Controller) InCluster(ctx context.Context, cluster string) {
	var list v1alpha1.RepositoryList
	if err := r.Client.List(ctx, &list, client.InNamespace(r.Namespace)); err != nil {
		return // the cache answers, and cannot fail
	}
	for i := range list.Items {
		if namesCluster(&list.Items[i], cluster) {
			r.inbox.Add(client.ObjectKeyFromObject(&list.Items[i]))
		}
	}
}

// Named returns the clusters that entries name, of whatever agent.
func (r *Controller) Named(ctx context.Context) (map[string]bool, error) {
	var repositories v1alpha1.RepositoryList
	if err := r.Client.List(ctx, &repositories, client.InNamespace(r.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, err
	}
	named := map[string]bool{}
	for i := range repositories.Items {
		for _, name := range clustersOf(&repositories.Items[i]) {
			named[name] = true
		}
	}
	return named, nil
}

// Clusters returns the clusters that entries or Environments name.
func (r *Controller) Clusters(ctx context.Context) (map[string]bool, error) {
	used, err := r.Named(ctx)
	if err != nil {
		return nil, err
	}
	var environments v1alpha1.EnvironmentList
	if err := r.Client.List(ctx, &environments, client.InNamespace(r.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, err
	}
	for i := range environments.Items {
		used[environments.Items[i].Spec.Cluster] = true
	}
	return used, nil
}
