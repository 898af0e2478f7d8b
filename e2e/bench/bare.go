package main

import (
	"context"
	"encoding/json"
	"errors"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"

	"berth.dev/berth/e2e/world"
	"berth.dev/berth/health"
	"berth.dev/berth/internal/clustertest"
)

// write is a request of the bare client, ready to be sent.
type write struct {
	resource        schema.GroupVersionResource
	namespace, name string
	body            []byte
	object          *unstructured.Unstructured
}

// bareClient returns a client for a service account with all rights.
func bareClient(ctx context.Context, cluster *clustertest.Cluster) (dynamic.Interface, error) {
	const namespace, name = "default", "bare"
	account := map[string]any{"kind": "ServiceAccount", "namespace": namespace, "name": name}
	err := clustertest.Apply(ctx, cluster.RESTConfig(),
		&unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "ServiceAccount", "metadata": map[string]any{"namespace": namespace, "name": name},
		}},
		&unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": map[string]any{"name": name},
			"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
			"subjects": []any{account},
		}})
	if err != nil {
		return nil, err
	}
	config, err := cluster.ConfigFor(ctx, namespace, name)
	if err != nil {
		return nil, err
	}
	return dynamic.NewForConfig(config)
}

// bareRollout sends the same objects as Berth, and watches until everything is healthy by the same judgement.
func (b *bench) bareRollout(round string) rollout {
	branches := make([][]write, b.branches)
	for i := range branches {
		branches[i] = b.writes(round, branch(i), files())
	}
	return b.timed(func() {
		var all sync.WaitGroup
		all.Go(func() { b.awaitSettled(deployment, round, len(deployments)*b.branches) })
		all.Go(func() { b.awaitSettled(jobs, round, b.branches) })
		if err := b.sendAll(branches); err != nil {
			b.t.Fatalf("the bare client: %v", err)
		}
		all.Wait()
	})
}

// writes prepares the writes of a branch, so that a round only has to send them.
func (b *bench) writes(round, branch string, files map[string]string) []write {
	objects, err := bareObjects(round, branch, files)
	if err != nil {
		b.t.Fatalf("%v", err)
	}
	writes := make([]write, len(objects))
	for i, object := range objects {
		body, err := json.Marshal(object)
		if err != nil {
			b.t.Fatalf("%v", err)
		}
		resource, _ := meta.UnsafeGuessKindToResource(object.GroupVersionKind())
		writes[i] = write{resource: resource, namespace: object.GetNamespace(), name: object.GetName(), body: body, object: object}
	}
	return writes
}

// sendAll sends the writes of each branch in order, and several branches concurrently.
func (b *bench) sendAll(branches [][]write) error {
	queue := make(chan []write, len(branches))
	for _, writes := range branches {
		queue <- writes
	}
	close(queue)
	errs := make([]error, b.workers)
	var all sync.WaitGroup
	for worker := range b.workers {
		all.Go(func() {
			for writes := range queue {
				for _, w := range writes {
					if err := b.send(b.t.Context(), w); err != nil {
						errs[worker] = err
						return
					}
				}
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// send applies an object, or creates it if it is a Job, as Berth does.
func (b *bench) send(ctx context.Context, w write) error {
	client := b.bare.Resource(w.resource).Namespace(w.namespace)
	if w.resource == jobs {
		_, err := client.Create(ctx, w.object, metav1.CreateOptions{FieldManager: "bare", FieldValidation: metav1.FieldValidationStrict})
		return err
	}
	force := true
	_, err := client.Patch(ctx, w.name, types.ApplyPatchType, w.body, metav1.PatchOptions{FieldManager: "bare", Force: &force, FieldValidation: metav1.FieldValidationStrict})
	return err
}

// awaitSettled waits until the given number of objects of a kind are healthy. Objects of the workload's other kinds are
// healthy as soon as they exist.
func (b *bench) awaitSettled(resource schema.GroupVersionResource, round string, want int) {
	healthy := map[string]bool{}
	options := metav1.ListOptions{LabelSelector: labelBench + "=" + round}
	b.watched(resource, metav1.NamespaceAll, options, func(_ watch.EventType, object *unstructured.Unstructured) bool {
		healthy[object.GetNamespace()+"/"+object.GetName()] = health.Of(object).Status == health.Healthy
		return count(healthy) == want
	})
}

// removeBare deletes the namespaces of a round, and waits until they are gone.
func (b *bench) removeBare(round string) {
	ctx := b.t.Context()
	ofRound := metav1.ListOptions{LabelSelector: labelBench + "=" + round}
	list, err := b.client.Resource(namespaces).List(ctx, ofRound)
	if err != nil {
		b.t.Fatalf("cannot list what the bare client made: %v", err)
	}
	for _, namespace := range list.Items {
		if err := b.client.Resource(namespaces).Delete(ctx, namespace.GetName(), metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			b.t.Fatalf("cannot delete what the bare client made: %v", err)
		}
	}
	world.AwaitFor(b.t, limit, "the namespaces of "+round+" are gone", func() (string, bool) {
		list, err := b.client.Resource(namespaces).List(ctx, ofRound)
		return "some are left", err == nil && len(list.Items) == 0
	})
}
