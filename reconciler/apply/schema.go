package apply

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/openapi"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/merge"
	"sigs.k8s.io/structured-merge-diff/v6/typed"

	"berth.dev/berth/reconciler/manifest"
)

// schemas caches the API server's schemas for the time of a run: they are large, and rarely needed.
type schemas struct {
	client openapi.Client

	mu    sync.Mutex
	types map[schema.GroupVersion]managedfields.TypeConverter
}

// of returns the schemas of a version of an API group.
func (s *schemas) of(gv schema.GroupVersion) (managedfields.TypeConverter, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if types, ok := s.types[gv]; ok {
		return types, nil
	}
	types, err := s.read(gv)
	if err != nil {
		return nil, fmt.Errorf("reading the schema of %s: %w", gv, err)
	}
	if s.types == nil {
		s.types = map[schema.GroupVersion]managedfields.TypeConverter{}
	}
	s.types[gv] = types
	return types, nil
}

func (s *schemas) read(gv schema.GroupVersion) (managedfields.TypeConverter, error) {
	if s.client == nil {
		return nil, errors.New("there is no client for it")
	}
	paths, err := s.client.Paths()
	if err != nil {
		return nil, err
	}
	path := "apis/" + gv.String()
	if gv.Group == "" {
		path = "api/" + gv.Version
	}
	document, ok := paths[path]
	if !ok {
		return nil, errors.New("the API server has none")
	}
	text, err := document.Schema(runtime.ContentTypeJSON)
	if err != nil {
		return nil, err
	}
	var parsed struct {
		Components struct {
			Schemas map[string]*spec.Schema `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(text, &parsed); err != nil {
		return nil, err
	}
	return managedfields.NewTypeConverter(parsed.Components.Schemas, false)
}

// merger applies an object over another as the API server does, with the same schema and library.
type merger struct {
	version   fieldpath.APIVersion
	types     managedfields.TypeConverter
	live, git *typed.TypedValue
}

func newMerger(types managedfields.TypeConverter, live, git *unstructured.Unstructured) (*merger, error) {
	m := &merger{version: fieldpath.APIVersion(git.GetAPIVersion()), types: types}
	bare := live.DeepCopy()
	bare.SetManagedFields(nil)
	var err error
	if m.live, err = types.ObjectToTyped(bare, typed.AllowDuplicates); err != nil {
		return nil, err
	}
	m.git, err = types.ObjectToTyped(git)
	return m, err
}

// merged is an object after an apply.
type merged struct {
	object *unstructured.Unstructured
	// fields are all fields of the object, and owned are those with a field manager.
	fields, owned *fieldpath.Set
}

// merge returns the result of applying to the live object, given its managed fields.
func (m *merger) merge(entries []metav1.ManagedFieldsEntry) (merged, error) {
	managers := fieldpath.ManagedFields{}
	own := ""
	for i, e := range entries {
		set := &fieldpath.Set{}
		if err := set.FromJSON(bytes.NewReader(e.FieldsV1.GetRawBytes())); err != nil {
			return merged{}, err
		}
		applied := e.Operation == metav1.ManagedFieldsOperationApply
		name := fmt.Sprint(i)
		if applied && e.Manager == manifest.FieldManager {
			own = name
		}
		managers[name] = fieldpath.NewVersionedSet(set, fieldpath.APIVersion(e.APIVersion), applied)
	}
	updater := (&merge.UpdaterBuilder{Converter: oneVersion(m.version), ReturnInputOnNoop: true}).BuildUpdater()
	applied, managers, err := updater.Apply(m.live, m.git, m.version, managers, own, true)
	if err != nil {
		return merged{}, err
	}
	fields, err := applied.ToFieldSet()
	if err != nil {
		return merged{}, err
	}
	owned := &fieldpath.Set{}
	for _, manager := range managers {
		owned = owned.Union(manager.Set())
	}
	object, err := m.types.TypedToObject(applied)
	if err != nil {
		return merged{}, err
	}
	return merged{object: object.(*unstructured.Unstructured), fields: fields, owned: owned}, nil
}

// oneVersion is the only version of an API in which fields are compared.
type oneVersion fieldpath.APIVersion

var errOtherVersion = errors.New("is in another version")

// Convert returns the object unchanged.
func (v oneVersion) Convert(object *typed.TypedValue, version fieldpath.APIVersion) (*typed.TypedValue, error) {
	if version != fieldpath.APIVersion(v) {
		return nil, errOtherVersion
	}
	return object, nil
}

// IsMissingVersionError reports whether an object could not be converted.
func (oneVersion) IsMissingVersionError(err error) bool { return errors.Is(err, errOtherVersion) }
