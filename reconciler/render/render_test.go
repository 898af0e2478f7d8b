package render_test

import (
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"berth.dev/berth/internal/kustomizetest"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/render"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// tree is a Tree in memory. Its hashes follow from contents, as Git's do.
type tree struct{ fstest.MapFS }

func (t tree) Hash(name string) (string, error) {
	if !fs.ValidPath(name) {
		return "", &fs.PathError{Op: "hash", Path: name, Err: fs.ErrInvalid}
	}
	sum := sha1.New()
	err := fs.WalkDir(t, name, func(at string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(t, at)
		fmt.Fprintf(sum, "%s\x00%s\x00", at, content)
		return err
	})
	return hex.EncodeToString(sum.Sum(nil)), err
}

// files makes a tree of texts.
func files(texts map[string]string) tree {
	t := tree{fstest.MapFS{}}
	for name, text := range texts {
		t.MapFS[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return t
}

// one makes a tree of one manifest, infra/k8s/x.yaml.
func one(text string) tree { return files(map[string]string{"infra/k8s/x.yaml": text}) }

// options returns those of a confined environment with some variables.
func options() render.Options {
	return render.Options{
		Path:      "infra/k8s",
		Namespace: "posts-login",
		Kustomize: kustomizetest.Builder(),
		Variables: map[string]any{
			"BRANCH": "feature/login", "BRANCH_SLUG": "login", "COMMIT_SHORT": "12345678", "NAMESPACE": "posts-login",
			"REPLICAS": int64(3), "RATIO": 0.5, "DEBUG": true, "PORT": "8080", "WHOLE": float64(7),
		},
	}
}

// rendered fails the test unless the tree renders.
func rendered(t *testing.T, tree render.Tree, o render.Options) render.Result {
	t.Helper()
	result, err := render.Render(t.Context(), tree, o)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// warned returns the warnings of a render as they are printed.
func warned(result render.Result) []string {
	var list []string
	for _, w := range result.Set.Warnings {
		list = append(list, w.String())
	}
	return list
}

// text writes a set for golden comparisons: origins, objects, warnings.
func text(t *testing.T, set manifest.Set) string {
	t.Helper()
	var out string
	for _, o := range set.Objects {
		content, err := yaml.Marshal(o.Object)
		if err != nil {
			t.Fatal(err)
		}
		out += fmt.Sprintf("# %s\n%s", o.Origin, content)
	}
	for _, warning := range set.Warnings {
		out += "! " + warning.String() + "\n"
	}
	return out
}

func TestPlain(t *testing.T) {
	for _, c := range []struct {
		reason string
		tree   tree
		want   string
	}{
		{"several documents, empty ones skipped, lines of each", one("# api\n---\n---\n# first\n" + header + "---\n# only a comment\n---\nnull\n---\n\n" + strings.Replace(header, "ConfigMap", "Service", 1)),
			`# infra/k8s/x.yaml:5
apiVersion: v1
kind: ConfigMap
metadata:
  name: api
  namespace: posts-login
# infra/k8s/x.yaml:15
apiVersion: v1
kind: Service
metadata:
  name: api
  namespace: posts-login
`},
		{"lists unfolded, within each other, each item's line", one(`apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: a}
- apiVersion: v1
  kind: ConfigMapList
  items:
  - apiVersion: v1
    kind: ConfigMap
    metadata: {name: b}
`), `# infra/k8s/x.yaml:4
apiVersion: v1
kind: ConfigMap
metadata:
  name: a
  namespace: posts-login
# infra/k8s/x.yaml:10
apiVersion: v1
kind: ConfigMap
metadata:
  name: b
  namespace: posts-login
`},
		{"numbers in JSON", files(map[string]string{"infra/k8s/x.json": `{"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "thing"}, "spec": {"count": 3, "share": 0.5}}`}), `# infra/k8s/x.json:1
apiVersion: example.com/v1
kind: Thing
metadata:
  name: thing
  namespace: posts-login
spec:
  count: 3
  share: 0.5
`},
		{"anchors, aliases and merge keys; what stands there prevails", one(header + `data: &defaults
  a: one
  b: two
---
apiVersion: example.com/v1
kind: Thing
metadata: {name: thing}
spec:
  base: &base {a: one, b: two}
  more: &more {b: three, c: four}
  all:
    a: own
    <<: [*base, *more]
  again: *more
`), `# infra/k8s/x.yaml:1
apiVersion: v1
data:
  a: one
  b: two
kind: ConfigMap
metadata:
  name: api
  namespace: posts-login
# infra/k8s/x.yaml:9
apiVersion: example.com/v1
kind: Thing
metadata:
  name: thing
  namespace: posts-login
spec:
  again:
    b: three
    c: four
  all:
    a: own
    b: two
    c: four
  base:
    a: one
    b: two
  more:
    b: three
    c: four
`},
		{"JSON beside YAML, tabs and surrogate pairs in it", files(map[string]string{
			"infra/k8s/deep/x.json": "{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"ConfigMap\",\n\t\"metadata\": {\"name\": \"a\"},\n\t\"data\": {\"a\": \"\\ud83d\\ude00 \\/ ${BRANCH}\"}}\n{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"metadata\": {\"name\": \"b\"}, \"immutable\": true}",
			"infra/k8s/y.yml":       "apiVersion: v1\r\nkind: ConfigMap\r\nmetadata: {name: c}\r\n",
			"infra/k8s/notes.txt":   "not read",
			"infra/k8s/.git/x.yaml": "not read",
		}), `# infra/k8s/deep/x.json:1
apiVersion: v1
data:
  a: "\U0001F600 / feature/login"
kind: ConfigMap
metadata:
  name: a
  namespace: posts-login
# infra/k8s/deep/x.json:6
apiVersion: v1
immutable: true
kind: ConfigMap
metadata:
  name: b
  namespace: posts-login
# infra/k8s/y.yml:1
apiVersion: v1
kind: ConfigMap
metadata:
  name: c
  namespace: posts-login
`},
		{"what exported objects carry is dropped, stringData folded", one(`apiVersion: v1
kind: Secret
metadata:
  name: api
  uid: 1234
  resourceVersion: "5"
  generation: 3
  creationTimestamp: null
  selfLink: /api
  managedFields: []
  labels: {}
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: '{"password": "x"}'
data: {a: b25l, b: b25l}
stringData: {b: two, c: "${BRANCH}"}
status: {}
---
apiVersion: v1
kind: Secret
metadata: {name: new}
stringData: {a: one}
---
apiVersion: v1
kind: Secret
metadata: {name: none}
stringData:
---
apiVersion: v1
kind: Secret
metadata: {name: nothing}
stringData: {}
`), `# infra/k8s/x.yaml:1
apiVersion: v1
data:
  a: b25l
  b: dHdv
  c: ZmVhdHVyZS9sb2dpbg==
kind: Secret
metadata:
  name: api
  namespace: posts-login
# infra/k8s/x.yaml:18
apiVersion: v1
data:
  a: b25l
kind: Secret
metadata:
  name: new
  namespace: posts-login
# infra/k8s/x.yaml:23
apiVersion: v1
kind: Secret
metadata:
  name: none
  namespace: posts-login
# infra/k8s/x.yaml:28
apiVersion: v1
kind: Secret
metadata:
  name: nothing
  namespace: posts-login
! infra/k8s/x.yaml:1: Secret/api: its values are in Git unencrypted, and everyone who can read the repository can read them; encrypt the file with SOPS, see docs/secrets.md
! infra/k8s/x.yaml:18: Secret/new: its values are in Git unencrypted, and everyone who can read the repository can read them; encrypt the file with SOPS, see docs/secrets.md
`},
	} {
		t.Run(c.reason, func(t *testing.T) {
			if got := text(t, rendered(t, c.tree, options()).Set); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestObjectsComeInTheOrderOfASync(t *testing.T) {
	const object = "apiVersion: %s\nkind: %s\nmetadata: {name: %s%s}\n---\n"
	result := rendered(t, files(map[string]string{
		"infra/k8s/1.yaml": fmt.Sprintf(object, "apps/v1", "Deployment", "b", "") + fmt.Sprintf(object, "apps/v1", "Deployment", "a", ""),
		"infra/k8s/2.yaml": fmt.Sprintf(object, "batch/v1", "Job", "migrate", `, annotations: {berth.dev/wave: "-1"}`) +
			fmt.Sprintf(object, "example.com/v1", "Thing", "c", ""),
		"infra/k8s/3.yaml": fmt.Sprintf(object, "v1", "Service", "d", "") + fmt.Sprintf(object, "v1", "Secret", "e", ""),
	}), options())
	var got []string
	for _, o := range result.Set.Objects {
		got = append(got, o.Key().Short())
	}
	want := "Secret/e Service/d Job/migrate Deployment/b Deployment/a Thing/c"
	if got := strings.Join(got, " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestScope(t *testing.T) {
	const crd = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: things.example.com}\n" +
		"spec: {group: example.com, scope: Cluster, names: {kind: Thing}}\n---\n"
	known := func(gk schema.GroupKind) (bool, error) {
		if gk.Kind == "Away" {
			return false, errors.New("its API does not answer")
		}
		return gk.Kind == "Fleet", nil
	}
	for _, c := range []struct {
		reason, text string
		scope        render.Scope
		want         string // namespace/name of each object, then the warnings, or the error
	}{
		{"no namespace: its own", header, render.Namespaced, "posts-login/api"},
		{"its own by a variable", header + "  namespace: ${NAMESPACE}\n", render.Namespaced, "posts-login/api"},
		{"an unknown kind counts as namespaced", "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: a}\n", render.Namespaced, "posts-login/a"},
		{"a kind that the caller knows", "apiVersion: example.com/v1\nkind: Fleet\nmetadata: {name: a}\n", render.Namespaced,
			`infra/k8s/x.yaml:1: Fleet/a: it is cluster-scoped, and this environment is confined to the namespace "posts-login"; remove it, or give the entry scope: Cluster`},
		{"a namespace of its own is left out", "apiVersion: v1\nkind: Namespace\nmetadata: {name: '${NAMESPACE}'}\n---\n" + header, render.Namespaced,
			"posts-login/api infra/k8s/x.yaml:1: Namespace/posts-login: it is left out; Berth itself creates the environment's namespace"},
		{"cluster: no namespace is still its own", header, render.Cluster, "posts-login/api"},
		{"cluster: another namespace", header + "  namespace: other\n", render.Cluster, "other/api"},
		{"cluster: a custom resource and what defines it", crd + "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: a}\n", render.Cluster, "/things.example.com /a"},
		{"cluster: a kind that the caller knows", "apiVersion: example.com/v1\nkind: Fleet\nmetadata: {name: a}\n", render.Cluster, "/a"},
		{"cluster: a kind whose scope is unknown now", "apiVersion: example.com/v1\nkind: Away\nmetadata: {name: a}\n", render.Cluster,
			"infra/k8s/x.yaml:1: Away/a: it is unknown whether its kind is cluster-scoped: its API does not answer; nothing is applied or deleted until the API server answers"},
		{"cluster: a namespace where none belongs", "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: a, namespace: b}\n", render.Cluster,
			"/a infra/k8s/x.yaml:1: ClusterRole/a: it is cluster-scoped; its metadata.namespace is left out"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			o := options()
			o.Scope, o.ClusterScoped = c.scope, known
			result, err := render.Render(t.Context(), one(c.text), o)
			var got []string
			for _, o := range result.Set.Objects {
				got = append(got, o.GetNamespace()+"/"+o.GetName())
			}
			got = append(got, warned(result)...)
			if err != nil {
				got = append(got, err.Error())
			}
			if got := strings.Join(got, " "); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestAFolderOfKustomizeWithinAPlainOne(t *testing.T) {
	_, err := render.Render(t.Context(), files(map[string]string{
		"infra/k8s/base/kustomization.yaml": "resources: [x.yaml]",
		"infra/k8s/base/x.yaml":             header,
	}), options())
	want := `infra/k8s/base/kustomization.yaml: this folder is for Kustomize, but "infra/k8s" itself has no kustomization.yaml; set the entry's path to this folder, or add a kustomization.yaml that lists it under resources`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
