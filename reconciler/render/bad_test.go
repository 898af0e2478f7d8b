package render_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/render"
)

// header is four lines of a manifest.
const header = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: api\n"

// badYAML lists mistakes in infra/k8s/x.yaml, each with the error that Berth shows.
var badYAML = []struct{ mistake, text, want string }{
	{"a tab as indentation",
		"apiVersion: v1\nkind: ConfigMap\nmetadata:\n\tname: api\n",
		"infra/k8s/x.yaml:4: the line is indented with a tab; use spaces"},
	{"a tab after spaces",
		"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  \tname: api\n",
		"infra/k8s/x.yaml:4: the line is indented with a tab; use spaces"},
	{"non-breaking spaces as indentation",
		"apiVersion: v1\nkind: ConfigMap\nmetadata:\n\u00a0\u00a0name: api\n",
		"infra/k8s/x.yaml:4: ConfigMap: the line is indented with a character that is not a plain space, such as a non-breaking space; replace it with spaces; it often comes from a web page or a chat"},
	{"one non-breaking space",
		"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: api\n \u00a0labels: {}\n",
		"infra/k8s/x.yaml:5: the line is indented with a character that is not a plain space, such as a non-breaking space; replace it with spaces; it often comes from a web page or a chat"},
	{"a non-breaking space after a dash",
		"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: api\nitems:\n-\u00a0name: x\n  y: z\n",
		"infra/k8s/x.yaml:6: the line is indented with a character that is not a plain space, such as a non-breaking space; replace it with spaces; it often comes from a web page or a chat"},
	{"an unclosed double quote",
		header + "data:\n  a: \"hello\n  b: c\n",
		`infra/k8s/x.yaml:6: a quote (") is opened here and not closed; close it on the same line`},
	{"an unclosed single quote",
		header + "data:\n  a: 'hello\n  b: c\n",
		"infra/k8s/x.yaml:6: a quote (') is opened here and not closed; close it on the same line"},
	{"an unclosed quote that the next one closes",
		header + "data:\n  a: \"hello\n  b: \"c\"\n",
		`infra/k8s/x.yaml:6: a quote (") is opened here and not closed; close it on the same line`},
	{"an unclosed quote in a list",
		header + "data:\n  - \"hello\n  - \"c\"\n",
		`infra/k8s/x.yaml:6: a quote (") is opened here and not closed; close it on the same line`},
	{"quotes that open at three lines, one after the other",
		header + "data:\n  a: \"x\n  b: \"y\n  c: \"z\n",
		`infra/k8s/x.yaml:6: a quote (") is opened here and not closed; close it on the same line`},
	{"an unclosed quote below one that ends with a backslash",
		header + "data:\n  a: 'x\\'\n  b: 'c\n",
		"infra/k8s/x.yaml:7: a quote (') is opened here and not closed; close it on the same line"},
	{"a kind that is no text",
		"apiVersion: v1\nkind: 1\nmetadata:\n  name: api\n",
		"infra/k8s/x.yaml:2: kind is not a text; put it in quotes"},
	{"a line too far to the right",
		"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: api\n    labels: {}\n",
		"infra/k8s/x.yaml:5: the line does not fit those above it: it is indented too far or too little, or a bracket, or a colon with the space after it, is missing; bring it to the level of the keys that it belongs to"},
	{"a line too far to the left",
		"apiVersion: v1\nkind: ConfigMap\nmetadata:\n    name: api\n  labels: {}\n",
		"infra/k8s/x.yaml:5: the line does not fit those above it: it is indented too far or too little, or a bracket, or a colon with the space after it, is missing; bring it to the level of the keys that it belongs to"},
	{"a key that is indented where none should be",
		"apiVersion: v1\nkind: ConfigMap\n metadata:\n  name: api\n",
		"infra/k8s/x.yaml:3: the line does not fit those above it: it is indented too far or too little, or a bracket, or a colon with the space after it, is missing; bring it to the level of the keys that it belongs to"},
	{"name beside metadata",
		"apiVersion: v1\nkind: ConfigMap\nmetadata:\nname: api\n",
		"infra/k8s/x.yaml:4: ConfigMap: name is beside metadata instead of in it; indent it"},
	{"a list's item at the wrong level",
		"apiVersion: v1\nkind: Pod\nmetadata:\n  name: api\nspec:\n  containers:\n  - name: a\n   image: b\n",
		"infra/k8s/x.yaml:8: the line does not fit those above it: it is indented too far or too little, or a bracket, or a colon with the space after it, is missing; bring it to the level of the keys that it belongs to"},
	{"a line too far to the right, with a map in it",
		"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: api\n    labels: {a: b, c: d}\n",
		"infra/k8s/x.yaml:5: the line does not fit those above it: it is indented too far or too little, or a bracket, or a colon with the space after it, is missing; bring it to the level of the keys that it belongs to"},
	{"a variable within braces",
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: api, labels: {a: ${BRANCH_SLUG}}}\n",
		"infra/k8s/x.yaml:3: a ${NAME} is inside { } or [ ] without quotes, so YAML reads its braces as a mapping; write \"${NAME}\""},
	{"a text with a variable within braces",
		header + "  labels: {a: x-${BRANCH_SLUG}, b: c}\n",
		"infra/k8s/x.yaml:5: a ${NAME} is inside { } or [ ] without quotes, so YAML reads its braces as a mapping; write \"${NAME}\""},
	{"a variable within brackets",
		header + "list: [a, ${BRANCH_SLUG}]\n",
		"infra/k8s/x.yaml:5: a ${NAME} is inside { } or [ ] without quotes, so YAML reads its braces as a mapping; write \"${NAME}\""},
	{"a colon in a value",
		header + "data:\n  a: echo foo: bar\n",
		`infra/k8s/x.yaml:6: the value holds a ": ", as if it were another key; put the value in quotes`},
	{"a colon without a space",
		"apiVersion: v1\nkind:ConfigMap\nmetadata:\n  name: api\n",
		"infra/k8s/x.yaml:2: the line does not fit those above it: it is indented too far or too little, or a bracket, or a colon with the space after it, is missing; bring it to the level of the keys that it belongs to"},
	{"a duplicate key",
		header + "data: {}\ndata: {}\n",
		`infra/k8s/x.yaml:6: ConfigMap/api: the key "data" appears here a second time, first at line 5; keep one of them`},
	{"an object that follows without a line of dashes",
		header + header,
		`infra/k8s/x.yaml:5: ConfigMap/api: the key "apiVersion" appears here a second time, first at line 1; begin the next object with a line that holds nothing but ---`},
	{"a duplicate key further down",
		header + "data:\n  a: b\n  c: d\n  a: e\n",
		`infra/k8s/x.yaml:8: ConfigMap/api: the key "a" appears here a second time, first at line 6; keep one of them`},
	{"a Helm condition",
		"{{- if .Values.x }}\napiVersion: v1\n{{- end }}\n",
		"infra/k8s/x.yaml:1: this looks like a Helm template ({{ }}); Berth does not run Helm: commit the output of helm template, or use ${NAME} variables"},
	{"a Helm value",
		header + "data:\n  a: {{ .Values.x }}\n",
		"infra/k8s/x.yaml:6: ConfigMap/api: this looks like a Helm template ({{ }}); Berth does not run Helm: commit the output of helm template, or use ${NAME} variables; if the braces are meant, put the value in quotes"},
	{"a Helm value with a rest",
		"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-api\n",
		"infra/k8s/x.yaml:4: this looks like a Helm template ({{ }}); Berth does not run Helm: commit the output of helm template, or use ${NAME} variables"},
	{"a merge conflict",
		header + "data:\n<<<<<<< HEAD\n  a: b\n=======\n  a: c\n>>>>>>> main\n",
		"infra/k8s/x.yaml:6: a merge conflict was committed here; resolve it and remove the <<<<<<<, ======= and >>>>>>> lines"},
	{"UTF-16",
		"\xff\xfea\x00",
		"infra/k8s/x.yaml: the file is UTF-16; save it as UTF-8 text, or move it out of the entry's path"},
	{"a binary file",
		"a\x00b",
		"infra/k8s/x.yaml: the file is binary, or UTF-16; save it as UTF-8 text, or move it out of the entry's path"},
	{"Latin-1",
		header + "data:\n  a: caf\xe9\n",
		"infra/k8s/x.yaml:6: the file is not UTF-8; save it as UTF-8 text, or move it out of the entry's path"},
	{"an at sign",
		header + "data:\n  a: @x\n",
		"infra/k8s/x.yaml:6: a value begins with a character that YAML reserves (@, ` or %); put the value in quotes"},
	{"an at sign after a key without a value",
		header + "data:\n  b: \n  a: @x\n",
		"infra/k8s/x.yaml:7: a value begins with a character that YAML reserves (@, ` or %); put the value in quotes"},
	{"two objects that only their confinement makes one",
		header + "data: {a: b}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: api, namespace: posts-login}\n",
		"infra/k8s/x.yaml:7: ConfigMap/api: it is already defined at infra/k8s/x.yaml:1; remove one of the two"},
	{"a name of exactly the length that a message shows",
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: api}\ndata: {" + strings.Repeat("a", 981) + ": 1}\n",
		"infra/k8s/x.yaml:4: ConfigMap/api: data." + strings.Repeat("a", 981) + " is not a text; put the value in quotes"},
	{"a backtick",
		header + "data:\n  a: `x`\n",
		"infra/k8s/x.yaml:6: a value begins with a character that YAML reserves (@, ` or %); put the value in quotes"},
	{"an alias without an anchor",
		header + "data:\n  a: *x\n",
		"infra/k8s/x.yaml:6: an alias (*name) has no anchor (&name) above it in the same document; define the anchor, or put the value in quotes if the asterisk is meant"},
	{"an asterisk",
		header + "data:\n  a: *\n",
		"infra/k8s/x.yaml:6: an alias (*name) has no anchor (&name) above it in the same document; define the anchor, or put the value in quotes if the asterisk is meant"},
	{"an unclosed bracket",
		header + "data: [a, b\n",
		"infra/k8s/x.yaml:5: the line does not fit those above it: it is indented too far or too little, or a bracket, or a colon with the space after it, is missing; bring it to the level of the keys that it belongs to"},
	{"an unclosed brace",
		header + "data: {a: b\n",
		"infra/k8s/x.yaml:5: the line does not fit those above it: it is indented too far or too little, or a bracket, or a colon with the space after it, is missing; bring it to the level of the keys that it belongs to"},
	{"a values.yaml",
		"replicaCount: 3\nimage: x\n",
		"infra/k8s/x.yaml:1: it has no kind; if it is not a manifest, but a values.yaml for example, move it out of the entry's path"},
	{"a text",
		"hello\n",
		"infra/k8s/x.yaml:1: this is not a mapping, as a manifest is; a manifest begins with apiVersion and kind; if this is not a manifest, move it out of the entry's path"},
	{"a list",
		"- a\n- b\n",
		"infra/k8s/x.yaml:1: this is not a mapping, as a manifest is; a manifest begins with apiVersion and kind; if this is not a manifest, move it out of the entry's path"},
	{"no name",
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {}\n",
		"infra/k8s/x.yaml:1: ConfigMap: it has no metadata.name; every object in Git has a name"},
	{"no apiVersion",
		"kind: ConfigMap\nmetadata: {name: x}\n",
		"infra/k8s/x.yaml:1: ConfigMap/x: it has no apiVersion; if it is not a manifest, but a values.yaml for example, move it out of the entry's path"},
	{"generateName",
		"apiVersion: batch/v1\nkind: Job\nmetadata:\n  generateName: x-\n",
		"infra/k8s/x.yaml:4: Job: it has metadata.generateName, so every sync would make another object; give it a metadata.name"},
	{"a number as name",
		"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: 5\n",
		"infra/k8s/x.yaml:4: ConfigMap: metadata.name is not a text; put it in quotes"},
	{"a number as annotation",
		"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  annotations:\n    a: b\n    berth.dev/wave: -1\n",
		"infra/k8s/x.yaml:7: ConfigMap/a: metadata.annotations.berth.dev/wave is not a text; put the value in quotes"},
	{"a number in a ConfigMap",
		header + "data:\n  PORT: 8080\n",
		"infra/k8s/x.yaml:6: ConfigMap/api: data.PORT is not a text; put the value in quotes"},
	{"a wave that is no number",
		header + "  annotations: {berth.dev/wave: first}\n",
		`infra/k8s/x.yaml:5: ConfigMap/api: the annotation berth.dev/wave is not an integer; write "-1", "0" or "1", say`},
	{"an annotation of Berth's that is none",
		header + "  annotations:\n    berth.dev/prume: never\n",
		"infra/k8s/x.yaml:6: ConfigMap/api: there is no annotation berth.dev/prume; correct it: there are berth.dev/adopt, berth.dev/drift, berth.dev/job, berth.dev/job-replace, berth.dev/prune, berth.dev/replace, berth.dev/restart-on-change, berth.dev/timeout, berth.dev/variables, berth.dev/wave"},
	{"an annotation of Berth's with a value that it does not have",
		header + "  annotations:\n    berth.dev/prune: Never\n",
		`infra/k8s/x.yaml:6: ConfigMap/api: the annotation berth.dev/prune has an unknown value; write "never" or "allow"`},
	{"a reserved label",
		header + "  labels:\n    berth.dev/environment: x\n",
		"infra/k8s/x.yaml:6: ConfigMap/api: metadata.labels has berth.dev/environment, which Berth itself sets; remove it"},
	{"a reserved label in a pod template",
		"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: api}\nspec:\n  template:\n    metadata:\n      labels:\n        app: api\n        berth.dev/environment: x\n",
		"infra/k8s/x.yaml:9: Deployment/api: spec.template.metadata.labels has berth.dev/environment, which Berth itself sets; remove it"},
	{"a reserved label in a template of volumes",
		"apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: db}\nspec:\n  volumeClaimTemplates:\n  - metadata:\n      name: data\n      labels:\n        berth.dev/environment: x\n",
		"infra/k8s/x.yaml:9: StatefulSet/db: spec.volumeClaimTemplates.0.metadata.labels has berth.dev/environment, which Berth itself sets; remove it"},
	{"a reserved annotation in a template within a template",
		"apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: report}\nspec:\n  jobTemplate:\n    spec:\n      template:\n        metadata:\n          annotations:\n            berth.dev/digest: x\n",
		"infra/k8s/x.yaml:10: CronJob/report: spec.jobTemplate.spec.template.metadata.annotations has berth.dev/digest, which Berth itself sets; remove it"},
	{"a value left encrypted",
		header + "data:\n  a: ENC[AES256_GCM,data:x,type:str]\n",
		"infra/k8s/x.yaml:6: ConfigMap/api: it is still encrypted: data.a is a SOPS value; check that the file is a whole SOPS document, with its sops key"},
	{"an encrypted file and no key",
		header + "sops:\n  mac: ENC[AES256_GCM,data:x]\n  version: 3.9\n",
		"infra/k8s/x.yaml: the file is encrypted and there is no key to decrypt it; give the entry a decryption.secretRef"},
	{"another namespace",
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: api, namespace: other}\n",
		`infra/k8s/x.yaml:1: ConfigMap/api: it names the namespace "other", and this environment is confined to "posts-login"; leave metadata.namespace out, or write ${NAMESPACE}`},
	{"an object outside namespaces",
		"apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: api}\n",
		`infra/k8s/x.yaml:1: ClusterRole/api: it is cluster-scoped, and this environment is confined to the namespace "posts-login"; remove it, or give the entry scope: Cluster`},
	{"a namespace of one's own",
		"apiVersion: v1\nkind: Namespace\nmetadata: {name: api}\n",
		`infra/k8s/x.yaml:1: Namespace/api: it is cluster-scoped, and this environment is confined to the namespace "posts-login"; remove it, or give the entry scope: Cluster`},
	{"an object twice",
		header + "---\n" + header,
		"infra/k8s/x.yaml:6: ConfigMap/api: it is already defined at infra/k8s/x.yaml:1; remove one of the two"},
	{"the hash of a folder that is not there",
		header + "data: {a: \"${TREE:app}\"}\n",
		`infra/k8s/x.yaml:5: ConfigMap/api: ${TREE:app}: there is no folder "app" in this commit; name a folder from the root of the repository`},
	{"the hash of a folder outside",
		header + "data: {a: \"${TREE:../app}\"}\n",
		`infra/k8s/x.yaml:5: ConfigMap/api: ${TREE:../app}: there is no folder "../app" in this commit; name a folder from the root of the repository`},
	{"a billion laughs",
		"a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]\n",
		"infra/k8s/x.yaml:1: aliases (*name) expand to too many values, or to themselves; write the values out"},
	{"an alias of itself",
		"a: &a [*a]\n",
		"infra/k8s/x.yaml:1: aliases (*name) expand to too many values, or to themselves; write the values out"},
	{"not a number",
		header + "data: {a: .nan}\n",
		"infra/k8s/x.yaml:5: ConfigMap/api: this value cannot be written as JSON; put it in quotes"},
	{"nothing but comments",
		"# nothing\n---\n",
		"infra/k8s: no manifests in this folder; nothing is deleted; to remove an environment, delete its branch or its entry"},
	{"an empty list",
		"apiVersion: v1\nkind: List\nitems: []\n",
		"infra/k8s: no manifests in this folder; nothing is deleted; to remove an environment, delete its branch or its entry"},
	{"a text that ends too early",
		header + "data:\n  a: |\n   x\n    y\n  z\n",
		"infra/k8s/x.yaml:9: the line does not fit those above it: it is indented too far or too little, or a bracket, or a colon with the space after it, is missing; bring it to the level of the keys that it belongs to"},
	{"a tab within a text, which is fine, before a mistake",
		header + "data:\n  Makefile: |\n    all:\n    \ttrue\n  b: @x\n",
		"infra/k8s/x.yaml:9: a value begins with a character that YAML reserves (@, ` or %); put the value in quotes"},
	{"a list of lists by alias",
		"x: &x {apiVersion: v1, kind: List, items: []}\napiVersion: v1\nkind: List\nitems: [*x]\n",
		"infra/k8s/x.yaml:4: List: it has no metadata.name; every object in Git has a name"},
	{"a name that is a list",
		"apiVersion: v1\nkind: Namespace\nmetadata: {name: [a]}\n",
		"infra/k8s/x.yaml:3: Namespace: metadata.name is not a text; put it in quotes"},
	{"an envelope without values",
		header + "sops:\n  version: 3.9.0\n",
		"infra/k8s/x.yaml:6: ConfigMap/api: it is still encrypted: it has a sops envelope; check that the file is a whole SOPS document, with its mac"},
	{"a merge of a text",
		header + "data:\n  <<: text\n",
		"infra/k8s/x.yaml:6: ConfigMap/api: the merge key << names something that is not a mapping; let it name an anchored mapping, as in <<: *defaults"},
	{"a list as a key",
		header + "data: {[a]: b}\n",
		"infra/k8s/x.yaml:5: ConfigMap/api: a list stands where a key should; put it in quotes if it is meant as a text"},
	{"labels that are a list",
		header + "  labels: [a]\n",
		"infra/k8s/x.yaml:5: ConfigMap/api: metadata.labels is not a mapping; write it as key: value lines"},
}

