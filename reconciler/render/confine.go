package render

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"berth.dev/berth/reconciler/manifest"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	namespaceKind = schema.GroupKind{Kind: "Namespace"}
	crdKind       = schema.GroupKind{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}
)

// confined gives every object its namespace and removes those that the scope does not allow.
func (r *renderer) confined(objects []manifest.Object) []manifest.Object {
	defined := definedScopes(objects)
	kept := objects[:0]
	for _, o := range objects {
		keep, err := r.confine(o, defined)
		if err != nil {
			r.problems.add(err)
		} else if keep {
			kept = append(kept, o)
		}
	}
	for _, err := range (manifest.Set{Objects: kept}).Unique() {
		r.problems.add(duplicateError(err))
	}
	return kept
}

func duplicateError(err error) error {
	var d *manifest.DuplicateError
	if !errors.As(err, &d) {
		return err
	}
	return &Error{Origin: d.Origin, Object: d.Key.Short(),
		Problem: fmt.Sprintf("it is already defined at %s", d.First), Hint: "remove one of the two"}
}

// confine sets the namespace of one object; keep is false for one that is left out with a warning.
func (r *renderer) confine(o manifest.Object, defined map[schema.GroupKind]bool) (keep bool, err error) {
	gk := o.GroupVersionKind().GroupKind()
	namespace := o.GetNamespace()
	problem := &Error{Origin: o.Origin, Object: o.Key().Short()}
	outside, err := r.clusterScoped(gk, defined)
	switch {
	case err != nil:
		problem.Problem, problem.Cause = "it is unknown whether its kind is cluster-scoped", &passing{err}
		problem.Hint = "nothing is applied or deleted until the API server answers"
		return false, problem
	case outside && r.Scope == Cluster:
		if namespace != "" {
			unstructured.RemoveNestedField(o.Object, "metadata", "namespace")
			r.warn(manifest.Warning{Origin: o.Origin, Object: o.Key().Short(), Text: "it is cluster-scoped; its metadata.namespace is left out"})
		}
	case gk == namespaceKind && o.GetName() == r.Namespace:
		r.warn(manifest.Warning{Origin: o.Origin, Object: o.Key().Short(), Text: "it is left out; Berth itself creates the environment's namespace"})
		return false, nil
	case outside:
		problem.Problem = fmt.Sprintf("it is cluster-scoped, and this environment is confined to the namespace %q", r.Namespace)
		problem.Hint = "remove it, or give the entry scope: Cluster"
		return false, problem
	case namespace == "":
		o.SetNamespace(r.Namespace)
	case namespace != r.Namespace && r.Scope == Namespaced:
		if by, ok := r.namespaces[namespace]; ok {
			return false, r.elsewhere(namespace, by)
		}
		problem.Problem = fmt.Sprintf("it names the namespace %q, and this environment is confined to %q", namespace, r.Namespace)
		problem.Hint = "leave metadata.namespace out, or write ${NAMESPACE}"
		return false, problem
	}
	if taken := reserved(o); taken != nil {
		return false, taken
	}
	if r.Scope == Namespaced {
		if reaches := overreaching(o); reaches != nil {
			return false, reaches
		}
	}
	return true, nil
}

// noteNamespace notes that a kustomization puts its objects into a namespace.
func (r *renderer) noteNamespace(namespace string, by manifest.Origin) {
	if r.namespaces == nil {
		r.namespaces = map[string]manifest.Origin{}
	}
	if _, known := r.namespaces[namespace]; !known {
		r.namespaces[namespace] = by
	}
}

// elsewhere returns the problem of a kustomization that puts its objects into another namespace. It is reported once
// for all of them.
func (r *renderer) elsewhere(namespace string, by manifest.Origin) error {
	problem := &Error{Origin: by, Problem: fmt.Sprintf("it puts its objects into the namespace %q, and this environment is confined to %q", namespace, r.Namespace),
		Hint: "leave namespace out, or write ${NAMESPACE}"}
	if slices.ContainsFunc(r.problems.list, func(e *Error) bool { return e.Origin == by && e.Problem == problem.Problem }) {
		return nil
	}
	return problem
}

// clusterScoped reports whether a kind is cluster-scoped, and notes answers that came from the cluster.
func (r *renderer) clusterScoped(gk schema.GroupKind, defined map[schema.GroupKind]bool) (bool, error) {
	if scoped, known := manifest.ClusterScoped(gk); known {
		return scoped, nil
	}
	if scoped, known := defined[gk]; known {
		return scoped, nil
	}
	if r.ClusterScoped == nil {
		return false, nil
	}
	scoped, err := r.ClusterScoped(gk)
	if err == nil {
		r.inputs.outside[Kind(gk)] = scoped
	}
	return scoped, err
}

// definedScopes returns the kinds that the objects' own CustomResourceDefinitions define, with true for
// cluster-scoped ones.
func definedScopes(objects []manifest.Object) map[schema.GroupKind]bool {
	scopes := map[schema.GroupKind]bool{}
	for _, o := range objects {
		if o.GroupVersionKind().GroupKind() != crdKind {
			continue
		}
		group, _, _ := unstructured.NestedString(o.Object, "spec", "group")
		kind, _, _ := unstructured.NestedString(o.Object, "spec", "names", "kind")
		scope, _, _ := unstructured.NestedString(o.Object, "spec", "scope")
		scopes[schema.GroupKind{Group: group, Kind: kind}] = scope == "Cluster"
	}
	return scopes
}

// ordered sorts objects in the order in which they are applied. Objects of one place are sorted by file, and by line
// within a file.
func (r *renderer) ordered(objects []manifest.Object) []manifest.Object {
	places := make(map[*unstructured.Unstructured]manifest.Place, len(objects))
	for _, o := range objects {
		place, err := manifest.PlaceOf(o)
		if err != nil {
			r.problems.add(err)
		}
		places[o.Unstructured] = place
	}
	slices.SortStableFunc(objects, func(a, b manifest.Object) int {
		return cmp.Or(places[a.Unstructured].Compare(places[b.Unstructured]),
			cmp.Compare(a.Origin.File, b.Origin.File))
	})
	return objects
}
