// Package installation installs Berth into a cluster, and removes it from one.
package installation

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"berth.dev/berth/deploy"
)

// Options are how an installation differs from the manifests in deploy. Zero values mean no difference.
type Options struct {
	// Namespace is the agent's namespace.
	Namespace string
	// Image is the agent's image.
	Image string
	// PullSecrets are the names of Secrets with the credentials of the image's registry. Empty names are ignored.
	PullSecrets []string
	// Replicas is the number of the agent's pods.
	Replicas *int64
	// AgentName is the name of the agent, for several clusters; a pointer to "" means none.
	AgentName *string
}

// Or returns the options, with those of an installation in place of zero values.
func (o Options) Or(installed Options) Options {
	o.Image = cmp.Or(o.Image, installed.Image)
	if o.PullSecrets == nil {
		o.PullSecrets = installed.PullSecrets
	}
	if o.Replicas == nil {
		o.Replicas = installed.Replicas
	}
	if o.AgentName == nil {
		o.AgentName = installed.AgentName
	}
	return o
}

// The labels of everything that deploy installs, and of the agent.
const (
	partOf      = "app.kubernetes.io/part-of"
	product     = "berth"
	agentLabels = "app.kubernetes.io/name=berth"
)

// Objects returns the objects of an installation, in an order in which they can be applied.
//
// The names of ClusterRoleBindings outside the default namespace end with the namespace, as in the Helm chart, so that
// installations do not overwrite each other's. They share all other objects of the cluster.
func Objects(o Options) ([]*unstructured.Unstructured, error) {
	objects, err := deploy.Objects()
	if err != nil {
		return nil, fmt.Errorf("reading the manifests in this program: %w", err)
	}
	var errs []error
	for _, object := range objects {
		errs = append(errs, o.move(object))
		if object.GetKind() == "Deployment" {
			errs = append(errs, o.set(object))
		}
	}
	return objects, errors.Join(errs...)
}

// move moves an object to the namespace of the installation.
func (o Options) move(object *unstructured.Unstructured) error {
	switch {
	case o.Namespace == "" || o.Namespace == deploy.Namespace:
		return nil
	case object.GetKind() == "Namespace":
		object.SetName(o.Namespace)
	case object.GetNamespace() != "":
		object.SetNamespace(o.Namespace)
	case object.GetKind() == "ClusterRoleBinding":
		object.SetName(object.GetName() + "-" + o.Namespace)
	}
	subjects, found, err := unstructured.NestedSlice(object.Object, "subjects")
	if !found || err != nil {
		return err
	}
	for _, item := range subjects {
		if subject, ok := item.(map[string]any); ok && subject["kind"] == rbacv1.ServiceAccountKind {
			subject["namespace"] = o.Namespace
		}
	}
	return unstructured.SetNestedSlice(object.Object, subjects, "subjects")
}

// set sets what the options say about the Deployment.
func (o Options) set(deployment *unstructured.Unstructured) error {
	pod := []string{"spec", "template", "spec"}
	if o.Replicas != nil {
		if err := unstructured.SetNestedField(deployment.Object, *o.Replicas, "spec", "replicas"); err != nil {
			return err
		}
	}
	var refs []any
	for _, name := range o.PullSecrets {
		if name != "" {
			refs = append(refs, map[string]any{"name": name})
		}
	}
	if len(refs) > 0 {
		if err := unstructured.SetNestedSlice(deployment.Object, refs, append(pod, "imagePullSecrets")...); err != nil {
			return err
		}
	}
	containers, _, err := unstructured.NestedSlice(deployment.Object, append(pod, "containers")...)
	if err != nil || len(containers) != 1 {
		return fmt.Errorf("the Deployment %s has %d containers, want one", deployment.GetName(), len(containers))
	}
	container, ok := containers[0].(map[string]any)
	if !ok {
		return fmt.Errorf("the container of the Deployment %s is no object", deployment.GetName())
	}
	if o.Image != "" {
		container["image"] = o.Image
	}
	if args, isList := container["args"].([]any); isList && o.AgentName != nil && *o.AgentName != "" {
		container["args"] = append(args, agentNameFlag+*o.AgentName)
	}
	return unstructured.SetNestedSlice(deployment.Object, containers, append(pod, "containers")...)
}

// agentNameFlag begins the argument with the agent's name.
const agentNameFlag = "--agent-name="

// Name returns the name of an object for users: Kind/name, or Kind/namespace/name.
func Name(object *unstructured.Unstructured) string {
	parts := []string{object.GetKind(), object.GetNamespace(), object.GetName()}
	return strings.Join(slices.DeleteFunc(parts, func(part string) bool { return part == "" }), "/")
}

// missingIn returns the paths of the fields in a definition's schemas that another definition does not have.
func missingIn(definition, other *unstructured.Unstructured) (paths []string) {
	theirs := schemas(other)
	for version, schema := range schemas(definition) {
		if known, ok := theirs[version]; ok {
			paths = append(paths, missing(schema, known, "")...)
		}
	}
	slices.Sort(paths)
	return paths
}

// schemas returns the schemas of a definition by version.
func schemas(definition *unstructured.Unstructured) map[string]map[string]any {
	all := map[string]map[string]any{}
	versions, _, _ := unstructured.NestedSlice(definition.Object, "spec", "versions")
	for _, item := range versions {
		version, _ := item.(map[string]any)
		schema, _, _ := unstructured.NestedMap(version, "schema", "openAPIV3Schema")
		all[fmt.Sprint(version["name"])] = schema
	}
	return all
}

func missing(schema, known map[string]any, path string) (paths []string) {
	properties, _ := schema["properties"].(map[string]any)
	knownProperties, _ := known["properties"].(map[string]any)
	for name, property := range properties {
		inner, _ := property.(map[string]any)
		other, ok := knownProperties[name].(map[string]any)
		if !ok {
			paths = append(paths, path+"."+name)
			continue
		}
		paths = append(paths, missing(inner, other, path+"."+name)...)
	}
	if items, ok := schema["items"].(map[string]any); ok {
		other, _ := known["items"].(map[string]any)
		paths = append(paths, missing(items, other, path+"[]")...)
	}
	return paths
}

func isKind(object *unstructured.Unstructured, group, kind string) bool {
	return object.GroupVersionKind().GroupKind() == schema.GroupKind{Group: group, Kind: kind}
}

func isDefinition(object *unstructured.Unstructured) bool {
	return isKind(object, "apiextensions.k8s.io", "CustomResourceDefinition")
}
