package main

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"

	"berth.dev/berth/api/v1alpha1"
)

// What a webhook is proven with: a Secret of the agent's namespace, and its token.
const (
	hookSecret = "bench-hook"
	hookToken  = "bench"
)

// hooks measures how long it takes from the webhook of a push to the first write.
func (b *bench) hooks() []figure {
	t := b.stand()
	b.rest(b.settle)
	var took []time.Duration
	for i := range b.samples {
		took = append(took, b.reaction(t, i))
	}
	return []figure{of("webhook to the first write", "ms", each(took, milliseconds)).within(300)}
}

// reaction pushes to a branch, delivers the webhook, and waits for the first write: that of the ConfigMap,
// which names the commit and goes before all others.
func (b *bench) reaction(t *team, i int) time.Duration {
	number := i % b.branches
	namespace := t.name + "-" + branch(number)
	b.push(number, fmt.Sprint("hook ", i))
	seen := make(chan time.Time, 1)
	options := b.fromNow(configMaps, namespace, "settings")
	go func() {
		b.watched(configMaps, namespace, options, func(watch.EventType, *unstructured.Unstructured) bool { return true })
		seen <- time.Now()
	}()
	told := time.Now()
	b.deliver(t.name)
	took := (<-seen).Sub(told)
	// The next one finds a quiet cluster.
	t.Environment(branch(number)).BecomesWithin(limit, v1alpha1.ReasonHealthy, b.git.Head(branch(number)))
	return took
}

// deliver sends what GitLab sends after a push.
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

// freeAddress returns one of this machine that nobody listens at.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}
