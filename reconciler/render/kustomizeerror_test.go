package render_test

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"berth.dev/berth/reconciler/kustomize"
	"berth.dev/berth/reconciler/render"
)

const deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {template: {spec: {containers: [{name: a, image: x}]}}}\n"

// withKustomization is a folder with a kustomization, a ConfigMap, a Deployment, and further files of the test.
func withKustomization(kustomization string, more map[string]string) tree {
	texts := map[string]string{"infra/k8s/kustomization.yaml": kustomization + "\n", "infra/k8s/x.yaml": header + "data: {a: b}\n", "infra/k8s/d.yaml": deployment}
	maps.Copy(texts, more)
	return files(texts)
}

// An error of a build names a place and the next step.
func TestWhyKustomizeCannotBuild(t *testing.T) {
	const head = "infra/k8s/kustomization.yaml"
	patch := func(text string) map[string]string { return map[string]string{"infra/k8s/p.yaml": text} }
	base := func(text string) map[string]string {
		return map[string]string{"infra/base/kustomization.yaml": text, "infra/base/y.yaml": strings.ReplaceAll(header, "name: api", "name: y")}
	}
	const component = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: [y.yaml]"
	for _, c := range []struct {
		reason, kustomization string
		more                  map[string]string
		want                  string
	}{
		{"a base without a kustomization", "resources:\n- x.yaml\n- ../base", map[string]string{"infra/base/y.yaml": header},
			head + `:3: the folder "infra/base" has no kustomization.yaml; add one that lists its files under resources, or name the files themselves`},
		{"a component that is a file", "components: [x.yaml]", nil, head + `:1: "x.yaml" is not a folder, as a component is; name it under resources`},
		{"a component that is a base", "components: [../base]", base("resources: [y.yaml]"), head + `:1: "infra/base" is not a component: its kustomization has no kind: Component; name it under resources`},
		{"a base that is a component", "resources: [../base]", base(component), head + `:1: "infra/base" is a component; name it under components`},
		{"a component without a kustomization", "components: [../base]", map[string]string{"infra/base/y.yaml": header}, head + `:1: the folder "infra/base" has no kustomization.yaml; add one with kind: Component`},
		{"a patch that is a folder", "resources: [x.yaml]\npatches: [{path: ../base}]", base("resources: [y.yaml]"), head + `:2: "../base" is a folder, and a file is needed here; name a file`},
		{"a circle", "resources: [../base]", base("resources: [../k8s]"), head + ": kustomizations name each other in a circle: infra/k8s → infra/base → infra/k8s; remove one of the names"},
		{"a patch for what is not there", "resources: [x.yaml]\npatches: [{path: p.yaml}]", patch("# it\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: nope}\n"),
			"infra/k8s/p.yaml:2: Deployment/nope: a patch is for it, and no resource is of this kind and name; correct kind, name and namespace of the patch, or list the resource"},
		{"a JSON patch for nothing", "resources: [x.yaml]\npatches: [{path: p.yaml}]", patch("- {op: add, path: /a, value: b}"),
			head + `:2: the JSON patch "p.yaml" names no target; add target: {kind: …, name: …} beside its path`},
		{"a JSON patch that replaces nothing", "resources: [d.yaml]\npatches: [{path: p.yaml, target: {kind: Deployment}}]", patch("- {op: replace, path: /spec/nope/x, value: b}"),
			"infra/k8s/p.yaml:1: a JSON patch changes or removes /spec/nope/x, which the object does not have; correct the path, or write op: add"},
		{"a JSON patch that adds to nothing", "resources: [d.yaml]\npatches: [{path: p.yaml, target: {kind: Deployment}}]", patch("- {op: add, path: /metadata/labels/a, value: b}"),
			"infra/k8s/p.yaml:1: a JSON patch adds /metadata/labels/a, and the object does not have what should hold it; add that first, with a value such as {}"},
		{"a JSON patch that removes nothing", "resources: [d.yaml]\npatches: [{path: p.yaml, target: {kind: Deployment}}]", patch("- {op: remove, path: /spec/nope}"),
			"infra/k8s/p.yaml:1: a JSON patch changes or removes /spec/nope, which the object does not have; correct the path, or write op: add"},
		{"a patch that is none", "resources: [d.yaml]\npatches: [{path: p.yaml, target: {kind: Deployment}}]", patch("hello"),
			head + `:2: the patch "p.yaml" is neither a part of an object nor a list of JSON patch operations; write the object's apiVersion, kind, metadata.name and what changes; or - op: …, path: …, value: …`},
		{"a generator's name that is taken", "resources: [x.yaml]\ngeneratorOptions: {disableNameSuffixHash: true}\nconfigMapGenerator:\n- name: api\n  literals: [a=b]", nil,
			head + ":4: ConfigMap/api: it is generated, and there is one of this name already; give it another name, or set behavior: merge or replace"},
		{"a generator that merges nothing", "resources: [x.yaml]\nconfigMapGenerator: [{name: nope, behavior: merge, literals: [a=b]}]", nil,
			head + ":2: ConfigMap/nope: a generator has behavior merge or replace, and no listed resource has this name; correct the name, or remove the behavior"},
		{"a namespace for two", "resources: [x.yaml, y.yaml]\nnamespace: posts-login", map[string]string{"infra/k8s/y.yaml": strings.ReplaceAll(header, "name: api", "{name: api, namespace: other}")},
			head + ":2: ConfigMap/api: the kustomization's namespace gives two objects the same namespace and name; rename one, or set their namespaces in two kustomizations"},
		{"a resource without a kind", "resources: [y.yaml]", map[string]string{"infra/k8s/y.yaml": "a: b\n"}, "infra/k8s/y.yaml:1: it has no kind; if it is not a manifest, but a values.yaml for example, remove it from resources"},
		{"a resource without a name", "resources: [y.yaml]", map[string]string{"infra/k8s/y.yaml": "apiVersion: v1\nkind: ConfigMap\n"}, "infra/k8s/y.yaml:1: ConfigMap: it has no metadata.name; if it is not a manifest, but a values.yaml for example, remove it from resources"},
		{"an unknown field", "resources: [x.yaml]\nresource: [y.yaml]", nil, head + `:2: a kustomization has no field "resource" here; correct it, or its indentation`},
		{"a text for a list", "namePrefix: a-\nresources: x.yaml", nil, head + ":2: resources is a text here, and a list is needed; correct it"},
		{"a list for a mapping", "resources: [x.yaml]\ncommonLabels: [a]", nil, head + ":2: commonLabels is a list here, and a mapping is needed; correct it"},
		{"a text for a boolean", "resources: [x.yaml]\ngeneratorOptions: {immutable: 'yes'}", nil, head + ":2: immutable is a text here, and true or false is needed; correct it"},
		{"a number for a text", "resources: [x.yaml]\ncommonLabels: {a: 1}", nil, head + ":2: commonLabels is a number here, and a text (in quotes) is needed; correct it"},
		{"no mapping", "- x.yaml", nil, head + ": a kustomization is a mapping of fields, and this is none; begin with resources:, say"},
		{"one of Flux", "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: x}\nspec: {path: .}", nil, head + ": this is a Kustomization of Flux, not of Kustomize; give the file another name, or move it out of the entry's path"},
		{"a field twice", "configMapGenerator: [{name: a, literals: [a=b]}]\nconfigMapGenerator: [{name: b, literals: [a=b]}]", nil, head + `:2: the key "configMapGenerator" appears here a second time, first at line 1; keep one of them`},
		{"a field twice in other cases", "resources: [x.yaml]\nResources: [d.yaml]", nil, head + `:2: the key "Resources" appears here a second time, first at line 1; keep one of them`},
		{"a field twice below", "configMapGenerator:\n- name: a\n  literals: [a=b]\n  literals: [c=d]", nil, head + `:4: the key "literals" appears here a second time, first at line 3; keep one of them`},
		{"another namespace", "resources: [x.yaml, d.yaml]\nnamespace: other", nil, head + `:2: it puts its objects into the namespace "other", and this environment is confined to "posts-login"; leave namespace out, or write ${NAMESPACE}`},
		{"an address in memory", "resources: [x.yaml]\nsecretGenerator: [{name: a, literals: [a]}]", nil, head + ": Kustomize cannot build it: loading KV pairs: literal sources [a]: invalid literal source a, expected key=value"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			_, err := render.Render(t.Context(), withKustomization(c.kustomization, c.more), options())
			if fmt.Sprint(err) != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

// Kustomize's own transformers and generators do not count as plugins, wherever they stand.
func TestBuiltinTransformersRun(t *testing.T) {
	const prefix = "apiVersion: builtin\nkind: PrefixTransformer\nmetadata: {name: t}\nprefix: pre-\nfieldSpecs: [{path: metadata/name}]\n"
	const generator = "apiVersion: builtin\nkind: ConfigMapGenerator\nmetadata: {name: made}\nliterals: [a=b]\n"
	const plugin = "apiVersion: example.com/v1\nkind: Thing\nmetadata:\n  name: t\n  annotations: {config.kubernetes.io/function: 'exec: {path: /bin/true}'}\n"
	const helm = "apiVersion: builtin\nkind: HelmChartInflationGenerator\nmetadata: {name: c}\nname: c\n"
	for _, c := range []struct {
		reason, kustomization string
		more                  map[string]string
		want                  string // names, or the beginning of the error
	}{
		{"a file", "resources: [x.yaml]\ntransformers: [t.yaml]", map[string]string{"infra/k8s/t.yaml": prefix}, "pre-api"},
		{"in its place", "resources: [x.yaml]\ntransformers:\n- |-\n  " + strings.ReplaceAll(prefix, "\n", "\n  "), nil, "pre-api"},
		{"a folder", "resources: [x.yaml]\ntransformers: [../t]", map[string]string{"infra/t/kustomization.yaml": "resources: [t.yaml]", "infra/t/t.yaml": prefix}, "pre-api"},
		{"a generator", "generators: [g.yaml]", map[string]string{"infra/k8s/g.yaml": generator}, "made-4h2mbtbbt6"},
		{"a plugin in a file", "resources: [x.yaml]\ntransformers: [t.yaml]", map[string]string{"infra/k8s/t.yaml": plugin}, "infra/k8s/kustomization.yaml:2: transformers: Berth runs no plugins; "},
		{"a plugin beside one that is none", "resources: [x.yaml]\ntransformers: [t.yaml]", map[string]string{"infra/k8s/t.yaml": prefix + "---\n" + plugin}, "infra/k8s/kustomization.yaml:2: transformers: Berth runs no plugins; "},
		{"a plugin in its place", "resources: [x.yaml]\nvalidators:\n- |-\n  " + strings.ReplaceAll(plugin, "\n", "\n  "), nil, "infra/k8s/kustomization.yaml:2: validators: Berth runs no plugins; "},
		{"a plugin in a folder", "resources: [x.yaml]\ntransformers: [../t]", map[string]string{"infra/t/kustomization.yaml": "resources: [t.yaml]", "infra/t/t.yaml": plugin}, "infra/t/t.yaml:2: Thing is a plugin, which Berth does not run; "},
		{"Helm as a generator", "generators: [g.yaml]", map[string]string{"infra/k8s/g.yaml": helm}, "infra/k8s/g.yaml:2: Berth does not run Helm; "},
	} {
		t.Run(c.reason, func(t *testing.T) {
			result, err := render.Render(t.Context(), withKustomization(c.kustomization, c.more), options())
			var names []string
			for _, o := range result.Set.Objects {
				names = append(names, o.GetName())
			}
			if got := strings.Join(names, " "); err == nil && got != c.want || err != nil && !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
			}
		})
	}
}

// A file may have a name that only looks like an address.
func TestFilesOfOddNames(t *testing.T) {
	result := rendered(t, withKustomization("resources: [./x.yaml, '../base//d.yaml', '../more//y']\nconfigMapGenerator:\n- name: a\n  files: [icon@2x.txt, 'k=a:b.txt', 'q?.txt']", map[string]string{
		"infra/base/d.yaml": deployment, "infra/k8s/icon@2x.txt": "1", "infra/k8s/a:b.txt": "2", "infra/k8s/q?.txt": "3",
		"infra/more/y/kustomization.yaml": "resources: [z.yaml]", "infra/more/y/z.yaml": strings.ReplaceAll(header, "name: api", "name: z"),
	}), options())
	if result.Set.Len() != 4 {
		t.Errorf("got %d objects", result.Set.Len())
	}
}

// Kustomize's errors are the same in every render.
func TestNoAddressesInMemory(t *testing.T) {
	tree := withKustomization("configMapGenerator: [{name: a, literals: [a=b], behavior: nonsense}]\nresources: [x.yaml]", nil)
	_, first := render.Render(t.Context(), tree, options())
	_, second := render.Render(t.Context(), tree, options())
	if fmt.Sprint(first) != fmt.Sprint(second) || strings.Contains(fmt.Sprint(first), "0x") {
		t.Errorf("got %v, and then %v", first, second)
	}
}

// A panic of Kustomize comes from the files. Any other end of its process may come from the machine, so a retry helps.
func TestCrashesOfKustomize(t *testing.T) {
	for script, want := range map[string]struct {
		text      string
		temporary bool
	}{
		`echo "panic: x" >&2; exit 2`: {"infra/k8s/kustomization.yaml: Kustomize cannot build it: its process crashed: its code panicked; correct it until this builds it: kustomize build infra/k8s", false},
		`kill -9 $$`:                  {"infra/k8s/kustomization.yaml: Kustomize cannot build it: its process crashed: the system killed it, probably because memory is short; raise the memory limit of the pod", true},
	} {
		o := options()
		o.Kustomize = kustomize.New(kustomize.Config{Command: []string{"/bin/sh", "-c", "head -c 4 > /dev/null; " + script}})
		_, err := render.Render(t.Context(), withKustomization("resources: [x.yaml]", nil), o)
		var e interface {
			error
			Temporary() bool
		}
		if temporary := errors.As(err, &e) && e.Temporary(); fmt.Sprint(err) != want.text || temporary != want.temporary {
			t.Errorf("%s: got %v, temporary: %t", script, err, temporary)
		}
	}
}
