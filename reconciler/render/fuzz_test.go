package render_test

import (
	"errors"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"berth.dev/berth/reconciler/render"
	k8sjson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"
)

// FuzzRender checks that a render of any file ends without a panic, either in valid objects or in errors with a
// place.
func FuzzRender(f *testing.F) {
	for _, c := range badYAML {
		f.Add(c.text, "resources: [x.yaml]")
	}
	f.Add(header+"data: {a: '${BRANCH}'}\n", "resources: [x.yaml]\nnamePrefix: ${BRANCH_SLUG}-\n")
	for _, text := range overlay() {
		f.Add(text, text)
	}
	f.Fuzz(func(t *testing.T, manifest, kustomization string) {
		for _, tree := range []tree{
			one(manifest),
			files(map[string]string{"infra/k8s/x.json": manifest}),
			files(map[string]string{"infra/k8s/x.yaml": manifest, "infra/k8s/kustomization.yaml": kustomization}),
		} {
			result, err := render.Render(t.Context(), tree, options())
			if (err == nil) == (result.Set.Len() == 0) {
				t.Fatalf("%d objects and the error %v", result.Set.Len(), err)
			}
			for _, o := range result.Set.Objects {
				if o.GetName() == "" || o.GetKind() == "" || o.GetAPIVersion() == "" || o.Origin.File == "" {
					t.Errorf("an object without an identity or origin: %v of %s", o.Object, o.Origin)
				}
				o.DeepCopy() // panics on values that JSON does not have
			}
			var problem *render.Error
			if err != nil && !errors.As(err, &problem) {
				t.Errorf("%T is no problem: %v", err, err)
			}
		}
	})
}

var loneTag = regexp.MustCompile(`!(\s|[\]},]|$)`)

// FuzzScalars checks that a manifest means what kubectl would send.
func FuzzScalars(f *testing.F) {
	for _, scalar := range []string{
		"yes", "No", "on", "OFF", "y", "N", "true", "FALSE", "null", "~", "", "0", "007", "0777", "0o17", "0x1F", "0b101", "-0b1", "1_000", "+1", "-5",
		"9223372036854775807", "9223372036854775808", "18446744073709551616", "1e3", "1.0", ".5", "5.", "-.inf", ".nan", "1.5e400",
		"2001-01-01", "2001-12-14t21:59:43.10-05:00", "12:30:45", "1:30", "!!str 5", "!!int \"5\"", "!!float 1", "!!binary aGk=", "!!bool yes", "!x y",
		"\"yes\"", "'5'", "|-\n  yes\n", ">-\n  1\n  2\n", "[yes, 1, {on: off, 1: 2, 1.5: x, null: y, ~: z}]", "<<", "=", "{a: b, ? c : d}", "\"\\u00e9\\x41\"", "a#b", "a: b",
	} {
		f.Add(scalar)
	}
	f.Fuzz(func(t *testing.T, scalar string) {
		// Merge keys, variables, and documents that differ in more than a value are tested elsewhere. The parser that
		// keeps lines does not keep the tag "!".
		if strings.Contains(scalar, "<<") || strings.Contains(scalar, "${") || strings.Contains(scalar, "---") || strings.Contains(scalar, "...") ||
			loneTag.MatchString(scalar) {
			t.Skip()
		}
		text := "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: thing}\nvalue: " + scalar + "\n"
		var want any
		encoded, err := yaml.YAMLToJSONStrict([]byte(text))
		if err == nil {
			err = k8sjson.Unmarshal(encoded, &want)
		}
		result, ours := render.Render(t.Context(), one(text), options())
		if err != nil || ours != nil {
			return // if only one of them accepts it, the user gets an error
		}
		got := result.Set.Objects[0].Object
		if wanted, ok := want.(map[string]any); !ok || !reflect.DeepEqual(got["value"], wanted["value"]) {
			t.Errorf("%q: got %#v, want %#v", scalar, got["value"], wanted["value"])
		}
	})
}
