package apply

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"berth.dev/berth/reconciler/plan"
)

// The API server's warnings predict later errors, such as a CronJob whose pods will be refused.
func TestWarningsBelongToTheirObject(t *testing.T) {
	w := newWorld(t, func(c *rest.Config, _ *Config) { c.WarningHandlerWithContext = Warnings{} })
	w.patch(fmt.Sprintf("{apiVersion: v1, kind: Namespace, metadata: {name: %s}}", w.namespace), `{"metadata": {"labels": {"pod-security.kubernetes.io/warn": "baseline"}}}`)
	const privileged = `
apiVersion: batch/v1
kind: CronJob
metadata: {name: tidy, namespace: NS}
spec: {schedule: "@daily", jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: b, securityContext: {privileged: true}}]}}}}}
`
	old := strings.Replace(deployment, "spec: {containers:", "spec: {nodeSelector: {beta.kubernetes.io/os: linux}, containers:", 1)
	results := w.run(w.step(plan.Create, privileged, nil), w.step(plan.Create, old, nil), w.step(plan.Create, configMap, nil))
	for i, want := range []string{`would violate PodSecurity "baseline:latest": privileged (container "a" must not set securityContext.privileged=true)`, `nodeSelector[beta.kubernetes.io/os]: deprecated`, ""} {
		r := results[i]
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		if told := strings.Join(r.Warnings, "; "); !strings.Contains(told, want) || want == "" && told != "" {
			t.Errorf("%s: the server warns %q, want %q", r.Step.Key.Short(), told, want)
		}
	}
	if dry := w.applier.Validate(t.Context(), w.target, []plan.Step{w.step(plan.Create, strings.ReplaceAll(privileged, "tidy", "other"), nil)}); len(dry) != 1 || len(dry[0].Warnings) > 0 {
		t.Errorf("a dry run leaves %+v", dry)
	}
}

func TestWarningsAreBounded(t *testing.T) {
	ctx, h := hear(t.Context())
	for n := range 20 {
		for range 2 {
			Warnings{}.HandleWarningHeaderWithContext(ctx, miscellaneous, "", strings.Repeat(fmt.Sprint(n%10, "\n"), 1000))
		}
	}
	Warnings{}.HandleWarningHeaderWithContext(ctx, 199, "", "of another kind")
	Warnings{}.HandleWarningHeaderWithContext(t.Context(), miscellaneous, "", "without a listener")
	got := h.all()
	if len(got) != maxWarnings || !slices.IsSorted(got) || slices.ContainsFunc(got, func(s string) bool { return len([]rune(s)) > maxWarning || strings.Contains(s, "\n") }) {
		t.Errorf("%d warnings: %q", len(got), got)
	}
}
