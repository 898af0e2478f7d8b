package render_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/render"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// nginx is a configuration full of texts that look like variables and are not Berth's.
const nginx = "server {\n\t  location / {\n    try_files $uri $uri/ /index.php?$query_string;\n" +
	"    fastcgi_param X ${HOME}${ $ $$ $${HOME} ${uri} ${} ${branch} ${BRANCH;\n    set $a \"${request_uri}\"; # \u00a0é\n  }   \n}\n\n"

func TestVariables(t *testing.T) {
	object := "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: thing}\nspec:\n  value: "
	tree := files(map[string]string{"app/main.go": "package main"})
	app, err := tree.Hash("app")
	if err != nil {
		t.Fatal(err)
	}
	root, err := tree.Hash(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		yaml string
		want any
		used []string
	}{
		// Built-in variables are always texts.
		{`${BRANCH}`, "feature/login", []string{"BRANCH"}},
		{`${COMMIT_SHORT}`, "12345678", []string{"COMMIT_SHORT"}},
		{`"${COMMIT_SHORT}"`, "12345678", []string{"COMMIT_SHORT"}},
		{`app:${COMMIT_SHORT}`, "app:12345678", []string{"COMMIT_SHORT"}},
		{`${COMMIT_SHORT}${COMMIT_SHORT}`, "1234567812345678", []string{"COMMIT_SHORT"}},
		// The entry's variables keep their type if they stand alone and plain.
		{`${REPLICAS}`, int64(3), []string{"REPLICAS"}},
		{`"${REPLICAS}"`, "3", []string{"REPLICAS"}},
		{`${REPLICAS`, "${REPLICAS", nil},
		{`'${REPLICAS}'`, "3", []string{"REPLICAS"}},
		{"|-\n    ${REPLICAS}", "3", []string{"REPLICAS"}},
		{`!!str ${REPLICAS}`, "3", []string{"REPLICAS"}},
		{`x${REPLICAS}`, "x3", []string{"REPLICAS"}},
		{`${WHOLE}`, int64(7), []string{"WHOLE"}},
		{`v${WHOLE}`, "v7", []string{"WHOLE"}},
		{`${RATIO}`, 0.5, []string{"RATIO"}},
		{`r${RATIO}`, "r0.5", []string{"RATIO"}},
		{`${DEBUG}`, true, []string{"DEBUG"}},
		{`"${DEBUG}"`, "true", []string{"DEBUG"}},
		{`${PORT}`, "8080", []string{"PORT"}},
		{`${NUMBER}`, int64(12), []string{"NUMBER"}},
		{`${DECIMAL}`, 1.5, []string{"DECIMAL"}},
		{`${INT}`, int64(4), []string{"INT"}},
		{`${NULL}`, nil, []string{"NULL"}},
		{`a${NULL}b`, "ab", []string{"NULL"}},
		// A value never becomes structure, and variables in it are not replaced.
		{`${EVIL}`, "x\n  injected: yes # ${BRANCH}", []string{"EVIL"}},
		{`[a, "${EVIL}"]`, []any{"a", "x\n  injected: yes # ${BRANCH}"}, []string{"EVIL"}},
		// Texts that are not Berth's variables stay.
		{`$uri ${HOME} $(BRANCH) $BRANCH ${ BRANCH } ${branch} ${}`, "$uri ${HOME} $(BRANCH) $BRANCH ${ BRANCH } ${branch} ${}", nil},
		{`${BRANCH`, "${BRANCH", nil},
		{`${BRANCH ${BRANCH}`, "${BRANCH feature/login", []string{"BRANCH"}},
		{`"${"`, "${", nil},
		{`${a${BRANCH}}`, "${afeature/login}", []string{"BRANCH"}},
		{`$${BRANCH}`, "${BRANCH}", nil},
		{`$${BRANCH} is ${BRANCH}`, "${BRANCH} is feature/login", []string{"BRANCH"}},
		{`$$${BRANCH}`, "$${BRANCH}", nil},
		{`$${HOME}`, "$${HOME}", nil},
		{`$${TREE:nowhere}`, "${TREE:nowhere}", nil},
		// Keys are not replaced.
		{`{"${BRANCH}": a}`, map[string]any{"${BRANCH}": "a"}, nil},
		// Hashes of folders.
		{`app:${TREE:app}`, "app:" + app, []string{"TREE:app"}},
		{`${TREE:app}-${TREE:app}`, app + "-" + app, []string{"TREE:app"}},
		{`${TREE:./app/}`, app, []string{"TREE:./app/"}},
		{`${TREE:.}`, root, []string{"TREE:."}},
	} {
		t.Run(c.yaml, func(t *testing.T) {
			o := options()
			maps.Copy(o.Variables, map[string]any{"EVIL": "x\n  injected: yes # ${BRANCH}", "NULL": nil, "INT": 4,
				"NUMBER": json.Number("12"), "DECIMAL": json.Number("1.5")})
			o.Path = "infra"
			with := files(map[string]string{"app/main.go": "package main"})
			with.MapFS["infra/x.yaml"] = one(object + c.yaml + "\n").MapFS["infra/k8s/x.yaml"]
			want := c.want
			if c.yaml == `${TREE:.}` {
				want, _ = with.Hash(".")
			}
			result := rendered(t, with, o)
			got, _, err := unstructured.NestedFieldNoCopy(result.Set.Objects[0].Object, "spec", "value")
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %#v, %v; want %#v", got, err, want)
			}
			if len(result.Inputs.Variables) != len(c.used) {
				t.Errorf("used %v, want %v", result.Inputs.Variables, c.used)
			}
			for _, name := range c.used {
				if _, ok := result.Inputs.Variables[name]; !ok {
					t.Errorf("used %v, want %v", result.Inputs.Variables, c.used)
				}
			}
		})
	}
}

