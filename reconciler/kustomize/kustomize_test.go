package kustomize_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"berth.dev/berth/internal/kustomizetest"
	"berth.dev/berth/reconciler/kustomize"
)

func TestMain(m *testing.M) {
	kustomizetest.Serve()
	os.Exit(m.Run())
}

// files are texts by name.
type files map[string]string

func (f files) Stat(name string) kustomize.Kind {
	if _, ok := f[name]; ok {
		return kustomize.File
	}
	for file := range f {
		for folder := path.Dir(file); ; folder = path.Dir(folder) {
			if folder == name {
				return kustomize.Folder
			}
			if folder == "." {
				break
			}
		}
	}
	return kustomize.None
}

func (f files) ReadFile(name string) ([]byte, error) {
	text, ok := f[name]
	switch {
	case !ok:
		return nil, fs.ErrNotExist
	case text == "locked":
		return nil, errors.New("there is no key for it")
	}
	return []byte(text), nil
}

const object = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: api}\n"

// built builds the folder "k8s", and writes its objects as YAML.
func built(t *testing.T, b *kustomize.Builder, f files) string {
	t.Helper()
	resources, err := b.Build(t.Context(), kustomize.Request{Folder: "k8s"}, f)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, r := range resources {
		text, err := yaml.Marshal(r.Node)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(text))
	}
	return strings.Join(all, "---\n")
}

func TestABuild(t *testing.T) {
	resources, err := kustomizetest.Builder().Build(t.Context(), kustomize.Request{Folder: "k8s"}, files{
		"k8s/kustomization.yaml":  "resources: [../base]\nbuildMetadata: [originAnnotations]\nconfigMapGenerator: [{name: c, files: [a.txt]}]\n",
		"k8s/a.txt":               "${A}",
		"base/kustomization.yaml": "resources: [x.yaml]",
		"base/x.yaml":             object + "data:\n  a: &a \"1\"\n  b: *a\n  c: yes\n  d: |-\n    e\n    f\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(resources) != 2 || resources[0].Path != "../base/x.yaml" || resources[0].Kind != "ConfigMap" || resources[0].Name != "api" || resources[1].ConfiguredIn != "kustomization.yaml" {
		t.Errorf("got %+v", resources)
	}
	text, err := yaml.Marshal(resources[0].Node)
	if want := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: api}\ndata:\n    a: \"1\"\n    b: \"1\"\n    c: yes\n    d: |-\n        e\n        f\n"; err != nil || string(text) != want {
		t.Errorf("got %v\n%s\nwant\n%s", err, text, want)
	}
	for _, n := range resources[1].Node.Content {
		if n.Value == "data" {
			return
		}
	}
	t.Error("the generated object has no data")
}

// Kustomize keeps the schema of a build in a global variable.
func TestABuildLeavesNothingToTheNext(t *testing.T) {
	b := kustomizetest.Builder()
	deployment := "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: api}\nspec: {template: {spec: {containers: [{name: %s, image: x}]}}}\n"
	patched := files{
		"k8s/kustomization.yaml": "resources: [x.yaml]\npatches: [{path: p.yaml}]\n",
		"k8s/x.yaml":             fmt.Sprintf(deployment, "a"),
		"k8s/p.yaml":             fmt.Sprintf(deployment, "b"),
	}
	before := built(t, b, patched)
	if strings.Count(before, "image: x") != 2 {
		t.Fatalf("the containers are not merged: %s", before)
	}
	hostile := files{
		"k8s/kustomization.yaml": "resources: [x.yaml]\npatches: [{path: p.yaml}]\nopenapi: {path: schema.json}\n",
		"k8s/x.yaml":             patched["k8s/x.yaml"], "k8s/p.yaml": patched["k8s/p.yaml"],
		"k8s/schema.json": `{"definitions": {"d": {"type": "object", "x-kubernetes-group-version-kind": [{"group": "apps", "kind": "Deployment", "version": "v1"}]}}}`,
	}
	if text := built(t, b, hostile); strings.Count(text, "image: x") != 1 {
		t.Fatalf("the schema has no effect: %s", text)
	}
	if after := built(t, b, patched); after != before {
		t.Errorf("got\n%s\nwant\n%s", after, before)
	}
}

func TestOriginsAreRemovedFromWhereTheyWereCopied(t *testing.T) {
	deployment := "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: api, annotations: {a: b}}\nspec: {template: {metadata: {labels: {a: b}}}}\n"
	for reason, kustomization := range map[string]string{
		"a patch":       "patches: [{target: {kind: Deployment}, patch: '[{\"op\": \"copy\", \"from\": \"/metadata/annotations\", \"path\": \"/spec/template/metadata/annotations\"}]'}]",
		"a replacement": "replacements: [{source: {kind: Deployment, fieldPath: metadata.annotations}, targets: [{select: {kind: Deployment}, fieldPaths: [spec.template.metadata.annotations], options: {create: true}}]}]",
	} {
		text := built(t, kustomizetest.Builder(), files{
			"k8s/kustomization.yaml": "resources: [x.yaml]\nbuildMetadata: [originAnnotations]\n" + kustomization,
			"k8s/x.yaml":             deployment,
		})
		if strings.Contains(text, "origin") || strings.Count(text, "a: b") != 3 {
			t.Errorf("%s: got\n%s", reason, text)
		}
	}
}

