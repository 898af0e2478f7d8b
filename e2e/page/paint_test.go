package page

import (
	"flag"
	"fmt"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/apitest"
	"berth.dev/berth/internal/clustertest"
)

var environments = flag.Int("environments", 0, "number of environments with which TestFirstPaint measures; without it nothing is measured")

// TestFirstPaint measures how long a browser takes until it shows the list of many branches, and what it loads: run it alone,
// because the environments stay.
func TestFirstPaint(t *testing.T) {
	if *environments == 0 {
		t.Skip("measured by go test ./page -run TestFirstPaint -environments 1000 -v")
	}
	repository := apitest.Repository(func(r *v1alpha1.Repository) { r.Spec.Suspend = true })
	if err := shared.Create(reporter{t}, repository); err != nil {
		t.Fatal(err)
	}
	for n := range *environments {
		env := apitest.Environment(repository, "review", fmt.Sprintf("feature/%d-a-story-with-words", n), func(e *v1alpha1.Environment) {
			e.UID, e.Spec.Suspend = "", true
			e.APIVersion, e.Kind = v1alpha1.GroupVersion.String(), "Environment"
		})
		object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&env)
		if err != nil {
			t.Fatal(err)
		}
		unstructured.RemoveNestedField(object, "status")
		unstructured.RemoveNestedField(object, "metadata", "creationTimestamp")
		if err := clustertest.Apply(t.Context(), shared.Cluster.RESTConfig(), &unstructured.Unstructured{Object: object}); err != nil {
			t.Fatal(err)
		}
	}
	p := opens(t, shared.Cluster.Kubeconfig())
	p.until("all rows are there", func() (string, bool) {
		p.goes("/")
		rows := eval[int](p, `document.querySelectorAll(".row").length`)
		return fmt.Sprint(rows), rows == *environments
	})
	var painted, shown []float64
	var bytes float64
	for range 7 {
		p.goes("/")
		p.until("it is painted", func() (string, bool) {
			return "", eval[bool](p, `performance.getEntriesByName("first-contentful-paint").length > 0 && performance.getEntriesByType("navigation")[0].loadEventEnd > 0`)
		})
		painted = append(painted, eval[float64](p, `performance.getEntriesByName("first-contentful-paint")[0].startTime`))
		shown = append(shown, eval[float64](p, `performance.getEntriesByType("navigation")[0].loadEventEnd`))
		bytes = max(bytes, eval[float64](p, `[...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")].reduce((sum, e) => sum + e.encodedBodySize, 0)`))
	}
	slices.Sort(painted)
	slices.Sort(shown)
	t.Logf("%d environments: first paint after %.0f ms (%.0f to %.0f), loaded after %.0f ms (%.0f to %.0f), %.0f kB compressed",
		*environments, painted[3], painted[0], painted[6], shown[3], shown[0], shown[6], bytes/1000)
}