func TestTextsOfOthersStayByteForByte(t *testing.T) {
	text, err := json.Marshal(nginx)
	if err != nil {
		t.Fatal(err)
	}
	result := rendered(t, one(header+"data: {nginx.conf: "+string(text)+"}\n"), options())
	got, _, _ := unstructured.NestedString(result.Set.Objects[0].Object, "data", "nginx.conf")
	if got != nginx {
		t.Errorf("got\n%q\nwant\n%q", got, nginx)
	}
	if len(result.Inputs.Variables) > 0 {
		t.Errorf("used %v, want none", result.Inputs.Variables)
	}
}

func TestUnknownVariablesThatLookLikeKnownOnesAreAskedAbout(t *testing.T) {
	for name, meant := range map[string]string{
		"BRANCH_SLAG": "BRANCH_SLUG", "BRANCHSLUG": "BRANCH_SLUG", "BRANHC_SLUG": "BRANCH_SLUG", "REPLIKAS": "REPLICAS", "NAMESPCE": "NAMESPACE", "DEBUGG": "DEBUG",
		"HOME": "", "PWD": "", "POST": "", "branch_slug": "", "request_uri": "", "uri": "", "NAME": "", "BRANCH-SLUG": "",
	} {
		result := rendered(t, one(header+"data:\n  a: b\n  c: 'x ${"+name+"} ${"+name+"}'\n"), options())
		var want []string
		if meant != "" {
			want = []string{"infra/k8s/x.yaml:7: ConfigMap/api: ${" + name + "} is no variable of Berth's and stays as it is; did you mean ${" + meant + "}?"}
		}
		if got := warned(result); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
		if got, _, _ := unstructured.NestedString(result.Set.Objects[0].Object, "data", "c"); got != "x ${"+name+"} ${"+name+"}" {
			t.Errorf("%s: it became %q", name, got)
		}
	}
	if result := rendered(t, one(header+"data: {a: "+strconv.Quote(nginx+"${HOME}${PATH}${PROXY}${HOSTNAME}${PORTAL}")+"}\n"), options()); slices.ContainsFunc(result.Set.Warnings, func(w manifest.Warning) bool { return w.Level == manifest.Warn }) {
		t.Errorf("got %q, want none", warned(result))
	}
}

func TestATextOfOpeningsIsReadOnce(t *testing.T) {
	many := strings.Repeat("${", 900_000) // minutes if each were searched to the end
	result := rendered(t, one(header+"data: {a: '"+many+"}'}\n"), options())
	if got, _, _ := unstructured.NestedString(result.Set.Objects[0].Object, "data", "a"); got != many+"}" {
		t.Error("the text changed")
	}
}

