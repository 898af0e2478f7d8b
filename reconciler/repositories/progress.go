package repositories

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/source"
)

// progressPause is the time between two progress reports of a fetch. A shorter fetch is not reported.
const progressPause = 10 * time.Second

// fetch fetches commits, and reports the progress of a long fetch in the Repository's status.
func (r *Controller) fetch(ctx context.Context, repo *v1alpha1.Repository, store *source.Repository, commits []string) error {
	over := make(chan struct{})
	var showing sync.WaitGroup
	showing.Go(func() { r.showProgress(ctx, repo.DeepCopy(), store, over) })
	err := r.Stores.Fetch(ctx, repo.Name, commits...)
	close(over)
	showing.Wait()
	return err
}

func (r *Controller) showProgress(ctx context.Context, repo *v1alpha1.Repository, store *source.Repository, over <-chan struct{}) {
	ticks := time.NewTicker(r.progressPause())
	defer ticks.Stop()
	for {
		select {
		case <-over:
			return
		case <-ticks.C:
			r.Pulse.Beat()
			if err := r.Report(ctx, repo, progressOf(repo, store.Received())); err != nil {
				return // the caller of fetch writes the next status that matters
			}
		}
	}
}

func (r *Controller) progressPause() time.Duration {
	if r.ProgressPause > 0 {
		return r.ProgressPause
	}
	return progressPause
}

// progressOf returns the status during a fetch. Ready keeps its value if it has one.
func progressOf(repo *v1alpha1.Repository, received int64) v1alpha1.RepositoryStatus {
	status := *repo.Status.DeepCopy()
	message := fmt.Sprintf("fetching commits: %d MiB so far, of at most %d MiB", received>>20, repo.Spec.Limits.FetchBytes.Value()>>20)
	if received == 0 {
		message = "fetching commits: the server is preparing them"
	}
	if meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady) == nil {
		meta.SetStatusCondition(&status.Conditions, metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonFetching, Message: message, ObservedGeneration: repo.Generation})
	}
	if ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady); ready.Reason == v1alpha1.ReasonFetching {
		ready.Message = message
	}
	meta.SetStatusCondition(&status.Conditions, metav1.Condition{Type: v1alpha1.ConditionReconciling, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonFetching, Message: message, ObservedGeneration: repo.Generation})
	return status
}
