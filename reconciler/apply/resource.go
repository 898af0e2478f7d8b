package apply

import (
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/plan"
)

// client returns the client for a step's object.
func (r *run) client(s plan.Step) (dynamic.ResourceInterface, error) {
	gvk, err := served(s)
	if err != nil {
		return nil, err
	}
	mapping, err := r.mapper.find(gvk)
	if err != nil {
		return nil, err
	}
	as, err := r.clientOf(s.Key)
	if err != nil {
		return nil, err
	}
	client := as.Resource(mapping.Resource)
	switch scoped := mapping.Scope.Name() == meta.RESTScopeNameNamespace; {
	case scoped && s.Key.Namespace == "":
		return nil, &finding{class: Invalid, text: "has no namespace, but its kind lives in one"}
	case !scoped && s.Key.Namespace != "":
		return nil, &finding{class: Invalid, text: "has a namespace, but its kind is cluster-scoped"}
	case scoped:
		return client.Namespace(s.Key.Namespace), nil
	}
	return client, nil
}

// served returns the kind in Git's version of the object or, without one, in the cluster's version.
func served(s plan.Step) (schema.GroupVersionKind, error) {
	switch {
	case s.Object != nil:
		return s.Object.GroupVersionKind(), nil
	case s.Live == nil:
		return s.Key.GroupKind().WithVersion(""), nil
	}
	gv, err := schema.ParseGroupVersion(s.Live.APIVersion)
	if err != nil {
		return schema.GroupVersionKind{}, fmt.Errorf("reading the version of a live object: %w", err)
	}
	return gv.WithKind(s.Key.Kind), nil
}

// mapper discovers the API server's kinds again when it finds an unknown one, which may be new.
type mapper struct {
	rest meta.RESTMapper

	mu    sync.Mutex
	round int // how often it was reset
}

func (m *mapper) find(gvk schema.GroupVersionKind) (*meta.RESTMapping, error) {
	round := m.current()
	mapping, err := m.get(gvk)
	if meta.IsNoMatchError(err) {
		m.reset(round)
		mapping, err = m.get(gvk)
	}
	if elsewhere := m.elsewhere(gvk, err); elsewhere != "" {
		return nil, &finding{class: NotServed, text: fmt.Sprintf("the cluster has no kind %s in %s, but in %s", gvk.Kind, gvk.GroupVersion(), elsewhere), cause: err}
	}
	return mapping, err
}

// elsewhere returns the version in which a kind is served.
func (m *mapper) elsewhere(gvk schema.GroupVersionKind, err error) string {
	if !meta.IsNoMatchError(err) {
		return ""
	}
	return manifest.ServedIn(m.rest, gvk.Kind)
}

func (m *mapper) get(gvk schema.GroupVersionKind) (*meta.RESTMapping, error) {
	if gvk.Version == "" {
		return m.rest.RESTMapping(gvk.GroupKind())
	}
	return m.rest.RESTMapping(gvk.GroupKind(), gvk.Version)
}

func (m *mapper) current() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.round
}

// reset clears the mapper's cache, unless it was already cleared since the round. Many objects of one missing kind
// thus cause one discovery.
func (m *mapper) reset(round int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.round == round {
		meta.MaybeResetRESTMapper(m.rest)
		m.round++
	}
}
