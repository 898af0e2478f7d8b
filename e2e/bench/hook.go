package main

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/gittest"
)

// The webhook's credential: a Secret in the agent's namespace, and its token.
const (
	hookSecret = "bench-hook"
	hookToken  = "bench"
)

// hooks measures the time from the webhook of a push to the first write.
func (b *bench) hooks() []figure {
	t := b.stand()
	b.rest(b.settle)
	var took []time.Duration
	for i := range b.samples {
		number := i % b.branches
		b.push(number, fmt.Sprint("hook ", i))
		took = append(took, b.reaction(t, place{git: b.git, branch: branch(number), namespace: t.name + "-" + branch(number)}))
	}
	return []figure{of("webhook to the first write", "ms", each(took, milliseconds)).within(300)}
}

// place is a branch and its namespace.
type place struct {
	git               *gittest.Repository
	branch, namespace string
}

// reaction delivers the webhook of a push, and waits for the first write. That is the ConfigMap: it names the commit
// and is applied before all other objects.
func (b *bench) reaction(t *team, at place) time.Duration {
	seen := make(chan time.Time, 1)
	options := b.fromNow(configMaps, at.namespace, "settings")
	go func() {
		b.watched(configMaps, at.namespace, options, func(watch.EventType, *unstructured.Unstructured) bool { return true })
		seen <- time.Now()
	}()
	told := time.Now()
	b.deliver(t.name)
	took := (<-seen).Sub(told)
	// Wait until the cluster is quiet before the next measurement.
	t.Environment(at.branch).BecomesWithin(limit, v1alpha1.ReasonHealthy, at.git.Head(at.branch))
	return took
}

// deliver sends the request that GitLab sends after a push.
func (b *bench) deliver(repository string) {
	body := strings.NewReader(`{"object_kind":"push"}`)
	request, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, "http://"+b.hookAddress+"/hooks/"+repository, body)
	if err != nil {
		b.t.Fatalf("%v", err)
	}
	request.Header.Set("X-Gitlab-Event", "Push Hook")
	request.Header.Set("X-Gitlab-Token", hookToken)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		b.t.Fatalf("cannot deliver a webhook: %v", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusAccepted {
		b.t.Fatalf("a webhook was answered with %s", answer.Status)
	}
}
