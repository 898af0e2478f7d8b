package render_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/internal/kustomizetest"
	"berth.dev/berth/reconciler/kustomize"
	"berth.dev/berth/reconciler/render"
)

// each writes a text n times, with the numbers from 0 in place of %.
func each(n int, text string) string {
	var all strings.Builder
	for i := range n {
		all.WriteString(strings.ReplaceAll(text, "%", fmt.Sprint(i)))
	}
	return all.String()
}

// diamond is a chain of kustomization levels with two on each level. Both name the two below.
func diamond(levels int) map[string]string {
	const folder = "infra/k8s/%d%s/"
	texts := map[string]string{"infra/k8s/kustomization.yaml": "resources: [0a, 0b]\n"}
	for level := range levels {
		for _, side := range []string{"a", "b"} {
			texts[fmt.Sprintf(folder+"kustomization.yaml", level, side)] = fmt.Sprintf("namePrefix: %s-\nresources: [../%da, ../%[2]db]\n", side, level+1)
		}
	}
	for _, side := range []string{"a", "b"} {
		texts[fmt.Sprintf(folder+"kustomization.yaml", levels, side)] = "namePrefix: " + side + "-\nresources: [x.yaml]\n"
		texts[fmt.Sprintf(folder+"x.yaml", levels, side)] = header
	}
	return texts
}

// inTexts writes n nested texts. Each holds the next one, indented deeper.
func inTexts(n int) string {
	var all strings.Builder
	for i := range n {
		all.WriteString(strings.Repeat(" ", i+1) + "a: |-\n")
	}
	return all.String() + strings.Repeat(" ", n+1) + "[&a b, *a]\n"
}

