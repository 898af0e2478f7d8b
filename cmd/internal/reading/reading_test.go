package reading_test

import (
	"io/fs"
	"os"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"berth.dev/berth/cmd/internal/reading"
	"berth.dev/berth/internal/kustomizetest"
	"berth.dev/berth/reconciler/render"
)

// files is a tree without hashes, which these tests do not need.
type files struct{ fstest.MapFS }

func TestMain(m *testing.M) {
	kustomizetest.Serve()
	os.Exit(m.Run())
}

func (files) Hash(string) (string, error) { return "", fs.ErrNotExist }

func tree(contents map[string]string) files {
	all := fstest.MapFS{}
	for name, content := range contents {
		all[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return files{all}
}

func TestUnlisted(t *testing.T) {
	const object = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME}\n"
	for _, test := range []struct {
		name  string
		files map[string]string
		want  []string
	}{
		{"plain manifests", map[string]string{"a.yaml": object}, nil},
		{"all listed", map[string]string{"kustomization.yaml": "resources: [a.yaml]", "a.yaml": object}, nil},
		{"one forgotten", map[string]string{"kustomization.yaml": "resources: [a.yaml]", "a.yaml": object, "b.yml": "# first\n---\n" + object, "c.json": `{"apiVersion": "v1", "kind": "Secret"}`},
			[]string{"b.yml", "c.json"}},
		{"in a base", map[string]string{"kustomization.yaml": "resources: [base]", "base/Kustomization": "resources: [a.yaml]", "base/a.yaml": object, "base/b.yaml": object},
			[]string{"base/b.yaml"}},
		{"what a generator reads", map[string]string{"kustomization.yaml": "configMapGenerator: [{name: c, files: [b.yaml]}]", "b.yaml": object}, nil},
		{"what is no object", map[string]string{"kustomization.yaml": "resources: [a.yaml]", "a.yaml": object, "values.yaml": "kind: of", "README.md": object, "list.json": "[1]", ".hidden.yaml": object,
			"other/b.yaml": object, "broken.yaml": "a: [", "kustomization.yml.bak": object, "component.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			read := reading.Of(tree(test.files))
			if _, err := render.Render(t.Context(), read, render.Options{Namespace: "n", Kustomize: kustomizetest.Builder()}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, read.Unlisted()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