func TestVariablesOfOtherTypesAreRefused(t *testing.T) {
	for _, value := range []any{[]any{"a"}, map[string]any{}, math.NaN(), math.Inf(1)} {
		for _, use := range []string{"a-${LIST}"} {
			o := options()
			o.Variables["LIST"] = value
			_, err := render.Render(t.Context(), one(header+"data: {a: '"+use+"'}\n"), o)
			want := "infra/k8s/x.yaml:5: ConfigMap/api: the variable LIST is neither a text, a number nor a boolean; correct the entry's variables"
			if fmt.Sprint(err) != want {
				t.Errorf("%v: got  %v\nwant %s", value, err, want)
			}
		}
	}
}

func TestInputs(t *testing.T) {
	manifests := map[string]string{
		"infra/k8s/x.yaml": header + "data: {branch: '${BRANCH}', replicas: 'n${REPLICAS}', app: '${TREE:app}'}\n",
		"app/main.go":      "package main",
		"README.md":        "hello",
	}
	inputs := rendered(t, files(manifests), options()).Inputs
	for _, c := range []struct {
		reason string
		change func(files map[string]string, variables map[string]any)
		same   bool
	}{
		{"nothing", func(map[string]string, map[string]any) {}, true},
		{"a file that is not read", func(f map[string]string, _ map[string]any) { f["README.md"] = "bye" }, true},
		{"a variable that is not used", func(_ map[string]string, v map[string]any) { v["COMMIT_SHORT"] = "87654321" }, true},
		{"a number of another Go type", func(_ map[string]string, v map[string]any) { v["REPLICAS"] = 3.0 }, true},
		{"a manifest", func(f map[string]string, _ map[string]any) { f["infra/k8s/x.yaml"] += "# more" }, false},
		{"another manifest", func(f map[string]string, _ map[string]any) { f["infra/k8s/y.yaml"] = header }, false},
		{"the folder of a hash", func(f map[string]string, _ map[string]any) { f["app/main.go"] = "package app" }, false},
		{"a folder that is gone", func(f map[string]string, _ map[string]any) { delete(f, "app/main.go") }, false},
		{"a variable that is used", func(_ map[string]string, v map[string]any) { v["BRANCH"] = "other" }, false},
		{"a variable of another type", func(_ map[string]string, v map[string]any) { v["REPLICAS"] = "3" }, false},
		{"a variable that is gone", func(_ map[string]string, v map[string]any) { delete(v, "BRANCH") }, false},
	} {
		t.Run(c.reason, func(t *testing.T) {
			changed, o := maps.Clone(manifests), options()
			c.change(changed, o.Variables)
			if same := inputs.Same(files(changed), o.Variables); same != c.same {
				t.Errorf("Same is %v, want %v", same, c.same)
			}
			result, err := render.Render(t.Context(), files(changed), o)
			if same := result.Inputs.Digest() == inputs.Digest(); same != c.same {
				t.Errorf("the digests are the same: %v, want %v (%v)", same, c.same, err)
			}
		})
	}
}

// linked is a tree in which infra/k8s/x.yaml is a link to shared/x.yaml, outside of the path.
type linked struct{ tree }

func (l linked) Resolve(name string) (string, error) {
	if name == "infra/k8s/x.yaml" {
		return "shared/x.yaml", nil
	}
	return name, nil
}

func (l linked) Hash(name string) (string, error) {
	if name == "infra/k8s" {
		return "the link's name and target", nil
	}
	return l.tree.Hash(name)
}

func TestInputsHoldWhatLinksLeadTo(t *testing.T) {
	texts := map[string]string{"infra/k8s/x.yaml": header, "shared/x.yaml": header, "shared/y.yaml": header}
	inputs := rendered(t, linked{files(texts)}, options()).Inputs
	for name, same := range map[string]bool{"shared/x.yaml": false, "shared/y.yaml": true} {
		changed := maps.Clone(texts)
		changed[name] += "# changed"
		if got := inputs.Same(linked{files(changed)}, nil); got != same {
			t.Errorf("after a change of %s Same is %v, want %v", name, got, same)
		}
	}
}

