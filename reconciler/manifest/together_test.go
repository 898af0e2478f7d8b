package manifest_test

import (
	"strings"
	"testing"

	"berth.dev/berth/reconciler/manifest"
)

// TestTogether tests Jobs that start with workloads for which they probably have to run first.
func TestTogether(t *testing.T) {
	const (
		migrate = `
apiVersion: batch/v1
kind: Job
metadata: {name: migrate, annotations: {note: a}}
spec: {template: {spec: {containers: [{name: a, image: "app:1"}]}}}
`
		api = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, annotations: {note: a}}
spec: {template: {spec: {containers: [{name: a, image: "app:1"}]}}}
`
		says = "Job/migrate: it starts together with Deployment/api, which uses the same "
	)
	replace := func(text string, pairs ...string) string { return strings.NewReplacer(pairs...).Replace(text) }
	reads := func(text, field string) string {
		return replace(text, `image: "app:1"`, `image: "`+strings.ToLower(field[:1])+`:2", `+field)
	}
	for _, test := range []struct{ name, job, other, want string }{
		{"the same image", migrate, api, says + "image app:1;"},
		{"another image", migrate, replace(api, "app:1", "web:1"), ""},
		{"the same Secret", replace(migrate, `image: "app:1"`, `envFrom: [{secretRef: {name: db}}]`), reads(api, `env: [{name: P, valueFrom: {secretKeyRef: {name: db, key: p}}}]`), says + "Secret/db;"},
		{"another Secret", replace(migrate, `image: "app:1"`, `envFrom: [{secretRef: {name: db}}]`), reads(api, `envFrom: [{secretRef: {name: other}}]`), ""},
		{"the same ConfigMap only", replace(migrate, `image: "app:1"`, `envFrom: [{configMapRef: {name: db}}]`), reads(api, `envFrom: [{configMapRef: {name: db}}]`), ""},
		{"an earlier wave", replace(migrate, "note: a", `berth.dev/wave: "-1"`), api, ""},
		{"the same wave, on purpose", replace(migrate, "note: a", `berth.dev/wave: "0"`), api, ""},
		{"a later workload", migrate, replace(api, "note: a", `berth.dev/wave: "1"`), ""},
		{"a workload that waits for it", migrate, replace(api, "note: a", "config.kubernetes.io/depends-on: batch/Job/migrate"), ""},
		{"when the environment goes", replace(migrate, "note: a", "berth.dev/job: on-removal"), api, ""},
		{"a CronJob starts nothing now", migrate, replace(api, "apps/v1", "batch/v1", "Deployment", "CronJob"), ""},
		{"what has no pods", migrate, "{apiVersion: v1, kind: ConfigMap, metadata: {name: api}}", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			set := manifest.Set{Objects: []manifest.Object{object(t, test.job), object(t, test.other)}}
			var got string
			for _, w := range set.Together() {
				got += w.String()
			}
			if test.want == "" && got != "" || !strings.Contains(got, test.want) {
				t.Errorf("it warns %q, want %q", got, test.want)
			}
		})
	}
}
