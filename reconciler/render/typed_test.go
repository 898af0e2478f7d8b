package render_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"berth.dev/berth/reconciler/render"
	"pgregory.net/rapid"
)

// transformers has a line for each way in which Kustomize changes objects.
var transformers = []string{
	"namePrefix: pre-",
	"nameSuffix: -post",
	"namespace: posts-login",
	"labels: [{pairs: {team: '${BRANCH}', n: '${N}'}, includeSelectors: true}]",
	"commonLabels: {old: '${N}'}",
	"commonAnnotations: {note: '${N} of ${BRANCH}'}",
	"images: [{name: app, newName: 'app-${BRANCH}', newTag: 'v${N}'}]",
	"replicas:\n- name: api\n  count: ${N}",
	`patches: [{target: {kind: Deployment}, patch: '[{"op": "add", "path": "/metadata/annotations/p", "value": "${N}"}]'}]`,
	"patches:\n- target: {kind: ConfigMap}\n  patch: |-\n    - op: add\n      path: /metadata/labels\n      value: {a: \"${N}\", b: '${ON}'}\n",
	"patches:\n- target: {kind: Deployment}\n  patch: |-\n    - op: replace\n      path: /spec/minReadySeconds\n      value: ${N}\n",
	"patches:\n- path: json.yaml\n  target: {kind: Deployment}\n",
	"patches:\n- path: merge.yaml\n",
	"patches:\n- patch: |-\n    apiVersion: apps/v1\n    kind: Deployment\n    metadata: {name: api}\n    spec:\n      paused: ${ON}\n",
	"patchesJson6902:\n- target: {group: apps, version: v1, kind: Deployment, name: api}\n  patch: |-\n    - {op: add, path: /spec/template/spec/containers/0/stdin, value: true}\n",
	"patchesStrategicMerge: [merge.yaml]",
	"patchesStrategicMerge:\n- |-\n  apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: plain}\n  data:\n    more: \"${N}\"\n",
	"replacements:\n- source: {kind: ConfigMap, name: plain, fieldPath: data.n}\n  targets: [{select: {kind: Deployment}, fieldPaths: [spec.template.metadata.annotations.a]}]\n",
	"replacements:\n- source: {kind: ConfigMap, name: plain, fieldPath: data.n}\n  targets: [{select: {kind: Deployment}, fieldPaths: [spec.progressDeadlineSeconds]}]\n",
	"replacements:\n- source: {kind: Deployment, fieldPath: spec.minReadySeconds}\n  targets: [{select: {kind: ConfigMap, name: plain}, fieldPaths: [data.n, data.quoted]}]\n",
	"vars: [{name: NUMBER, objref: {apiVersion: v1, kind: ConfigMap, name: plain}, fieldref: {fieldpath: data.n}}]",
	"configMapGenerator: [{name: plain, behavior: merge, literals: ['n=${N}', 'x=${ON}']}]",
	"configMapGenerator: [{name: made, literals: ['n=${N}', 'b=${BRANCH}'], files: [merge.yaml]}]\npatches: [{target: {name: made}, patch: '[{\"op\": \"add\", \"path\": \"/data/more\", \"value\": \"${N}\"}]'}]",
	"secretGenerator: [{name: made, literals: ['n=1']}]",
	"components: [../part]",
	"sortOptions: {order: legacy}",
}

var typedFiles = map[string]string{
	"infra/k8s/objects.yaml": `# ${N} é
apiVersion: v1
kind: ConfigMap
metadata: {name: plain, annotations: {config.kubernetes.io/note: "${N}"}}
data:
  n: "${N}"
  quoted: '${ON}'
  text: |-
    ${N}
  composed: n${N}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: api
  annotations: {é: "é${N}"}
spec:
  replicas: ${N}
  minReadySeconds: &seconds ${N}
  progressDeadlineSeconds: 600
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}, annotations: {a: "${ON}"}}
    spec:
      hostNetwork: ${ON}
      terminationGracePeriodSeconds: *seconds
      containers:
      - name: api
        image: app:1
        args: ["$(NUMBER)", "${N}"]
        env:
        - {name: PORT, value: "${N}"}
        - name: ON
          value: '${ON}'
        ports:
        - containerPort: ${N}
          name: ${BRANCH}
`,
	"infra/k8s/json.yaml": "- op: add\n  path: /spec/template/spec/containers/0/env/-\n  value: {name: MORE, value: \"${N}\"}\n- op: add\n  path: /spec/revisionHistoryLimit\n  value: ${N}\n",
	"infra/k8s/merge.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: api}\nspec:\n  revisionHistoryLimit: ${N}\n  template:\n    spec:\n      containers:\n" +
		"      - name: api\n        env:\n        - {name: MERGED, value: \"${N}\"}\n        ports:\n        - containerPort: ${N}\n          protocol: TCP\n",
	"infra/part/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\npatches:\n- target: {kind: Deployment}\n  patch: |-\n    - op: add\n      path: /spec/template/spec/activeDeadlineSeconds\n      value: ${N}\n",
}

// A variable gives the same result as its value in its place, whatever Kustomize does to the object.
func TestVariablesAreWhatTheirValuesWouldBe(t *testing.T) {
	compare := func(t *testing.T, chosen []string) {
		with, without := map[string]string{}, map[string]string{}
		values := strings.NewReplacer("${N}", "8080", "${ON}", "true", "${BRANCH}", "login")
		kustomization := "resources: [objects.yaml]\ngeneratorOptions: {disableNameSuffixHash: true}\n" + joinedFields(chosen)
		for name, text := range typedFiles {
			with[name], without[name] = text, values.Replace(text)
		}
		with["infra/k8s/kustomization.yaml"], without["infra/k8s/kustomization.yaml"] = kustomization, values.Replace(kustomization)
		o := options()
		o.Variables = map[string]any{"N": int64(8080), "ON": true, "BRANCH": "login"}
		got, err := render.Render(context.Background(), files(with), o)
		want, wantErr := render.Render(context.Background(), files(without), o)
		if fmt.Sprint(err) != fmt.Sprint(wantErr) {
			t.Fatalf("%s\ngot  %v\nwant %v", kustomization, err, wantErr)
		}
		if got, want := objectsOf(got), objectsOf(want); got != want {
			t.Fatalf("%s\ngot\n%s\nwant\n%s", kustomization, got, want)
		}
	}
	for _, transformer := range transformers {
		t.Run(transformer, func(t *testing.T) { compare(t, []string{transformer}) })
	}
	several := rapid.SliceOfNDistinct(rapid.SampledFrom(transformers), 2, 8, rapid.ID)
	for seed := range 25 { // each takes two processes
		compare(t, several.Example(seed))
	}
}

// joinedFields joins the fields of a kustomization, each of which may occur only once.
func joinedFields(lines []string) string {
	seen, out := map[string]bool{}, ""
	for _, line := range lines {
		for field := range strings.SplitSeq(strings.ReplaceAll(line, "]\npatches", "]\x00patches"), "\x00") {
			if name, _, _ := strings.Cut(field, ":"); !seen[name] {
				seen[name] = true
				out += strings.TrimSuffix(field, "\n") + "\n"
			}
		}
	}
	return out
}

func objectsOf(result render.Result) string {
	var out strings.Builder
	for _, o := range result.Set.Objects {
		text, err := o.MarshalJSON()
		fmt.Fprintln(&out, string(text), err)
	}
	return out.String()
}
