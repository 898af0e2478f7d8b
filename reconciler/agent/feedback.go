package agent

import (
	"context"
	"net/http"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/feedback"
	"berth.dev/berth/reconciler/report"
)

// addFeedback adds what reports to forges, by requests that only the leader may send. The reporter is made after it, because
// each needs the other.
func (a *Agent) addFeedback(ctx context.Context, reporter **report.Reporter, fence func(http.RoundTripper) http.RoundTripper) error {
	a.feedback = feedback.New(feedback.Config{
		Client: a.mgr.GetClient(),
		Recall: func(env *v1alpha1.Environment) { (*reporter).Recall(env) },
		Write: func(ctx context.Context, env *v1alpha1.Environment, told *v1alpha1.EnvironmentFeedback) error {
			return (*reporter).EnvironmentFeedback(ctx, env, told)
		},
		Requeue: func(repo types.NamespacedName) { a.repositories.ReportAgain(repo) },
		Sent:    a.Metrics.ForgeAsked,
		Left:    a.Metrics.ForgeLeft,
		Agent:   a.Name, Page: feedback.Page(a.PageURL), Key: a.installation.digestKey, Proxy: a.Proxy, Wrap: fence, UserAgent: "berth/" + a.Version, Now: a.Now, Jitter: a.Jitter, Log: a.Log,
	})
	// The controllers need not have seen an object whose deletion ends.
	if err := a.onDeleted(ctx, &v1alpha1.Environment{}, func(gone any) {
		if env, ok := gone.(*v1alpha1.Environment); ok {
			a.feedback.Changed(env)
		}
	}); err != nil {
		return err
	}
	if err := a.onDeleted(ctx, &v1alpha1.Repository{}, func(gone any) {
		if repo, ok := gone.(*v1alpha1.Repository); ok {
			a.feedback.Removed(client.ObjectKeyFromObject(repo))
		}
	}); err != nil {
		return err
	}
	return a.mgr.Add(manager.RunnableFunc(a.feedback.Start))
}

// onDeleted calls a function with each object of a kind that is gone from the cache.
func (a *Agent) onDeleted(ctx context.Context, kind client.Object, call func(gone any)) error {
	informer, err := a.mgr.GetCache().GetInformer(ctx, kind)
	if err != nil {
		return err
	}
	_, err = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{DeleteFunc: func(gone any) {
		if last, ok := gone.(cache.DeletedFinalStateUnknown); ok {
			gone = last.Obj
		}
		call(gone)
	}})
	return err
}

// reportRepository writes a Repository's status, and lets what reports to its forge see its spec and Secrets.
func (a *Agent) reportRepository(reporter *report.Reporter) func(context.Context, *v1alpha1.Repository, v1alpha1.RepositoryStatus) error {
	return func(ctx context.Context, repo *v1alpha1.Repository, status v1alpha1.RepositoryStatus) error {
		a.feedback.Follow(repo)
		return reporter.Repository(ctx, repo, status)
	}
}
