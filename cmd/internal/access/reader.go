package access

import (
	"context"
	"io"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/inspect"
)

// Reader reads what both the subject and the program may read. It is a client.Reader.
type Reader struct {
	Subject *Subject
	// Own reads with the program's rights.
	Own client.Client
}

// Get reads an object.
func (r Reader) Get(ctx context.Context, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
	what, err := r.attributes(into, "get")
	if err != nil {
		return err
	}
	what.Namespace, what.Name = key.Namespace, key.Name
	if err := r.Subject.Check(ctx, what); err != nil {
		return err
	}
	return own(r.Own.Get(ctx, key, into, opts...))
}

// List lists objects.
func (r Reader) List(ctx context.Context, into client.ObjectList, opts ...client.ListOption) error {
	what, err := r.attributes(into, "list")
	if err != nil {
		return err
	}
	var o client.ListOptions
	o.ApplyOptions(opts)
	what.Namespace = o.Namespace
	if err := r.Subject.Check(ctx, what); err != nil {
		return err
	}
	return own(r.Own.List(ctx, into, opts...))
}

// attributes returns what a request for a kind is about, in RBAC's words.
func (r Reader) attributes(of runtime.Object, verb string) (authorizationv1.ResourceAttributes, error) {
	kind, err := apiutil.GVKForObject(of, r.Own.Scheme())
	if err != nil {
		return authorizationv1.ResourceAttributes{}, err
	}
	if meta.IsListType(of) {
		kind.Kind = strings.TrimSuffix(kind.Kind, "List")
	}
	mapping, err := r.Own.RESTMapper().RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return authorizationv1.ResourceAttributes{}, err
	}
	return attributesOf(mapping.Resource, verb), nil
}

func attributesOf(resource schema.GroupVersionResource, verb string) authorizationv1.ResourceAttributes {
	return authorizationv1.ResourceAttributes{Verb: verb, Group: resource.Group, Resource: resource.Resource}
}

// own returns the error of a request that the subject may send and the program may not. It is not that of a viewer who
// lacks a right.
func own(err error) error {
	if apierrors.IsForbidden(err) {
		return inspect.ErrNotOurs
	}
	return err
}

// log is what reading the log of a pod is about.
func log(pod types.NamespacedName) authorizationv1.ResourceAttributes {
	return authorizationv1.ResourceAttributes{Verb: "get", Resource: "pods", Subresource: "log", Namespace: pod.Namespace, Name: pod.Name}
}

// Logs returns the logs that the subject may read.
func (s *Subject) Logs(read inspect.Logs) inspect.Logs {
	return func(ctx context.Context, pod types.NamespacedName, o *corev1.PodLogOptions) ([]byte, error) {
		if err := s.Check(ctx, log(pod)); err != nil {
			return nil, err
		}
		text, err := read(ctx, pod, o)
		return text, own(err)
	}
}

// Stream returns the logs that the subject may follow. What is followed ends when the subject may read it no more.
func (s *Subject) Stream(open inspect.Stream) inspect.Stream {
	return func(ctx context.Context, pod types.NamespacedName, o *corev1.PodLogOptions) (io.ReadCloser, error) {
		if err := s.Check(ctx, log(pod)); err != nil {
			return nil, err
		}
		stream, err := open(ctx, pod, o)
		if err != nil {
			return nil, own(err)
		}
		return &followed{ReadCloser: stream, check: func() error { return s.Check(ctx, log(pod)) }}, nil
	}
}

// followed is a log that is read as long as the subject may.
type followed struct {
	io.ReadCloser
	check func() error
}

// Read reads more of the log.
func (f *followed) Read(text []byte) (int, error) {
	n, err := f.ReadCloser.Read(text)
	if denied := f.check(); denied != nil {
		return 0, denied
	}
	return n, err
}

// MayRead returns a function that returns an error unless the subject may read Environments or Repositories of a namespace:
// a verb of a resource, and a name or none.
func (s *Subject) MayRead(namespace string) func(ctx context.Context, verb, resource, name string) error {
	return func(ctx context.Context, verb, resource, name string) error {
		what := attributesOf(v1alpha1.GroupVersion.WithResource(resource), verb)
		what.Namespace, what.Name = namespace, name
		return s.Check(ctx, what)
	}
}
