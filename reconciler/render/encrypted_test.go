package render_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/reconciler/render"
)

// decrypter maps names of files to their plain text. Encrypted values stand between « and ».
type decrypter map[string]string

func (d decrypter) Encrypted(_ string, content []byte) bool {
	return strings.Contains(string(content), "ENC[AES256_GCM,")
}

func (d decrypter) Open(_ context.Context, file string, _ []byte) (render.Opened, error) {
	marked, ok := d[file]
	if !ok {
		return render.Opened{}, errors.New("no key for age1recipient")
	}
	opened := render.Opened{Content: []byte(strings.NewReplacer("«", "", "»", "").Replace(marked)), Values: map[string]render.Value{}}
	veiled := regexp.MustCompile("(?s)«.*?»").ReplaceAllStringFunc(marked, func(value string) string {
		value = strings.Trim(value, "«»")
		placeholder := fmt.Sprintf("placeholder%04d", len(opened.Values))
		opened.Values[placeholder] = render.Value{Text: value}
		return placeholder
	})
	opened.Veiled = []byte(veiled)
	return opened, nil
}

const (
	secretHeader = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: api\n"
	envelope     = "sops:\n  mac: ENC[AES256_GCM,data:bWFj,type:str]\n  version: 3.9.0\n"
	encrypted    = secretHeader + "stringData:\n  password: ENC[AES256_GCM,data:eA==,type:str]\n" + envelope
)

