package render_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/render"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// A decrypted value in an object of another kind than Secret stops the render. Only its destination matters, not how
// it got there.
func TestWhatWasDecryptedStaysInSecrets(t *testing.T) {
	const refused = "%s: %s holds a decrypted value, and everyone in the cluster who may read a %s could read it; " +
		"generate a Secret instead, or have %[3]s added to the entry's decryption.kinds"
	const take = "replacements:\n- source: {kind: Secret, name: api, fieldPath: %s}\n  targets: [{select: {kind: %s}, fieldPaths: [%s], options: {create: true%s}}]\n"
	from := func(source, kind, target, options string) string {
		return "resources: [s.yaml, plain.yaml]\n" + fmt.Sprintf(take, source, kind, target, options)
	}
	const kustomization = "infra/k8s/kustomization.yaml"
	for _, test := range []struct {
		way, kustomization string
		kinds              []string
		object, at         string // "": allowed
	}{
		{"a generator's variables", "configMapGenerator: [{name: plain, envs: [db.env]}]", nil, kustomization + ": ConfigMap/plain", "data.DEBUG"},
		{"a generator's variables, allowed", "configMapGenerator: [{name: plain, envs: [db.env]}]", []string{"ConfigMap"}, "", ""},
		{"a generator's variables, another kind allowed", "configMapGenerator: [{name: plain, envs: [db.env]}]", []string{"ConfigMap.example.com", "Deployment"}, kustomization + ": ConfigMap/plain", "data.DEBUG"},
		{"a generator's file", "configMapGenerator: [{name: plain, files: [db.env]}]", nil, kustomization + ": ConfigMap/plain", "data.db.env"},
		{"a file under another name", "configMapGenerator: [{name: plain, files: [crt=tls.key]}]", nil, kustomization + ": ConfigMap/plain", "data.crt"},
		{"a binary file", "configMapGenerator: [{name: plain, files: [store.p12]}]", nil, kustomization + ": ConfigMap/plain", "binaryData.store.p12"},
		{"a file of variables that is encrypted as a whole", "configMapGenerator: [{name: plain, envs: [whole]}]", nil, kustomization + ": ConfigMap/plain", "data.B"},
		{"a Secret that is encrypted as a whole", "resources: [sealed]", nil, "", ""},
		{"a replacement", from("stringData.a", "ConfigMap", "data.x", ""), nil, "infra/k8s/plain.yaml:1: ConfigMap/plain", "data.x"},
		{"a replacement in the midst of a text", from("stringData.a", "ConfigMap", "data.a", ", delimiter: '-', index: 1"), nil, "infra/k8s/plain.yaml:1: ConfigMap/plain", "data.a"},
		{"a replacement of a name", from("stringData.a", "ConfigMap", "metadata.name", ""), nil, "infra/k8s/plain.yaml: ConfigMap/…", "metadata.name"},
		{"a replacement of a label", from("stringData.a", "ConfigMap", "metadata.labels.x", ""), nil, "infra/k8s/plain.yaml:1: ConfigMap/plain", "metadata.labels.x"},
		{"base64 by a replacement", "secretGenerator: [{name: api, envs: [db.env]}]\nresources: [plain.yaml]\n" + fmt.Sprintf(take, "data.PASSWORD", "ConfigMap", "data.x", ""), nil, "infra/k8s/plain.yaml:1: ConfigMap/plain", "data.x"},
		{"a variable of Kustomize's", "resources: [s.yaml, pod.yaml]\nvars: [{name: A, objref: {kind: Secret, name: api, apiVersion: v1}, fieldref: {fieldpath: stringData.a}}]", nil, "infra/k8s/pod.yaml:1: Pod/pod", "spec.containers.args"},
		{"a patch from an encrypted file", "resources: [plain.yaml]\npatches: [{path: patch.json, target: {kind: ConfigMap}}]", nil, "infra/k8s/plain.yaml:1: ConfigMap/plain", "data.x"},
		{"a change of the kind", "resources: [s.yaml]\npatches: [{target: {kind: Secret}, patch: '[{\"op\": \"replace\", \"path\": \"/kind\", \"value\": \"ConfigMap\"}, {\"op\": \"move\", \"from\": \"/stringData\", \"path\": \"/data\"}]'}]", nil, "infra/k8s/s.yaml: ConfigMap/api", "data.a"},
		{"a change of the group", "resources: [s.yaml]\npatches: [{target: {kind: Secret}, patch: '[{\"op\": \"replace\", \"path\": \"/apiVersion\", \"value\": \"example.com/v1\"}]'}]", nil, "infra/k8s/s.yaml:1: Secret/api", "stringData.a"},
		{"a name of a Secret", "resources: [s.yaml, plain.yaml]\nsecretGenerator: [{name: db, literals: [url=x]}]\nreplacements:\n- source: {kind: Secret, name: api, fieldPath: stringData.a}\n  targets: [{select: {kind: Secret, name: db}, fieldPaths: [metadata.name]}]\n", nil, "name", ""},
		{"from Secret to Secret", "resources: [s.yaml, plain.yaml]\nsecretGenerator: [{name: db, literals: [url=x]}]\n" + fmt.Sprintf(take, "stringData.a", "Secret", "stringData.b", ""), nil, "", ""},
	} {
		t.Run(test.way, func(t *testing.T) {
			tree, o := generated(test.kustomization)
			for name, text := range map[string]string{
				"plain.yaml": strings.Replace(header, "name: api", "name: plain", 1) + "data: {a: b-c}\n",
				"pod.yaml":   "apiVersion: v1\nkind: Pod\nmetadata: {name: pod}\nspec: {containers: [{name: a, image: a:1, args: ['--x=$(A)']}]}\n",
				"store.p12":  encrypted, "patch.json": encrypted, "whole": encrypted, "sealed": encrypted,
			} {
				tree.MapFS["infra/k8s/"+name] = one(text).MapFS["infra/k8s/x.yaml"]
			}
			d := o.Decrypter.(decrypter)
			d["infra/k8s/store.p12"] = "«\xff\xfe\x00hunter2»"
			d["infra/k8s/patch.json"] = `[{"op": "add", "path": "/data/x", "value": "«hunter2»"}]`
			d["infra/k8s/whole"] = "«# all of it\nA=\nB=hunter2\n»"
			d["infra/k8s/sealed"] = "«" + secretHeader + "stringData: {a: hunter2}\n»"
			o.Decrypted = test.kinds
			_, err := render.Render(t.Context(), tree, o)
			want := "<nil>"
			if test.object == "name" {
				want = "infra/k8s/kustomization.yaml: Secret/…: metadata.name holds a decrypted value, and names of objects are shown in many places; choose another name"
			}
			if test.at != "" {
				kind := strings.Split(test.object, " ")[1]
				kind, _, _ = strings.Cut(kind, "/")
				want = fmt.Sprintf(refused, test.object, test.at, kind)
			}
			if fmt.Sprint(err) != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
}

// An alias's name is not the text that it stands for.
func TestAKindByAnAliasHoldsNothingDecrypted(t *testing.T) {
	o := options()
	o.Decrypter = decrypter{"infra/k8s/x.yaml": "apiVersion: v1\nmetadata: {name: api, labels: {a: &Secret ConfigMap}}\nkind: *Secret\ndata: {a: «hunter2»}\n"}
	_, err := render.Render(t.Context(), one(encrypted), o)
	if want := "infra/k8s/x.yaml:1: ConfigMap/api: data.a holds a decrypted value"; !strings.HasPrefix(fmt.Sprint(err), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

// A text that equals a decrypted value proves nothing: only text that came from there is refused.
func TestTextsThatEqualDecryptedOnesAreFine(t *testing.T) {
	const service = "apiVersion: v1\nkind: Service\nmetadata: {name: postgres}\nspec: {externalName: 'app.${DOMAIN}', type: ExternalName}\n" +
		"---\napiVersion: v1\nkind: Pod\nmetadata: {name: app}\nspec: {containers: [{name: app, image: app, env: [{name: A, value: 'postgres-${BRANCH_SLUG}'}]}]}\n"
	secret := secretHeader + "stringData: {a: «staging-postgres», b: «app.example.com», c: «postgres-login», d: «registry.example.com/app:1.2», e: «staging-app»}\n"
	for _, kustomization := range []string{"", "resources: [x.yaml, s.yaml]\nnamePrefix: staging-\nimages: [{name: app, newName: registry.example.com/app, newTag: '1.2'}]\n"} {
		o := options()
		o.Variables["DOMAIN"] = "example.com"
		o.Decrypter = decrypter{"infra/k8s/s.yaml": secret}
		texts := map[string]string{"infra/k8s/x.yaml": service, "infra/k8s/s.yaml": encrypted}
		if kustomization != "" {
			texts["infra/k8s/kustomization.yaml"] = kustomization
		}
		if _, err := render.Render(t.Context(), files(texts), o); err != nil {
			t.Errorf("%s: %v", kustomization, err)
		}
	}
}

// An encrypted file renders exactly as its plain text does: hashes in names, lines of base64 and types included.
func TestEncryptedFilesBecomeWhatKustomizeMakesOfTheirPlainText(t *testing.T) {
	long := strings.Repeat("a long line of a certificate\n", 20)
	plain := map[string]string{
		"db.env":    "PASSWORD=«hunter2»\nLINES=«a\\nb»\nPLAIN=plain\nEMPTY=\n",
		"tls.key":   "«" + long + "»",
		"store.p12": "«\xff\xfe\x00" + long + "»",
		"whole.env": "«# one value\nA=b c \nB='q'\n»",
		"conf.json": `{"a": "«say \"x\"»", "n": 12}`,
		"s.yaml":    secretHeader + "type: Opaque\nstringData: {a: «b», url: «postgres://u:p@db»}\ndata: {x: «aHVudGVyMg==»}\n",
		"more.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: api, labels: {a: «b»}}\nstringData: {more: «z»}\n",
		"deployment.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: api}\nspec: {template: {spec: {volumes: [{name: a, secret: {secretName: db}}], " +
			"containers: [{name: api, image: api:1, args: [$(NAME)], envFrom: [{secretRef: {name: files}}, {configMapRef: {name: open}}]}]}}}\n",
	}
	const kustomization = `resources: [s.yaml, deployment.yaml]
namePrefix: pre-
patches: [{path: more.yaml}]
secretGenerator:
- {name: db, envs: [db.env]}
- {name: files, files: [tls.key, store.p12, conf.json, again=db.env]}
- {name: lines, envs: [whole.env], files: [whole.env]}
configMapGenerator:
- {name: open, literals: [a=b]}
- {name: allowed, envs: [db.env], files: [tls.key, store.p12]}
vars: [{name: NAME, objref: {kind: Secret, name: db, apiVersion: v1}}]
replacements:
- source: {kind: Secret, name: api, fieldPath: stringData.url}
  targets: [{select: {kind: Secret, name: api}, fieldPaths: [stringData.whole], options: {create: true}}, {select: {kind: Secret, name: api}, fieldPaths: [stringData.a], options: {delimiter: '/', index: 1}}]
`
	o := options()
	o.Decrypted = manifest.Kinds{"ConfigMap"}
	opens := decrypter{}
	o.Decrypter = opens
	texts := map[string]string{"infra/k8s/kustomization.yaml": kustomization}
	disk := filesys.MakeFsInMemory()
	if err := disk.WriteFile("infra/k8s/kustomization.yaml", []byte(kustomization)); err != nil {
		t.Fatal(err)
	}
	for name, text := range plain {
		clear := strings.NewReplacer("«", "", "»", "").Replace(text)
		texts["infra/k8s/"+name] = clear
		if clear != text {
			texts["infra/k8s/"+name], opens["infra/k8s/"+name] = encrypted, text
		}
		if err := disk.WriteFile("infra/k8s/"+name, []byte(clear)); err != nil {
			t.Fatal(err)
		}
	}
	built, err := krusty.MakeKustomizer(&krusty.Options{PluginConfig: types.DisabledPluginConfig()}).Run(disk, "infra/k8s")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, r := range built.Resources() {
		object, err := r.Map()
		if err != nil {
			t.Fatal(err)
		}
		want[r.GetKind()+"/"+r.GetName()] = dataOf(t, object)
	}
	result := rendered(t, files(texts), o)
	for _, object := range result.Set.Objects {
		name := object.Key().Short()
		if got := dataOf(t, object.Object); got != want[name] {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want[name])
		}
		delete(want, name)
	}
	for name := range want {
		t.Errorf("there is no %s", name)
	}
}

// dataOf returns the data of an object, with stringData folded in.
func dataOf(t *testing.T, object map[string]any) string {
	t.Helper()
	texts, _ := object["stringData"].(map[string]any)
	for key, value := range texts {
		if err := unstructured.SetNestedField(object, base64.StdEncoding.EncodeToString([]byte(value.(string))), "data", key); err != nil {
			t.Fatal(err)
		}
	}
	return fmt.Sprint(object["data"], object["binaryData"], object["type"], object["spec"])
}
