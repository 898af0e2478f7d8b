package render_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"berth.dev/berth/reconciler/render"
)

// overlay is a Kustomize overlay whose base lies outside of its folder.
func overlay() map[string]string {
	return map[string]string{
		"infra/k8s/kustomization.yaml": `resources: [../base, ../shared/quota.yaml, deployment.yaml]
namePrefix: pre-
configMapGenerator:
- name: env
  literals: ["DEBUG=yes", "PORT=${REPLICAS}", "N=5"]
  files: [nginx.conf=../base/nginx.conf]
images:
- name: app
  newTag: ${COMMIT_SHORT}
`,
		"infra/k8s/deployment.yaml": `# the api
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  replicas: ${REPLICAS}
  template:
    spec:
      containers:
      - name: api
        image: app:latest
        env:
        - {name: A, value: "${REPLICAS}"}
        - {name: B, value: "on"}
        envFrom:
        - configMapRef: {name: env}
`,
		"infra/base/kustomization.yaml": "resources: [x.yaml]\n",
		"infra/base/x.yaml":             "\n\n" + header + "data: {a: yes, b: '${REPLICAS}', c: '$uri ${HOME}'}\n",
		"infra/base/nginx.conf":         "try_files $uri ${HOME};\n",
		"infra/shared/quota.yaml":       "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ResourceQuota\n  metadata: {name: all}\n",
		"infra/other/unread.yaml":       "",
	}
}

func TestKustomize(t *testing.T) {
	want := `# infra/shared/quota.yaml:4
apiVersion: v1
kind: ResourceQuota
metadata:
  name: pre-all
  namespace: posts-login
# infra/base/x.yaml:3
apiVersion: v1
data:
  a: "yes"
  b: "3"
  c: $uri ${HOME}
kind: ConfigMap
metadata:
  name: pre-api
  namespace: posts-login
# infra/k8s/kustomization.yaml
apiVersion: v1
data:
  DEBUG: "yes"
  "N": "5"
  PORT: "3"
  nginx.conf: |
    try_files $uri ${HOME};
kind: ConfigMap
metadata:
  name: pre-env-ch64mkbt4h
  namespace: posts-login
# infra/k8s/deployment.yaml:3
apiVersion: apps/v1
kind: Deployment
metadata:
  name: pre-api
  namespace: posts-login
spec:
  replicas: 3
  template:
    spec:
      containers:
      - env:
        - name: A
          value: "3"
        - name: B
          value: "on"
        envFrom:
        - configMapRef:
            name: pre-env-ch64mkbt4h
        image: app:12345678
        name: api
`
	result := rendered(t, files(overlay()), options())
	if got := text(t, result.Set); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	read := slices.Sorted(maps.Keys(result.Inputs.Hashes))
	if got, want := strings.Join(read, " "), "infra/base infra/k8s infra/shared/quota.yaml"; got != want {
		t.Errorf("read %s, want %s", got, want)
	}
	for changed, same := range map[string]bool{
		"infra/base/new.yaml": false, "infra/base/x.yaml": false, "infra/shared/quota.yaml": false,
		"infra/k8s/README.md": false, "infra/other/unread.yaml": true, "infra/shared/other.yaml": true,
	} {
		next := overlay()
		next[changed] += "# changed"
		if got := result.Inputs.Same(files(next), options().Variables); got != same {
			t.Errorf("after a change of %s Same is %v, want %v", changed, got, same)
		}
	}
}

func TestKustomizeKeepsOriginsThatWereAskedFor(t *testing.T) {
	for metadata, want := range map[string]string{
		"":                                     "",
		"buildMetadata: [managedByLabel]\n":    "",
		"buildMetadata: [originAnnotations]\n": "path: x.yaml\n",
	} {
		result := rendered(t, files(map[string]string{
			"infra/k8s/kustomization.yml": "resources: [x.yaml]\n" + metadata,
			"infra/k8s/x.yaml":            header,
		}), options())
		o := result.Set.Objects[0]
		if got := o.GetAnnotations()["config.kubernetes.io/origin"]; got != want || o.Origin.String() != "infra/k8s/x.yaml:1" {
			t.Errorf("%q: got %q of %s, want %q", metadata, got, o.Origin, want)
		}
	}
}

