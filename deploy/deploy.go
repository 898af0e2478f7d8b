// Package deploy holds the manifests that install Berth, so that tests and the demo install what users install.
package deploy

//go:generate go run ./chartgen

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// ServiceAccount and Namespace name the account of the agent, to which the manifests grant its rights.
const (
	Namespace      = "berth"
	ServiceAccount = "berth"
)

//go:embed *.yaml crds/*.yaml rbac/*.yaml
var files embed.FS

// Objects returns new copies of the objects of the Kustomize base, in an order in which they can be applied. It
// needs no Kustomize, because the base transforms nothing.
func Objects() ([]*unstructured.Unstructured, error) {
	var base struct {
		Resources []string `json:"resources"`
	}
	text, err := files.ReadFile("kustomization.yaml")
	if err != nil {
		return nil, err
	}
	if err := yaml.Unmarshal(text, &base); err != nil {
		return nil, fmt.Errorf("reading kustomization.yaml: %w", err)
	}
	var objects []*unstructured.Unstructured
	for _, name := range base.Resources {
		read, err := read(name)
		if err != nil {
			return nil, fmt.Errorf("reading %q, a resource of kustomization.yaml: %w", name, err)
		}
		objects = append(objects, read...)
	}
	return objects, nil
}

func read(name string) ([]*unstructured.Unstructured, error) {
	text, err := files.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), len(text))
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}
