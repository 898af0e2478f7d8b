package main

import (
	"bytes"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/deploy"
)

// A flag renamed in the code but not in deploy/ would break every installation.
func TestTheDeploymentsArgumentsAreUnderstood(t *testing.T) {
	arguments := deployedArguments(t)
	if len(arguments) == 0 {
		t.Fatal("the Deployment in deploy/ has no arguments")
	}
	for _, test := range []struct {
		name string
		more string
		want int
	}{
		{"as they are", "--help", 0},
		{"with one that is not there", "--no-such-flag", exitUsage},
	} {
		t.Run(test.name, func(t *testing.T) {
			var output bytes.Buffer
			if code := run(t.Context(), append(arguments, test.more), streams{out: &output, err: &output}); code != test.want {
				t.Errorf("berth %q ends with %d, want %d:\n%s", append(arguments, test.more), code, test.want, &output)
			}
		})
	}
}

func deployedArguments(t *testing.T) []string {
	t.Helper()
	objects, err := deploy.Objects()
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range objects {
		if object.GetKind() != "Deployment" {
			continue
		}
		containers, _, err := unstructured.NestedSlice(object.Object, "spec", "template", "spec", "containers")
		if err != nil {
			t.Fatal(err)
		}
		arguments, _, err := unstructured.NestedStringSlice(containers[0].(map[string]any), "args")
		if err != nil {
			t.Fatal(err)
		}
		return arguments
	}
	return nil
}
