package apply

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
)

func TestValidate(t *testing.T) {
	const (
		crd = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gauges.NS.example.com}
spec:
  group: NS.example.com
  scope: Namespaced
  names: {kind: Gauge, plural: gauges}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
`
		gauge     = "{apiVersion: NS.example.com/v1, kind: Gauge, metadata: {name: x, namespace: NS}}"
		elsewhere = "{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: NS-elsewhere}}"
	)
	typo := with(deployment, "replicas: 2", "replicsa: 2")
	for _, test := range []struct {
		name  string
		there string // objects that the test itself creates in the cluster
		steps []string
		want  []string // the end of each step's message; empty: no error
	}{
		{"nothing wrong", "", []string{configMap, deployment, job}, []string{"", "", ""}},
		{"every problem is found", "", []string{typo, configMap, with(job, "Never", "Always")},
			[]string{`field not declared in schema; correct it in Git`, "", `restartPolicy: Required value: valid values: "OnFailure", "Never"; correct it in Git`}},
		{"an immutable field", deployment, []string{with(with(deployment, "matchLabels: {app: api}", "matchLabels: {app: other}"), "labels: {app: api}", "labels: {app: other}")},
			[]string{"field is immutable; revert the change in Git, or re-create the object with the annotation berth.dev/replace: when-immutable"}},
		{"a Job that is there", job, []string{with(job, "migrate:1", "migrate:2")}, []string{""}},
		{"an unknown kind", "", []string{gauge}, []string{"or install what defines them"}},
		{"a kind that the sync brings", "", []string{crd, gauge}, []string{"", ""}},
		{"a namespace that is yet to be made", "", []string{elsewhere}, []string{""}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			live := map[manifest.Key]*observed.Object{}
			if test.there != "" {
				made := w.created(test.there)
				live[made.Key] = made
			}
			var steps []plan.Step
			for _, text := range test.steps {
				s := w.step(plan.Create, text, nil)
				if s.Live = live[s.Key]; s.Live != nil {
					s.Action = plan.Change
				}
				s.Blocked = "waits for a wave"
				steps = append(steps, s)
			}
			for i, r := range w.applier.Validate(t.Context(), w.target, steps) {
				if test.want[i] == "" && r.Err != nil || test.want[i] != "" && (r.Err == nil || !strings.HasSuffix(r.Err.Message, test.want[i])) {
					t.Errorf("%s: got %v, want %q", r.Step.Key, describe(r), test.want[i])
				}
			}
			if test.there == "" && w.look(configMap) != nil {
				t.Error("something was written")
			}
		})
	}
}

// Transient errors refuse nothing.
func TestValidateOnABadDay(t *testing.T) {
	w := newWorld(t, transport(func(r *http.Request) {
		if r.Method == http.MethodPatch {
			r.URL.Path = "/nowhere"
			r.URL.Host = "127.0.0.1:1"
		}
	}))
	r := w.applier.Validate(t.Context(), w.target, []plan.Step{w.step(plan.Create, configMap, nil)})[0]
	if r.Err != nil || !strings.Contains(r.Unproved, "connection refused") {
		t.Errorf("%v, unproved: %q", r.Err, r.Unproved)
	}
}

// A webhook with side effects is not asked by dry runs. That refuses nothing, and proves nothing.
func TestADryRunThatAWebhookDoesNotSupport(t *testing.T) {
	err := apierrors.NewBadRequest(`admission webhook "owners.example.com" does not support dry run`)
	if class := classOf(err); class != Unprovable || slices.Contains(refusing, class) || slices.Contains(proving, class) {
		t.Errorf("the class is %s", class)
	}
	e := (&run{Applier: New(Config{})}).explain(plan.Step{Key: manifest.Key{Kind: "ConfigMap", Namespace: "posts", Name: "a"}}, err)
	if want := `ConfigMap/posts/a: admission webhook "owners.example.com" does not support dry run; whether it is valid shows when it is applied`; e.Message != want {
		t.Errorf("got %q, want %q", e.Message, want)
	}
}
