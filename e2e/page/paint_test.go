package page

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
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
	var typed []float64
	for _, text := range []string{"f", "fe", "fea", "feature/7", "feature/77", "nothing", ""} {
		typed = append(typed, eval[float64](p, fmt.Sprintf(typing, text)))
	}
	frames := strings.Fields(p.awaited(scrolling))
	slices.Sort(typed)
	t.Logf("a key in the search takes %.0f ms (%.0f to %.0f); over %s frames of scrolling to the end, the median is %s ms and the longest %s ms",
		typed[3], typed[0], typed[6], frames[0], frames[1], frames[2])
}

// typing is what the browser does after a key in the search, until the list has its new layout. It returns the time in ms.
const typing = `(() => {
	const search = document.querySelector("#search"), began = performance.now();
	search.value = %q;
	search.dispatchEvent(new Event("input", {bubbles: true}));
	document.body.getBoundingClientRect();
	return performance.now() - began;
})()`

// scrolling scrolls to the end of the list, most of a window in each frame. It returns the number of frames, and the median and
// the longest time of one in ms.
const scrolling = `new Promise((resolve) => {
	const times = [];
	let before = performance.now();
	const step = (now) => {
		times.push(now - before);
		before = now;
		const at = scrollY;
		scrollBy({top: innerHeight * 0.8, behavior: "instant"});
		if (scrollY > at) return requestAnimationFrame(step);
		times.shift();
		times.sort((a, b) => a - b);
		resolve([times.length, times[times.length >> 1].toFixed(0), times.at(-1).toFixed(0)].join(" "));
	};
	requestAnimationFrame(step);
})`

// awaited returns the text that a promise of the page resolves to.
func (p *tab) awaited(promise string) string {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.browser, patience)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](promise, chromedp.EvalAwaitPromise))
	if err != nil {
		p.Fatalf("awaiting %s: %v", promise, err)
	}
	return text
}