func TestKustomizeCannotReachOut(t *testing.T) {
	const (
		head   = "infra/k8s/kustomization.yaml"
		remote = " is remote, and Berth reads only this repository; copy it into the repository and name its path"
		helm   = ": Berth does not run Helm; commit the output of helm template and list it under resources"
		plugin = ": Berth runs no plugins; use the kustomization's own fields (configMapGenerator, patches, labels, images, replacements, …), or a transformer or generator with apiVersion: builtin"
	)
	for _, c := range []struct{ text, want string }{
		{"resources:\n- https://example.com/x.yaml", head + `:2: "https://example.com/x.yaml"` + remote},
		{"resources:\n- HTTPS://example.com/x.yaml", head + `:2: "HTTPS://example.com/x.yaml"` + remote},
		{"resources: [github.com/acme/base]", head + `:1: "github.com/acme/base"` + remote},
		{"resources: [GitHub.com/acme/base]", head + `:1: "GitHub.com/acme/base"` + remote},
		{"resources: ['git@example.com:acme/base']", head + `:1: "git@example.com:acme/base"` + remote},
		{"resources: [me@example.com/acme/base]", head + `:1: "me@example.com/acme/base"` + remote},
		{"resources: ['git::https://example.com/base']", head + `:1: "git::https://example.com/base"` + remote},
		{"resources: ['file:///etc']", head + `:1: "file:///etc"` + remote},
		{"resources: ['ssh://git@example.com/base.git?ref=main']", head + `:1: "ssh://git@example.com/base.git?ref=main"` + remote},
		{"RESOURCES: ['https://example.com/x.yaml']", head + `:1: "https://example.com/x.yaml"` + remote},
		{"bases: ['https://example.com/x.yaml']", head + `:1: "https://example.com/x.yaml"` + remote},
		{"components: ['https://example.com/x.yaml']", head + `:1: "https://example.com/x.yaml"` + remote},
		{"crds: ['https://example.com/x.yaml']", head + `:1: "https://example.com/x.yaml"` + remote},
		{"configurations: ['https://example.com/x.yaml']", head + `:1: "https://example.com/x.yaml"` + remote},
		{"openapi: {path: 'https://example.com/x.json'}", head + `:1: "https://example.com/x.json"` + remote},
		{"patches: [{path: 'https://example.com/x.yaml'}]", head + `:1: "https://example.com/x.yaml"` + remote},
		{"patchesJson6902: [{path: 'https://example.com/x.yaml'}]", head + `:1: "https://example.com/x.yaml"` + remote},
		{"patchesStrategicMerge: ['https://example.com/x.yaml']", head + `:1: "https://example.com/x.yaml"` + remote},
		{"replacements: [{path: 'https://example.com/x.yaml'}]", head + `:1: "https://example.com/x.yaml"` + remote},
		{"configMapGenerator: [{name: a, files: ['b=https://example.com/x']}]", head + `:1: "https://example.com/x"` + remote},
		{"configMapGenerator: [{name: a, envs: ['https://example.com/x']}]", head + `:1: "https://example.com/x"` + remote},
		{"secretGenerator: [{name: a, env: 'https://example.com/x'}]", head + `:1: "https://example.com/x"` + remote},
		{"a: &a ['https://example.com/x']\n", head + ":1: a kustomization has no field \"a\" here; correct it, or its indentation"},
		{"resources: [x.yaml]\ntransformers: [x.yaml]", head + ":2: transformers" + plugin},
		{"resources: [x.yaml]\nTransformers: [x.yaml]", head + ":2: transformers" + plugin},
		{"generators: [x.yaml]", head + ":1: generators" + plugin},
		{"validators: [x.yaml]", head + ":1: validators" + plugin},
		{"helmCharts: [{name: x}]", head + ":1: helmCharts" + helm},
		{"helmGlobals: {chartHome: x}", head + ":1: helmGlobals" + helm},
		{"helmChartInflationGenerator: [{chartName: x}]", head + ":1: helmChartInflationGenerator" + helm},
		{"resources: [../../../etc]", head + `:1: "../../../etc" leads out of the repository; name a file or folder of this repository`},
		{"resources: [/infra/base]", head + `:1: "/infra/base" is not in this commit; add it, or remove it from the kustomization`},
		{"resources:\n- x.yaml\n- y.yaml", head + `:3: "y.yaml" is not in this commit; add it, or remove it from the kustomization`},
		{"resources: [x.yaml]\npatches:\n- path: none.yaml", head + `:3: "none.yaml" is not in this commit; add it, or remove it from the kustomization`},
		{"resources: [x.yaml]\nsecretGenerator:\n- name: a\n  files: [b=none.txt]", head + `:4: "none.txt" is not in this commit; add it, or remove it from the kustomization`},
		{"resources: [x.yaml]\npatches: [{target: {kind: Job}, patch: 'kind: [x'}]", head + ":2: a patch is neither a part of an object nor a list of JSON patch operations; write the object's apiVersion, kind, metadata.name and what changes; or - op: …, path: …, value: …"},
		{"null\n---\nresources: ['https://example.com/x.yaml']", head + `:3: "https://example.com/x.yaml"` + remote},
		{"resources: [x.yaml]\n---\nresources: ['https://example.com/x.yaml']", head + ": a kustomization is one YAML document, and here are 2; keep one"},
		{"# nothing", head + ": a kustomization is one YAML document, and here are 0; keep one"},
		{"resources: [../base]", "infra/base/kustomization.yaml:1: \"https://example.com/base\"" + remote},
		{"resources: [x.yaml\n", head + ":2: the line does not fit those above it: it is indented too far or too little, or a bracket, or a colon with the space after it, is missing; bring it to the level of the keys that it belongs to"},
		{"resources: [bad.yaml]", "infra/k8s/bad.yaml:1: a quote (\") is opened here and not closed; close it on the same line"},
		{"configMapGenerator: [{name: a, files: [../../../../../../etc/passwd]}]", head + `:1: "../../../../../../etc/passwd" leads out of the repository; name a file or folder of this repository`},
		{"resources: [.]", head + ": kustomizations name each other in a circle: infra/k8s → infra/k8s; remove one of the names"},
	} {
		t.Run(c.text, func(t *testing.T) {
			_, err := render.Render(t.Context(), files(map[string]string{
				head:                            c.text + "\n",
				"infra/k8s/x.yaml":              header,
				"infra/k8s/bad.yaml":            "a: \"b\n",
				"infra/base/kustomization.yaml": "resources: ['https://example.com/base']",
			}), options())
			if fmt.Sprint(err) != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestKustomizationsInSeveralFiles(t *testing.T) {
	_, err := render.Render(t.Context(), files(map[string]string{
		"infra/k8s/kustomization.yaml": "resources: [x.yaml]\n",
		"infra/k8s/kustomization.yml":  "resources: [x.yaml]\n",
		"infra/k8s/x.yaml":             header,
	}), options())
	want := "infra/k8s/kustomization.yaml: the folder \"infra/k8s\" has several kustomization files; keep one"
	if fmt.Sprint(err) != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestBuildsBesideEachOther(t *testing.T) {
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if _, err := render.Render(t.Context(), files(overlay()), options()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

// Kustomize expands aliases without a bound, and overflows the stack if one contains itself.
func TestKustomizeDoesNotGetHostileAliases(t *testing.T) {
	const cycle = "a: &a [*a]"
	laughs := header + "data:\n  l0: &l0 [x, x]\n"
	for i := range 20 {
		laughs += fmt.Sprintf("  l%d: &l%d [*l%d, *l%d]\n", i+1, i+1, i, i)
	}
	const problem = ": aliases (*name) expand to too many values, or to themselves; write the values out"
	for _, c := range []struct{ name, kustomization, file, want string }{
		{"a resource", "resources: [x.yaml]", header + cycle, "infra/k8s/x.yaml" + problem},
		{"many of them", "resources: [x.yaml]", laughs, "infra/k8s/x.yaml" + problem},
		{"the second document", "resources: [x.yaml]", header + "\n--- # more\n" + cycle, "infra/k8s/x.yaml" + problem},
		{"a patch", "patches: [{path: x.yaml}]", header + cycle, "infra/k8s/x.yaml" + problem},
		{"a patch of another name", "patches: [{path: x.txt}]", cycle, "infra/k8s/x.txt" + problem},
		{"a patch in its place", "resources: [x.yaml]\npatches:\n- patch: |-\n    " + cycle, header, "infra/k8s/kustomization.yaml" + problem},
		{"a patch in quotes", "resources: [x.yaml]\npatchesStrategicMerge: ['" + cycle + "']", header, "infra/k8s/kustomization.yaml" + problem},
		{"the kustomization itself", "resources: &a [*a]", header, "infra/k8s/kustomization.yaml" + problem},
		{"what is fine", "resources: [x.yaml]", header + "data: {a: &a b, c: *a}\n", "<nil>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := render.Render(t.Context(), files(map[string]string{
				"infra/k8s/kustomization.yaml": c.kustomization + "\n",
				"infra/k8s/x.yaml":             c.file,
				"infra/k8s/x.txt":              c.file,
			}), options())
			if fmt.Sprint(err) != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}
