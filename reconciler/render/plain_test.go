package render_test

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"berth.dev/berth/reconciler/render"
)

// linkedTree is a tree with links, by name.
type linkedTree struct {
	tree
	links map[string]string
}

func withLinks(t tree, links map[string]string) linkedTree {
	for name, target := range links {
		up := strings.Repeat("../", strings.Count(name, "/"))
		t.MapFS[name] = &fstest.MapFile{Mode: fs.ModeSymlink, Data: []byte(up + target)}
	}
	return linkedTree{t, links}
}

func (l linkedTree) Resolve(name string) (string, error) {
	for link, target := range l.links {
		if name == link || strings.HasPrefix(name, link+"/") {
			name = target + strings.TrimPrefix(name, link)
		}
	}
	_, err := fs.Stat(l.tree, name)
	return name, err
}

// A folder behind a link in a plain path is read, once.
func TestLinkedFoldersAreRead(t *testing.T) {
	object := func(name string) string { return strings.ReplaceAll(header, "name: api", "name: "+name) }
	texts := map[string]string{"infra/k8s/x.yaml": header, "infra/k8s/sub/y.yaml": object("second"), "shared/z.yaml": object("third"), "README.md": ""}
	for _, c := range []struct {
		reason string
		links  map[string]string
		want   string // the origins of the objects, or the error
	}{
		{"out of the path", map[string]string{"infra/k8s/shared": "shared"}, "infra/k8s/shared/z.yaml infra/k8s/sub/y.yaml infra/k8s/x.yaml"},
		{"twice", map[string]string{"infra/k8s/again": "shared", "infra/k8s/shared": "shared"}, "infra/k8s/again/z.yaml infra/k8s/sub/y.yaml infra/k8s/x.yaml"},
		{"within the path", map[string]string{"infra/k8s/again": "infra/k8s/sub"}, "infra/k8s/sub/y.yaml infra/k8s/x.yaml"},
		{"to a file that is no manifest", map[string]string{"infra/k8s/about": "README.md"}, "infra/k8s/sub/y.yaml infra/k8s/x.yaml"},
		{"to nothing", map[string]string{"infra/k8s/gone": "nowhere"}, "infra/k8s/sub/y.yaml infra/k8s/x.yaml, and infra/k8s/gone: the link leads to nothing in this repository, and is not followed"},
		{"to a folder above", map[string]string{"infra/k8s/up": "infra"}, `infra/k8s/up: the link leads to "infra", which contains the link; remove it, or move it out of the entry's path`},
	} {
		t.Run(c.reason, func(t *testing.T) {
			result, err := render.Render(t.Context(), withLinks(files(texts), c.links), options())
			var from []string
			for _, o := range result.Set.Objects {
				from = append(from, o.Origin.File)
			}
			got := strings.Join(from, " ")
			if err != nil {
				got = err.Error()
			}
			for _, warning := range result.Set.Warnings {
				got += fmt.Sprint(", and ", warning)
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
	links := map[string]string{"infra/k8s/shared": "shared"}
	result := rendered(t, withLinks(files(texts), links), options())
	texts["shared/new.yaml"] = object("new")
	if result.Inputs.Same(withLinks(files(texts), links), options().Variables) {
		t.Error("a change behind the link is not one of the input")
	}
}

// Joined files may each begin with a byte order mark.
func TestByteOrderMarksBetweenDocuments(t *testing.T) {
	second := strings.ReplaceAll(header, "name: api", "name: b")
	for _, joint := range []string{"---\n\ufeff", "\ufeff---\n", "\ufeff\n---\n", "---\n\ufeff---\n", "---\n\ufeff# a comment\n"} {
		text := "\ufeff" + header + joint + second
		for how, tree := range map[string]tree{
			"plain": one(text), "Kustomize": files(map[string]string{"infra/k8s/kustomization.yaml": "resources: [x.yaml]\n", "infra/k8s/x.yaml": text}),
		} {
			result, err := render.Render(t.Context(), tree, options())
			if err != nil || result.Set.Len() != 2 {
				t.Errorf("%s, %q: got %d objects, %v", how, joint, result.Set.Len(), err)
			}
		}
	}
	text := rendered(t, one(header+"data:\n  a: |-\n    \ufeffb\n"), options()).Set.Objects[0].Object["data"]
	if fmt.Sprint(text) != "map[a:\ufeffb]" {
		t.Errorf("a mark within a text: got %q", text)
	}
}
