package crash

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
)

// run identifies a run of a Job that must happen once.
type run struct{ namespace, name, digest string }

// runs counts all Jobs that were ever created.
type runs struct {
	mu   sync.Mutex
	uids map[run]map[types.UID]bool
	// forgotten are the names of Jobs that may run again.
	forgotten map[string]bool
}

func watchRuns(t *testing.T, client dynamic.Interface) *runs {
	t.Helper()
	r := &runs{uids: map[run]map[types.UID]bool{}, forgotten: map[string]bool{}}
	ctx, cancel := context.WithCancel(context.Background())
	watch, err := client.Resource(jobs).Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for event := range watch.ResultChan() {
			if job, ok := event.Object.(*unstructured.Unstructured); ok {
				r.note(job)
			}
		}
		if ctx.Err() == nil {
			t.Error("the watch of Jobs ended")
		}
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return r
}

func (r *runs) note(job *unstructured.Unstructured) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := run{job.GetNamespace(), job.GetName(), job.GetAnnotations()["berth.dev/digest"]}
	if r.uids[key] == nil {
		r.uids[key] = map[types.UID]bool{}
	}
	r.uids[key][job.GetUID()] = true
}

// forgets allows a Job to run again.
func (r *runs) forgets(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forgotten[name] = true
}

// of counts the runs of a Job, in all namespaces and with all digests.
func (r *runs) of(name string) (count int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, uids := range r.uids {
		if key.name == name {
			count += len(uids)
		}
	}
	return count
}

func (r *runs) total() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.uids)
}

func (r *runs) twice() (keys []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, uids := range r.uids {
		if len(uids) > 1 && !r.forgotten[key.name] {
			keys = append(keys, fmt.Sprintf("%s/%s %s: %d times", key.namespace, key.name, key.digest, len(uids)))
		}
	}
	slices.Sort(keys)
	return keys
}
