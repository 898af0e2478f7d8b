package render_test

import (
	"fmt"
	"testing"

	"berth.dev/berth/reconciler/render"
)

// Kustomize itself names no file, and its words are withheld if there are secrets.
func TestWhatKustomizeIsGivenTwiceIsNamed(t *testing.T) {
	const deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: worker}\n"
	for _, test := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"a copied file", map[string]string{
			"infra/k8s/kustomization.yaml": "resources: [secret.yaml, worker.yaml, worker2.yaml]",
			"infra/k8s/worker.yaml":        "# the worker\n" + deployment,
			"infra/k8s/worker2.yaml":       deployment,
		}, "infra/k8s/worker.yaml:2: Deployment/worker: it is defined more than once: infra/k8s/worker.yaml:2, infra/k8s/worker2.yaml:1; remove one"},
		{"one in two folders", map[string]string{
			"infra/k8s/kustomization.yaml":  "resources: [secret.yaml, ../base, worker.yaml]",
			"infra/k8s/worker.yaml":         deployment,
			"infra/base/kustomization.yaml": "resources: [all.yaml]",
			"infra/base/all.yaml":           deployment,
		}, "infra/base/all.yaml:1: Deployment/worker: it is defined more than once: infra/base/all.yaml:1, infra/k8s/worker.yaml:1; remove one"},
		{"one that is listed twice", map[string]string{
			"infra/k8s/kustomization.yaml":  "resources: [secret.yaml, ../base, ../base/worker.yaml]",
			"infra/base/kustomization.yaml": "resources: [worker.yaml]",
			"infra/base/worker.yaml":        deployment,
		}, "infra/base/worker.yaml:1: Deployment/worker: it is listed more than once; name it in one kustomization's resources, once"},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.files["infra/k8s/secret.yaml"] = encrypted
			o := options()
			o.Decrypter = decrypter{"infra/k8s/secret.yaml": secretHeader}
			if _, err := render.Render(t.Context(), files(test.files), o); fmt.Sprint(err) != test.want {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}