// The annotation with an object's origin makes no difference to a patch: the result is that of kustomize build.
func TestPatchesOfAnnotationsSeeThoseOfGitAlone(t *testing.T) {
	annotated := strings.Replace(object, "{name: api}", "{name: api, annotations: {a: b}}", 1)
	for _, patch := range []string{
		`{"op": "add", "path": "/metadata/annotations/x", "value": "y"}`,
		`{"op": "add", "path": "/metadata/annotations", "value": {"x": "z"}}`,
		`{"op": "remove", "path": "/metadata/annotations"}`,
		`{"op": "test", "path": "/metadata/annotations", "value": {"a": "b"}}`,
		`{"op": "replace", "path": "/metadata/annotations", "value": {"x": "z"}}`,
		`{"op": "copy", "from": "/metadata/annotations", "path": "/data"}`,
		`{"op": "move", "from": "/metadata/annotations", "path": "/data"}`,
	} {
		for _, x := range []string{object, annotated} {
			for _, f := range []files{
				{"k8s/kustomization.yaml": "resources: [x.yaml]\npatches: [{target: {kind: ConfigMap}, patch: '[" + patch + "]'}]", "k8s/x.yaml": x},
				{"k8s/kustomization.yaml": "resources: [x.yaml]\npatchesJson6902: [{target: {version: v1, kind: ConfigMap, name: api}, patch: '[" + patch + "]'}]", "k8s/x.yaml": x},
				{"k8s/kustomization.yaml": "resources: [../base]\n", "base/kustomization.yaml": "resources: [x.yaml]\npatches: [{target: {kind: ConfigMap}, path: p.yaml}]", "base/x.yaml": x, "base/p.yaml": "[" + patch + "]"},
			} {
				want, refused := kustomized(t, f)
				f["k8s/kustomization.yaml"] += "\nbuildMetadata: [originAnnotations]\n"
				resources, err := kustomizetest.Builder().Build(t.Context(), kustomize.Request{Folder: "k8s"}, f)
				if refused != nil || err != nil {
					if refused == nil || err == nil {
						t.Errorf("%s to %s: got %v, want %v", patch, x, err, refused)
					}
					continue
				}
				var got any
				if err := resources[0].Node.Decode(&got); err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("%s to %s: got %v, want %v", patch, x, got, want)
				}
			}
		}
	}
}

// kustomized builds the only object of the folder "k8s" with Kustomize alone.
func kustomized(t *testing.T, f files) (object any, err error) {
	t.Helper()
	disk := filesys.MakeFsInMemory()
	for name, text := range f {
		if err := disk.WriteFile(name, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	built, err := krusty.MakeKustomizer(&krusty.Options{PluginConfig: types.DisabledPluginConfig()}).Run(disk, "k8s")
	if err != nil {
		return nil, err
	}
	text, err := built.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return object, yaml.Unmarshal(text, &object)
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		reason string
		files  files
		want   string
	}{
		{"a file that the parent refuses", files{"k8s/kustomization.yaml": "resources: [x.yaml]", "k8s/x.yaml": "locked"}, "there is no key for it"},
		{"a missing file", files{"k8s/kustomization.yaml": "resources: [x.yaml]"}, "open k8s/x.yaml: file does not exist"},
		{"a web address", files{"k8s/kustomization.yaml": "resources: ['http://127.0.0.1:1/x.yaml']"}, "too many open files"},
		{"a plugin", files{"k8s/kustomization.yaml": "transformers: [x.yaml]", "k8s/x.yaml": "apiVersion: example.com/v1\nkind: T\nmetadata: {name: t, annotations: {config.kubernetes.io/function: 'exec: {path: /bin/true}'}}"}, "external plugins disabled"},
	} {
		_, err := kustomizetest.Builder().Build(t.Context(), kustomize.Request{Folder: "k8s"}, c.files)
		if _, ok := errors.AsType[*kustomize.Error](err); !ok || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.reason, err, c.want)
		}
	}
}

func TestLimits(t *testing.T) {
	for want, limits := range map[string]kustomize.Limits{
		"it takes more processor time than the limit of 300ms": {CPU: 300 * time.Millisecond},
		"it takes more time than the limit of 300ms":           {Time: 300 * time.Millisecond},
		"it takes more memory than the limit of 30 MiB":        {Memory: 30 << 20},
	} {
		var objects strings.Builder
		for i := range 20_000 {
			fmt.Fprintf(&objects, "%s---\n", strings.ReplaceAll(object, "name: api", fmt.Sprint("name: api", i)))
		}
		_, err := kustomizetest.Limited(limits).Build(t.Context(), kustomize.Request{Folder: "k8s"}, files{
			"k8s/kustomization.yaml": "resources: [x.yaml]", "k8s/x.yaml": objects.String(),
		})
		if _, ok := errors.AsType[*kustomize.LimitError](err); !ok || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestABuildEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := cancelling{files{"k8s/kustomization.yaml": "resources: [x.yaml]", "k8s/x.yaml": object}, cancel}
	if _, err := kustomizetest.Builder().Build(ctx, kustomize.Request{Folder: "k8s"}, f); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// cancelling cancels a context when something is read.
type cancelling struct {
	files
	cancel func()
}

func (c cancelling) ReadFile(name string) ([]byte, error) {
	c.cancel()
	return c.files.ReadFile(name)
}