// A few lines that expand without end are refused with an error that names a limit.
func TestHostileFoldersAreRefused(t *testing.T) {
	const limit = "infra/k8s/kustomization.yaml: Kustomize cannot build it: it takes more processor time than the limit of 1s; have fewer objects, levels and patches in one kustomization"
	deployments := func(n int) string {
		return each(n, "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d%}\nspec: {template: {spec: {containers: [{name: a, image: x}]}}}\n---\n")
	}
	for _, c := range []struct {
		reason string
		files  map[string]string
		want   string // the error's beginning; "": it renders
	}{
		{"a diamond", diamond(3), ""},
		{"a diamond of 30 levels", diamond(30), limit},
		{"kustomizations in a circle", map[string]string{
			"infra/k8s/kustomization.yaml": "resources: [../b]\n", "infra/b/kustomization.yaml": "resources: [../k8s]\n",
		}, "infra/k8s/kustomization.yaml: kustomizations name each other in a circle: infra/k8s → infra/b → infra/k8s; "},
		{"some images for some objects", map[string]string{
			"infra/k8s/kustomization.yaml": "resources: [x.yaml]\nimages:\n" + each(10, "- {name: a%, newTag: b}\n"), "infra/k8s/x.yaml": deployments(10),
		}, ""},
		{"many images for many objects", map[string]string{
			"infra/k8s/kustomization.yaml": "resources: [x.yaml]\nimages:\n" + each(300, "- {name: a%, newTag: b}\n"), "infra/k8s/x.yaml": deployments(100),
		}, limit},
		{"many patches for many objects", map[string]string{
			"infra/k8s/kustomization.yaml": "resources: [x.yaml]\npatches:\n" + each(300, "- {path: p.yaml, target: {kind: Deployment}}\n"), "infra/k8s/x.yaml": deployments(100), "infra/k8s/p.yaml": "[]",
		}, limit},
		{"too many objects for Kustomize", map[string]string{
			"infra/k8s/kustomization.yaml": "resources: [x.yaml]\n", "infra/k8s/x.yaml": each(11_000, strings.ReplaceAll(header, "name: api", "name: api%")+"---\n"),
		}, limit},
		{"a patch that copies a field into itself", map[string]string{
			"infra/k8s/kustomization.yaml": "resources: [x.yaml]\npatches:\n- target: {kind: ConfigMap}\n  patch: |-\n" + each(40, "    - {op: copy, from: /data, path: /data/x%}\n"),
			"infra/k8s/x.yaml":             header + "data: {a: b}\n",
		}, "infra/k8s/kustomization.yaml: Kustomize cannot build it: Unable to complete the copy, the accumulated size increase"},
		{"a long name", map[string]string{"infra/k8s/x.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x" + strings.Repeat("é", 100_000) + "}\ndata: {a: 1}\n"},
			"infra/k8s/x.yaml:4: ConfigMap/x" + strings.Repeat("é", 494) + "…: data.a is not a text; "},
		{"many items", map[string]string{"infra/k8s/x.yaml": header + "x: [" + strings.Repeat("a,", 1_000_001) + "]\n"},
			"infra/k8s/x.yaml: this file exceeds the limit of 1000000 lines and items in brackets for all files of an environment; "},
		{"many items for Kustomize", map[string]string{"infra/k8s/kustomization.yaml": "resources: [x.yaml]\n", "infra/k8s/x.yaml": header + "x: [" + strings.Repeat("a,", 1_000_001) + "]\n"},
			"infra/k8s/x.yaml: this file exceeds the limit of 1000000 lines and items in brackets for all files of an environment; "},
		{"many objects", map[string]string{"infra/k8s/x.yaml": each(20_001, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c%}\n---\n")},
			"infra/k8s/x.yaml:80001: this object exceeds the limit of 20000 for an environment; split the objects over several entries"},
		{"many names of folders", map[string]string{"infra/k8s/x.yaml": header + "x:\n" + each(1100, "- ${TREE:infra/%/..}\n")},
			"infra/k8s/x.yaml:1006: ConfigMap/api: with ${TREE:infra/1000/..}, the folders of ${TREE:…} exceed the limit of 1000; name a folder that contains several of them"},
		{"a missing folder named twice", map[string]string{"infra/k8s/x.yaml": header + "x: ${TREE:app}\n---\n" + header + "x: ${TREE:app}\n"},
			"infra/k8s/x.yaml:5: ConfigMap/api: ${TREE:app}: there is no folder \"app\" in this commit; name a folder from the root of the repository\ninfra/k8s/x.yaml:11: ConfigMap/api: "},
		{"a folder named often", map[string]string{"infra/k8s/x.yaml": header + "x:\n" + strings.Repeat("- ${TREE:infra}\n", 100_000)}, ""},
		{"much that a variable stands for", map[string]string{"infra/k8s/x.yaml": header + "x:\n" + strings.Repeat("- ${LONG}-\n", 100)},
			"infra/k8s/x.yaml:70: ConfigMap/api: with ${LONG}, the values of variables exceed the limit of 64 MiB; use it in fewer texts, or give it a shorter value"},
		{"texts in texts", map[string]string{"infra/k8s/kustomization.yaml": "resources: [x.yaml]\n", "infra/k8s/x.yaml": header + "data:\n" + inTexts(2000)}, ""},
		{"a deep document that is not encrypted", map[string]string{"infra/k8s/x.yaml": "x: " + strings.Repeat("[", 5000) + strings.Repeat("y", 1<<20) + strings.Repeat("]", 5000) + "\n---\n" + encrypted},
			"infra/k8s/x.yaml:1: values are nested more than 500 deep; no manifest needs that"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			o := options()
			limits := kustomize.Limits{Memory: 160 << 20, CPU: 20 * time.Second}
			if c.want == limit {
				limits.CPU = time.Second
			}
			o.Kustomize = kustomizetest.Limited(limits)
			o.Variables["LONG"] = strings.Repeat("x", 1<<20)
			o.Decrypter = decrypter{"infra/k8s/x.yaml": strings.ReplaceAll(c.files["infra/k8s/x.yaml"], encrypted, secretHeader)}
			_, err := render.Render(t.Context(), files(c.files), o)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)) {
				t.Errorf("got  %.300v\nwant %s", err, c.want)
			}
		})
	}
}

func TestNotAllOfManyProblemsAreTold(t *testing.T) {
	for reason, texts := range map[string]map[string]string{
		"documents": {"infra/k8s/x.yaml": strings.Repeat("a: b\n---\n", 5000)},
		"doubles":   {"infra/k8s/x.yaml": strings.Repeat(header+"---\n", 5001)},
		"missing":   {"infra/k8s/kustomization.yaml": "resources:\n" + each(5000, "- %.yaml\n")},
	} {
		_, err := render.Render(t.Context(), files(texts), options())
		lines := strings.Split(fmt.Sprint(err), "\n")
		if len(lines) != 101 || !strings.Contains(lines[100], " more, here and below; correct those above first") {
			t.Errorf("%s: got %d lines, the last is %q", reason, len(lines), lines[len(lines)-1])
		}
	}
}
