package world

import (
	"encoding/base64"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/deploy"
)

// A Repository is a Repository object that Berth reconciles.
type Repository struct {
	Name  string
	world *World
	t     Reporter
}

// Follow creates a Repository object, as an administrator does.
func (w *World) Follow(t Reporter, repository *v1alpha1.Repository) *Repository {
	t.Helper()
	if err := w.Create(t, repository); err != nil {
		t.Fatalf("%v", err)
	}
	return &Repository{Name: repository.Name, world: w, t: t}
}

// Create creates a Repository object, and returns the API server's error.
func (w *World) Create(t Reporter, repository *v1alpha1.Repository) error {
	repository.Namespace = deploy.Namespace
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(repository)
	if err != nil {
		return fmt.Errorf("writing the Repository %s: %w", repository.Name, err)
	}
	u := &unstructured.Unstructured{Object: object}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Repository"))
	_, err = w.client.Resource(kinds["Repository"]).Namespace(deploy.Namespace).Create(t.Context(), u, metav1.CreateOptions{})
	return err
}

// SetSecret writes a Secret into Berth's namespace, as an administrator does.
func (w *World) SetSecret(t Reporter, name string, values map[string]string) {
	t.Helper()
	data := map[string]any{}
	for key, value := range values {
		data[key] = base64.StdEncoding.EncodeToString([]byte(value))
	}
	secret := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Secret", "data": data}}
	secret.SetName(name)
	secrets := w.client.Resource(kinds["Secret"]).Namespace(deploy.Namespace)
	_, err := secrets.Apply(t.Context(), name, secret, metav1.ApplyOptions{FieldManager: "administrator", Force: true})
	if err != nil {
		t.Fatalf("cannot write the Secret %s: %v", name, err)
	}
}

// Get returns the Repository object.
func (r *Repository) Get() *v1alpha1.Repository {
	r.t.Helper()
	object, err := r.world.client.Resource(kinds["Repository"]).Namespace(deploy.Namespace).Get(r.t.Context(), r.Name, metav1.GetOptions{})
	if err != nil {
		r.t.Fatalf("cannot look at the Repository %s: %v", r.Name, err)
	}
	repository := &v1alpha1.Repository{}
	r.decode(object, repository)
	return repository
}

// Patch changes the Repository object with a merge patch.
func (r *Repository) Patch(patch string) {
	r.t.Helper()
	_, err := r.world.client.Resource(kinds["Repository"]).Namespace(deploy.Namespace).
		Patch(r.t.Context(), r.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	if err != nil {
		r.t.Fatalf("cannot change the Repository %s: %v", r.Name, err)
	}
}

// Becomes waits until the Repository's Ready condition has a reason, and all of the texts in its message.
func (r *Repository) Becomes(reason string, texts ...string) {
	r.t.Helper()
	Await(r.t, fmt.Sprintf("the Repository %s becomes %s %q", r.Name, reason, texts), func() (string, bool) {
		repository := r.Get()
		ready := meta.FindStatusCondition(repository.Status.Conditions, v1alpha1.ConditionReady)
		if ready == nil {
			return "no condition", false
		}
		current := ready.ObservedGeneration == repository.Generation
		return ready.Reason + ": " + ready.Message, current && ready.Reason == reason && containsAll(ready.Message, texts)
	})
}

// Remove deletes the Repository object. If the agent asks, it confirms the deletion of all of its environments, which
// takes some time.
func (r *Repository) Remove() {
	r.t.Helper()
	err := r.world.client.Resource(kinds["Repository"]).Namespace(deploy.Namespace).Delete(r.t.Context(), r.Name, metav1.DeleteOptions{})
	if err != nil {
		r.t.Fatalf("cannot remove the Repository %s: %v", r.Name, err)
	}
	// A confirmation counts only for what the agent asks about at that time.
	Await(r.t, fmt.Sprintf("the agent deletes the environments of %s, or asks", r.Name), func() (string, bool) {
		for _, e := range r.Environments() {
			ready := meta.FindStatusCondition(e.Status.Conditions, v1alpha1.ConditionReady)
			asks := ready != nil && ready.Reason == v1alpha1.ReasonWaiting && strings.Contains(ready.Message, "does not exist")
			if e.DeletionTimestamp.IsZero() && !asks {
				return e.Name, false
			}
		}
		return "", true
	})
	for _, e := range r.Environments() {
		r.world.confirm(r.t, e.Name)
	}
}

// confirm confirms the deletion of an Environment, however many others are deleted with it.
func (w *World) confirm(t Reporter, environment string) {
	t.Helper()
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:"yes"}}}`, v1alpha1.AnnotationConfirmed)
	_, err := w.client.Resource(kinds["Environment"]).Namespace(deploy.Namespace).
		Patch(t.Context(), environment, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		t.Fatalf("cannot confirm the end of the Environment %s: %v", environment, err)
	}
}

// Environments returns all Environment objects of the Repository.
func (r *Repository) Environments() []v1alpha1.Environment {
	r.t.Helper()
	list, err := r.world.client.Resource(kinds["Environment"]).Namespace(deploy.Namespace).
		List(r.t.Context(), metav1.ListOptions{LabelSelector: v1alpha1.LabelRepository + "=" + r.Name})
	if err != nil {
		r.t.Fatalf("cannot look at the environments of %s: %v", r.Name, err)
	}
	environments := make([]v1alpha1.Environment, len(list.Items))
	for i := range list.Items {
		r.decode(&list.Items[i], &environments[i])
	}
	return environments
}

// With returns the same Repository for another reporter, such as a subtest.
func (r *Repository) With(t Reporter) *Repository {
	return &Repository{Name: r.Name, world: r.world, t: t}
}

// Environment returns the environment of a branch, which need not exist yet.
func (r *Repository) Environment(branch string) *Environment {
	return &Environment{Branch: branch, repository: r, world: r.world, t: r.t}
}

// EnvironmentOf returns the environment of a branch and an entry, if several entries match the branch.
func (r *Repository) EnvironmentOf(entry, branch string) *Environment {
	return &Environment{Branch: branch, entry: entry, repository: r, world: r.world, t: r.t}
}

func (r *Repository) decode(object *unstructured.Unstructured, into any) {
	r.t.Helper()
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, into); err != nil {
		r.t.Fatalf("reading %s %s: %v", object.GetKind(), object.GetName(), err)
	}
}

func containsAll(text string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}
