// Package repofile checks a Repository in a file as the API server would.
package repofile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"

	"berth.dev/berth/deploy"
)

// Validate returns the API server's errors for a Repository in JSON: those of its schema and of its CEL rules,
// after setting defaults.
func Validate(ctx context.Context, repository []byte) error {
	object := map[string]any{}
	if err := utiljson.Unmarshal(repository, &object); err != nil {
		return err
	}
	version, _, _ := unstructured.NestedString(object, "apiVersion")
	schema, err := schemaOf("repositories.berth.dev", path.Base(version))
	if err != nil {
		return err
	}
	found, err := check(ctx, object, schema)
	if err != nil {
		return err
	}
	// The libraries walk properties in the order of a map.
	slices.SortStableFunc(found, func(a, b *field.Error) int { return cmp.Compare(a.Field, b.Field) })
	var errs []error
	for _, e := range found {
		text := cmp.Or(e.Detail, e.ErrorBody())
		if e.Field != "" && e.Field != "<nil>" { // a rule about the whole object names its fields itself
			text = e.Field + ": " + text
		}
		errs = append(errs, errors.New(text))
	}
	return errors.Join(errs...)
}

func check(ctx context.Context, object map[string]any, schema *apiextensions.JSONSchemaProps) (field.ErrorList, error) {
	structural, err := structuralschema.NewStructural(schema)
	if err != nil {
		return nil, err
	}
	validator, _, err := validation.NewSchemaValidator(schema)
	if err != nil {
		return nil, err
	}
	defaulting.PruneNonNullableNullsWithoutDefaults(object, structural)
	defaulting.Default(object, structural)
	found := validation.ValidateCustomResource(nil, object, validator)
	found = append(found, listtype.ValidateListSetsAndMaps(nil, structural, object)...)
	if len(found) > 0 {
		return found, nil // rules may rely on the schema
	}
	rules, _ := cel.NewValidator(structural, true, celconfig.PerCallLimit).Validate(ctx, nil, structural, object, nil, celconfig.RuntimeCELCostBudget)
	return rules, nil
}

// schemaOf reads the schema of a kind from the CustomResourceDefinitions that are installed with Berth.
func schemaOf(name, version string) (*apiextensions.JSONSchemaProps, error) {
	objects, err := deploy.Objects()
	if err != nil {
		return nil, err
	}
	for _, object := range objects {
		if object.GetKind() != "CustomResourceDefinition" || object.GetName() != name {
			continue
		}
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, crd); err != nil {
			return nil, err
		}
		for _, v := range crd.Spec.Versions {
			if v.Name == version && v.Schema != nil {
				schema := &apiextensions.JSONSchemaProps{}
				err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(v.Schema.OpenAPIV3Schema, schema, nil)
				return schema, err
			}
		}
	}
	return nil, fmt.Errorf("there is no schema of %s in version %s", name, version)
}