func TestEncryptedFilesAreDecryptedInMemory(t *testing.T) {
	o := options()
	o.Decrypter = decrypter{"infra/k8s/x.yaml": secretHeader + "stringData:\n  password: «a${BRANCH}»\n---\n" +
		strings.Replace(secretHeader, "name: api", "name: «${BRANCH_SLUG}»", 1) + "stringData:\n  branch: ${BRANCH}\n"}
	got := text(t, rendered(t, one(encrypted), o).Set)
	want := `# infra/k8s/x.yaml:1
apiVersion: v1
data:
  password: YSR7QlJBTkNIfQ==
kind: Secret
metadata:
  name: api
  namespace: posts-login
# infra/k8s/x.yaml
apiVersion: v1
data:
  branch: ZmVhdHVyZS9sb2dpbg==
kind: Secret
metadata:
  name: ${BRANCH_SLUG}
  namespace: posts-login
`
	if got != want { // a${BRANCH} was encrypted and is untouched, ${BRANCH} was not
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// generated is a folder whose generators read encrypted files.
func generated(generators string) (tree, render.Options) {
	o := options()
	o.Decrypter = decrypter{
		"infra/k8s/db.env":  "PASSWORD=«a${BRANCH}»\nHOST=«db.example.com»\nPIN=«1234»\nDEBUG=«1»\n",
		"infra/k8s/tls.key": "«-----BEGIN KEY-----\nkey ${BRANCH}\n»",
		"infra/k8s/s.yaml":  secretHeader + "stringData: {a: '«b${BRANCH}»'}\n",
		"infra/k8s/s.json":  `{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "json"}, "stringData": {"a": "«c${BRANCH}»"}}`,
	}
	return files(map[string]string{
		"infra/k8s/kustomization.yaml": generators + "\ngeneratorOptions: {disableNameSuffixHash: true}\n",
		"infra/k8s/db.env":             "PASSWORD=ENC[AES256_GCM,data:eA==]\nsops_mac=ENC[AES256_GCM,data:eA==]\nsops_version=3.9.0\n",
		"infra/k8s/tls.key":            `{"data": "ENC[AES256_GCM,data:eA==]", "sops": {"mac": "ENC[AES256_GCM,data:eA==]"}}`,
		"infra/k8s/s.yaml":             encrypted,
		"infra/k8s/s.json":             "{\n\t\"stringData\": {\"a\": \"ENC[AES256_GCM,data:eA==]\"},\n\t\"sops\": {}\n}",
		"infra/k8s/open.env":           "DATABASE=db.example.com:1\n",
	}), o
}

func TestGeneratorsReadEncryptedFiles(t *testing.T) {
	tree, o := generated("resources: [s.yaml, s.json]\nsecretGenerator: [{name: db, envs: [db.env], files: [tls.key]}]")
	want := `# infra/k8s/kustomization.yaml
apiVersion: v1
data:
  DEBUG: MQ==
  HOST: ZGIuZXhhbXBsZS5jb20=
  PASSWORD: YSR7QlJBTkNIfQ==
  PIN: MTIzNA==
  tls.key: LS0tLS1CRUdJTiBLRVktLS0tLQprZXkgJHtCUkFOQ0h9Cg==
kind: Secret
metadata:
  name: db
  namespace: posts-login
type: Opaque
# infra/k8s/s.json:1
apiVersion: v1
data:
  a: YyR7QlJBTkNIfQ==
kind: Secret
metadata:
  name: json
  namespace: posts-login
# infra/k8s/s.yaml:1
apiVersion: v1
data:
  a: YiR7QlJBTkNIfQ==
kind: Secret
metadata:
  name: api
  namespace: posts-login
`
	if got := text(t, rendered(t, tree, o).Set); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestEncryptedDocumentsAreSecrets(t *testing.T) {
	const configMap = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: api\ndata:\n  debug: «yes please»\n"
	sealed := strings.Replace(encrypted, "kind: Secret", "kind: ConfigMap", 1)
	const refused = "ConfigMap/api: it is encrypted, but everyone in the cluster who may read a ConfigMap could read it; " +
		"make it a Secret, store it unencrypted, or have ConfigMap added to the entry's decryption.kinds"
	for _, test := range []struct {
		reason, file, plain string
		kinds               []string
		want                string
	}{
		{"a Secret", encrypted, secretHeader, nil, "<nil>"},
		{"another kind", sealed, configMap, nil, "infra/k8s/x.yaml:1: " + refused},
		{"another kind, allowed", sealed, configMap, []string{"ConfigMap"}, "<nil>"},
		{"another kind behind a plain one", header + "---\n" + sealed, header + "---\n" + configMap, nil, "infra/k8s/x.yaml:6: " + refused},
		{"within a list", "kind: List\n" + envelope, "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: api}, data: {a: «b»}}\n", nil,
			"infra/k8s/x.yaml:1: " + refused},
		{"plain beside an encrypted one", header + "---\n" + encrypted, header + "---\n" + strings.Replace(secretHeader, "name: api", "name: other", 1), nil, "<nil>"},
	} {
		t.Run(test.reason, func(t *testing.T) {
			o := options()
			o.Decrypter, o.Decrypted = decrypter{"infra/k8s/x.yaml": test.plain}, test.kinds
			if _, err := render.Render(t.Context(), one(test.file), o); fmt.Sprint(err) != test.want {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}

func TestNothingEncryptedIsAppliedInBase64(t *testing.T) {
	for kind, field := range map[string]string{"Secret": "data", "ConfigMap": "binaryData"} {
		_, err := render.Render(t.Context(), one("apiVersion: v1\nkind: "+kind+"\nmetadata: {name: api}\n"+field+": {a: RU5DW0FFUzI1Nl9HQ00sZGF0YTp4XQ==}\n"), options())
		want := "infra/k8s/x.yaml:4: " + kind + "/api: it is still encrypted: " + field + ".a is a SOPS value; check that the file is a whole SOPS document, with its sops key"
		if fmt.Sprint(err) != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

func TestWhatCannotBeDecrypted(t *testing.T) {
	_, err := render.Render(t.Context(), one(encrypted), options())
	want := "infra/k8s/x.yaml: the file is encrypted and there is no key to decrypt it; give the entry a decryption.secretRef"
	if fmt.Sprint(err) != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	o := options()
	o.Decrypter = decrypter{}
	_, err = render.Render(t.Context(), one(encrypted), o)
	want = "infra/k8s/x.yaml: cannot be decrypted: no key for age1recipient"
	if fmt.Sprint(err) != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	_, err = render.Render(t.Context(), files(map[string]string{
		"infra/k8s/kustomization.yaml": "secretGenerator: [{name: a, files: [x.yaml]}]",
		"infra/k8s/x.yaml":             encrypted,
	}), o)
	if fmt.Sprint(err) != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// Decrypted text may hold a user's secret; messages must not.
func TestErrorsQuoteNothingDecrypted(t *testing.T) {
	const secret = "hunter2"
	for _, plain := range []string{
		secretHeader + "stringData:\n\ta: hunter2\n",
		secretHeader + "stringData:\n  a: \"hunter2\n",
		secretHeader + "stringData:\n  a: *hunter2\n",
		secretHeader + "stringData:\n  a: x: hunter2\n",
		secretHeader + "stringData:\n  a: [hunter2]\n",
		secretHeader + "stringData: hunter2\n",
		"hunter2\n",
		"- hunter2\n",
		secretHeader + "stringData: {a: !!int hunter2}\n",
		secretHeader + "stringData: {a: !!binary hunter2}\n",
		secretHeader + "stringData: {<<: hunter2}\n",
		"apiVersion: v1\nkind: Secret\nmetadata: {name: api, labels: {a: [hunter2]}}\n",
		secretHeader + "data: {a: 1}\nstringData: {a: \"hunter2\"}\n",
	} {
		o := options()
		o.Decrypter = decrypter{"infra/k8s/x.yaml": strings.ReplaceAll(plain, secret, "«"+secret+"»")}
		for _, kustomization := range []string{"", "resources: [x.yaml]", "patches: [{path: x.yaml}]", "patchesStrategicMerge: [x.yaml]",
			"crds: [x.yaml]", "configurations: [x.yaml]", "replacements: [{path: x.yaml}]", "resources: [x.yaml]\nnamePrefix: [hunter]"} {
			tree := one(encrypted)
			if kustomization != "" {
				tree.MapFS["infra/k8s/kustomization.yaml"] = one(kustomization).MapFS["infra/k8s/x.yaml"]
			}
			_, err := render.Render(t.Context(), tree, o)
			if err == nil {
				t.Logf("%q with %q renders", plain, kustomization)
			} else if strings.Contains(err.Error(), secret) {
				t.Errorf("%q with %q: %v", plain, kustomization, err)
			}
		}
	}
}

func TestWhatKustomizeSaysIsToldWithoutWhatWasDecrypted(t *testing.T) {
	tree := files(map[string]string{
		"infra/k8s/kustomization.yaml": "resources: [x.yaml]\nreplacements: [{source: {kind: Secret, fieldPath: stringData.a, options: {delimiter: '@', index: 1}}, targets: [{select: {kind: Secret}, fieldPaths: [a]}]}]",
		"infra/k8s/x.yaml":             encrypted,
	})
	o := options()
	o.Decrypter = decrypter{"infra/k8s/x.yaml": secretHeader + "stringData: {a: «user:hunter2@db»}\n"}
	_, err := render.Render(t.Context(), tree, o)
	want := "infra/k8s/kustomization.yaml: Kustomize cannot build it: options.index 1 is out of bounds for value …; … stands for an encrypted value, which Kustomize cannot split: encrypt its parts separately"
	if fmt.Sprint(err) != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestAKustomizationCannotBeEncrypted(t *testing.T) {
	o := options()
	o.Decrypter = decrypter{"infra/k8s/kustomization.yaml": "resources: [x.yaml]\nnamePrefix: [hunter2]"}
	_, err := render.Render(t.Context(), files(map[string]string{"infra/k8s/kustomization.yaml": encrypted, "infra/k8s/x.yaml": header}), o)
	want := "infra/k8s/kustomization.yaml: a kustomization cannot be encrypted; encrypt the files that it names"
	if fmt.Sprint(err) != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// asking is a decrypter whose keys are remote.
type asking struct {
	decrypter
	meanwhile func()
}

func (a asking) Open(ctx context.Context, file string, content []byte) (render.Opened, error) {
	a.meanwhile()
	return a.decrypter.Open(ctx, file, content)
}

// Builds run one at a time, and a remote key may take long to answer.
func TestNoBuildWaitsForTheKeysOfAnother(t *testing.T) {
	for _, kustomization := range []string{
		"resources: [x.yaml]", "resources: [../base]", "bases: [../base/]", "components: [../part]", "secretGenerator: [{name: a, files: [b=x.yaml]}]",
		"secretGenerator: [{name: a, env: x.yaml}]", "configMapGenerator: [{name: a, envs: [./x.yaml]}]", "patches: [{path: x.yaml}]", "patchesStrategicMerge: [x.yaml]",
		"patchesJson6902: [{path: x.yaml, target: {kind: Secret}}]", "replacements: [{path: x.yaml}]", "crds: [x.yaml]", "configurations: [x.yaml]", "openapi: {path: x.yaml}",
	} {
		t.Run(kustomization, func(t *testing.T) {
			asked, o := 0, options()
			o.Decrypter = asking{decrypter{"infra/k8s/x.yaml": secretHeader}, func() {
				asked++
				built := make(chan error, 1)
				go func() {
					_, err := render.Render(t.Context(), files(overlay()), options())
					built <- err
				}()
				select {
				case err := <-built:
					if err != nil {
						t.Error(err)
					}
				case <-time.After(time.Minute):
					t.Error("another build waits")
				}
			}}
			_, err := render.Render(t.Context(), files(map[string]string{
				"infra/k8s/kustomization.yaml":  kustomization + "\n",
				"infra/base/kustomization.yaml": "resources: [../k8s/x.yaml]\n",
				"infra/part/kustomization.yaml": "kind: Component\nresources: [../k8s/x.yaml]\n",
				"infra/k8s/x.yaml":              encrypted,
			}), o)
			if asked != 1 {
				t.Errorf("it was decrypted %d times: %v", asked, err)
			}
		})
	}
}