// A kind may be defined after the first render with it.
func TestInputsHoldScopes(t *testing.T) {
	const things = "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: a}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
	var outside bool
	var away error
	scopes := func(gk schema.GroupKind) (bool, error) {
		if gk != (schema.GroupKind{Group: "example.com", Kind: "Thing"}) {
			t.Errorf("asked about %s", gk)
		}
		return outside, away
	}
	o := options()
	o.Scope, o.ClusterScoped = render.Cluster, scopes
	before := rendered(t, one(things), o).Inputs
	if !before.SameScopes(scopes) {
		t.Error("nothing has changed")
	}
	outside, away = true, errors.New("its API does not answer")
	if !before.SameScopes(scopes) {
		t.Error("nothing is known to have changed")
	}
	if away = nil; before.SameScopes(scopes) {
		t.Error("the kind lives elsewhere now")
	}
	after := rendered(t, one(things), o).Inputs
	if after.Digest() == before.Digest() || !after.SameScopes(scopes) {
		t.Errorf("got %+v after %+v", after, before)
	}
}

func TestVariablesThatAreSwitchedOffStay(t *testing.T) {
	const off = "metadata: {name: api, annotations: {berth.dev/variables: \"off\"}}\n"
	const text = "data: {a: '${BRANCH} $${BRANCH}', b: \"${REPLICAS}\"}\n"
	want := map[string]any{"a": "${BRANCH} $${BRANCH}", "b": "${REPLICAS}"}
	for name, tree := range map[string]tree{
		"an object": one("apiVersion: v1\nkind: ConfigMap\n" + off + text),
		"an object that Kustomize builds": files(map[string]string{
			"infra/k8s/kustomization.yaml": "resources: [x.yaml]\n", "infra/k8s/x.yaml": "apiVersion: v1\nkind: ConfigMap\n" + off + text,
		}),
		"a generator": files(map[string]string{
			"infra/k8s/kustomization.yaml": "configMapGenerator: [{name: api, literals: ['a=${BRANCH} $${BRANCH}', 'b=${REPLICAS}'], options: {disableNameSuffixHash: true, annotations: {berth.dev/variables: 'off'}}}]\n",
		}),
	} {
		t.Run(name, func(t *testing.T) {
			result := rendered(t, tree, options())
			if got := result.Set.Objects[0].Object["data"]; !reflect.DeepEqual(got, want) || len(result.Inputs.Variables) > 0 {
				t.Errorf("got %v, used %v", got, result.Inputs.Variables)
			}
		})
	}
}

// Kustomize writes the values of the Secrets that it generates in base64. A file's own base64 is not searched for
// variables.
func TestVariablesInGeneratedSecrets(t *testing.T) {
	long := strings.Repeat("a line of ${BRANCH}\n", 10)
	tree, o := generated("resources: [x.yaml]\nsecretGenerator: [{name: db, envs: [db.env], literals: ['URL=https://${BRANCH_SLUG}/$${PORT}', plain=x], files: [long.txt]}]")
	tree.MapFS["infra/k8s/long.txt"] = one(long).MapFS["infra/k8s/x.yaml"]
	tree.MapFS["infra/k8s/x.yaml"] = one(secretHeader + "data: {a: JHtCUkFOQ0h9}\n").MapFS["infra/k8s/x.yaml"]
	got := map[string]string{}
	for _, o := range rendered(t, tree, o).Set.Objects {
		data, _, _ := unstructured.NestedStringMap(o.Object, "data")
		for key, value := range data {
			text, err := base64.StdEncoding.DecodeString(value)
			if err != nil {
				t.Fatal(err)
			}
			got[key] = string(text)
		}
	}
	for key, want := range map[string]string{"URL": "https://login/${PORT}", "plain": "x", "long.txt": strings.ReplaceAll(long, "${BRANCH}", "feature/login"), "PASSWORD": "a${BRANCH}", "a": "${BRANCH}"} {
		if got[key] != want {
			t.Errorf("%s is %q, want %q", key, got[key], want)
		}
	}
}