func TestMistakesInYAMLAreExplained(t *testing.T) {
	for _, c := range badYAML {
		t.Run(c.mistake, func(t *testing.T) {
			result, err := render.Render(t.Context(), one(c.text), options())
			if err == nil || err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
			if result.Set.Len() > 0 {
				t.Errorf("got %d objects beside the error", result.Set.Len())
			}
			if !result.Inputs.Same(one(c.text), options().Variables) {
				t.Errorf("the inputs %v are not those of the same render", result.Inputs)
			}
		})
	}
}

func TestMistakesInJSONAreExplained(t *testing.T) {
	const notJSON = "this is not valid JSON; look for a missing comma, bracket or quote, or a comma too many, at this line or above"
	for _, c := range []struct{ mistake, text, want string }{
		{"cut off", "{", "infra/k8s/x.json:1: " + notJSON},
		{"a comma too many", "{\n\t\"a\": 1,\n}", "infra/k8s/x.json:3: " + notJSON},
		{"a comma missing", "[1 2]", "infra/k8s/x.json:1: " + notJSON},
		{"a merge conflict", "{\n<<<<<<< HEAD\n}", "infra/k8s/x.json:2: a merge conflict was committed here; resolve it and remove the <<<<<<<, ======= and >>>>>>> lines"},
		{"a bracket too many", "]", "infra/k8s/x.json:1: " + notJSON},
		{"a duplicate key", "{\"a\": 1,\n\"a\": 2}", `infra/k8s/x.json:2: the key "a" appears here a second time, first at line 1; keep one of them`},
		{"no kind", "\xef\xbb\xbf{}", "infra/k8s/x.json:1: it has no kind; if it is not a manifest, but a values.yaml for example, move it out of the entry's path"},
		{"too deep", strings.Repeat("[", 100_000), "infra/k8s/x.json:1: values are nested more than 500 deep; no manifest needs that"},
	} {
		t.Run(c.mistake, func(t *testing.T) {
			_, err := render.Render(t.Context(), files(map[string]string{"infra/k8s/x.json": c.text}), options())
			if err == nil || err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestEveryProblemIsReported(t *testing.T) {
	_, err := render.Render(t.Context(), files(map[string]string{
		"infra/k8s/c.yaml": "a: b\n",
		"infra/k8s/a.yaml": header + "data: {a: 1}\n---\n" + header + "data: {b: 2}\n",
		"infra/k8s/b.yaml": "a: \"b\n",
	}), options())
	var lines []string
	for line := range strings.Lines(fmt.Sprint(err)) {
		place, _, _ := strings.Cut(line, ": ")
		lines = append(lines, place)
	}
	want := "infra/k8s/a.yaml:5 infra/k8s/a.yaml:11 infra/k8s/b.yaml:1 infra/k8s/c.yaml:1"
	if got := strings.Join(lines, " "); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("%T is not a joined error", err)
	}
	for _, err := range joined.Unwrap() {
		if _, ok := err.(*render.Error); !ok {
			t.Errorf("%T is not a *render.Error: %v", err, err)
		}
	}
}

func TestNothingToRenderIsTyped(t *testing.T) {
	for _, c := range []struct {
		reason string
		tree   tree
		path   string
		want   error
		text   string
	}{
		{"no such folder", one(header), "infra/k9s", render.ErrNoPath,
			"infra/k9s: no such folder in this commit; check the entry's path; nothing is deleted"},
		{"a file", one(header), "infra/k8s/x.yaml", render.ErrNoPath,
			"infra/k8s/x.yaml: this is a file: no such folder in this commit; set the entry's path to the folder that holds it; nothing is deleted"},
		{"an empty repository", files(nil), ".", render.ErrNoManifests,
			".: no manifests in this folder; nothing is deleted; to remove an environment, delete its branch or its entry"},
		{"no manifest", files(map[string]string{"infra/k8s/README.md": "hello", "infra/k8s/.hidden/x.yaml": header, "infra/k8s/.x.yaml": header}), "infra/k8s", render.ErrNoManifests,
			"infra/k8s: no manifests in this folder; nothing is deleted; to remove an environment, delete its branch or its entry"},
		{"nothing but the own namespace", one("apiVersion: v1\nkind: Namespace\nmetadata: {name: posts-login}\n"), "infra/k8s", render.ErrNoManifests,
			"infra/k8s: no manifests in this folder; nothing is deleted; to remove an environment, delete its branch or its entry"},
		{"out of the repository", one(header), "../../etc", render.ErrNoPath,
			"etc: no such folder in this commit; check the entry's path; nothing is deleted"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			o := options()
			o.Path = c.path
			_, err := render.Render(t.Context(), c.tree, o)
			if !errors.Is(err, c.want) {
				t.Errorf("%v is not %v", err, c.want)
			}
			if err != nil && err.Error() != c.text {
				t.Errorf("got  %v\nwant %s", err, c.text)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	comment := "# " + strings.Repeat("x", 13<<20) + "\n"
	many := tree{fstest.MapFS{}}
	for i := range 9 {
		manifest := strings.Replace(header, "name: api", fmt.Sprint("name: api", i), 1)
		many.MapFS[fmt.Sprintf("infra/k8s/%d.yaml", i)] = &fstest.MapFile{Data: []byte(manifest + comment)}
	}
	const problem = "infra/k8s/4.yaml: this file exceeds the limit of 64 MiB for all files of an environment; " +
		"move files that are not manifests out of the entry's path, or split them over several entries"
	if _, err := render.Render(t.Context(), many, options()); fmt.Sprint(err) != problem {
		t.Errorf("got  %v\nwant %s", err, problem)
	}
	many.MapFS["infra/k8s/kustomization.yaml"] = &fstest.MapFile{Data: []byte("resources: [0.yaml, 1.yaml, 2.yaml, 3.yaml, 4.yaml, 5.yaml]\n")}
	if _, err := render.Render(t.Context(), many, options()); fmt.Sprint(err) != problem {
		t.Errorf("Kustomize: got  %v\nwant %s", err, problem)
	}
}

func TestASubmoduleIsNotPassedOver(t *testing.T) {
	with := one(header)
	with.MapFS["infra/k8s/vendor"] = &fstest.MapFile{Mode: fs.ModeIrregular}
	_, err := render.Render(t.Context(), with, options())
	if want := "infra/k8s/vendor: it is a submodule, and Berth reads only the repository itself; copy what is needed into the repository, or move it out of the entry's path"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// pointers is a tree in which no file is what it seems.
type pointers struct{ tree }

func (p pointers) ReadFile(name string) ([]byte, error) { return nil, errPointer }

type pointerError struct{}

var errPointer = pointerError{}

func (pointerError) Error() string { return "cannot read it: it is a pointer; follow it" }

func (pointerError) Why() (cause, hint string) { return "it is a pointer", "follow it" }

func TestWhatTheTreeDoesNotGiveIsToldOnce(t *testing.T) {
	_, err := render.Render(t.Context(), pointers{one(header)}, options())
	if want := "infra/k8s/x.yaml: cannot be read: it is a pointer; follow it"; err == nil || err.Error() != want || !errors.Is(err, errPointer) {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestEveryMarkIsKnown(t *testing.T) {
	source, err := os.ReadFile("../manifest/marks.go")
	if err != nil {
		t.Fatal(err)
	}
	marks := regexp.MustCompile(`Annotation\w+ += "(berth\.dev/[a-z-]+)"`).FindAllSubmatch(source, -1)
	if len(marks) < 10 {
		t.Fatalf("found %d annotations", len(marks))
	}
	for _, mark := range marks {
		name := string(mark[1])
		if name == manifest.AnnotationRestartedFor {
			continue // the pod template has it
		}
		_, err := render.Render(t.Context(), one(header+"  annotations:\n    "+name+": \"1\"\n"), options())
		if err != nil && strings.Contains(err.Error(), "there is no annotation") {
			t.Errorf("%s stands in marks.go and is taken for a mistake", name)
		}
	}
}
