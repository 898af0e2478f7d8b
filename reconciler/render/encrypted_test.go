package render_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"berth.dev/berth/reconciler/render"
)

// decrypter knows the plain text of files by their names.
type decrypter map[string]string

func (d decrypter) Decrypt(file string, _ []byte) ([]byte, error) {
	plain, ok := d[file]
	if !ok {
		return nil, errors.New("no key for age1recipient")
	}
	return []byte(plain), nil
}

const (
	secretHeader = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: api\n"
	envelope     = "sops:\n  mac: ENC[AES256_GCM,data:bWFj,type:str]\n  version: 3.9.0\n"
	encrypted    = secretHeader + "stringData:\n  password: ENC[AES256_GCM,data:eA==,type:str]\n" + envelope
)

func TestEncryptedFilesAreDecryptedInMemory(t *testing.T) {
	o := options()
	o.Decrypter = decrypter{"infra/k8s/x.yaml": secretHeader + "stringData:\n  password: a${BRANCH}\n---\n" +
		strings.Replace(secretHeader, "name: api", "name: ${BRANCH_SLUG}", 1)}
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
kind: Secret
metadata:
  name: ${BRANCH_SLUG}
  namespace: posts-login
`
	if got != want { // a${BRANCH}, untouched
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestGeneratorsReadEncryptedFiles(t *testing.T) {
	o := options()
	o.Decrypter = decrypter{
		"infra/k8s/db.env": "PASSWORD=a${BRANCH}\n", "infra/k8s/tls.key": "key ${BRANCH}", "infra/k8s/s.yaml": secretHeader + "stringData: {a: 'b${BRANCH}'}\n",
		"infra/k8s/s.json": `{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "json"}, "stringData": {"a": "c${BRANCH}"}}`,
	}
	result := rendered(t, files(map[string]string{
		"infra/k8s/kustomization.yaml": "resources: [s.yaml, s.json]\nsecretGenerator: [{name: db, envs: [db.env], options: {disableNameSuffixHash: true}}]\n" +
			"configMapGenerator: [{name: plain, envs: [db.env], files: [tls.key], options: {disableNameSuffixHash: true}}]\n",
		"infra/k8s/db.env":  "PASSWORD=ENC[AES256_GCM,data:eA==]\nsops_mac=ENC[AES256_GCM,data:eA==]\nsops_version=3.9.0\n",
		"infra/k8s/tls.key": `{"data": "ENC[AES256_GCM,data:eA==]", "sops": {"mac": "ENC[AES256_GCM,data:eA==]"}}`,
		"infra/k8s/s.yaml":  encrypted,
		"infra/k8s/s.json":  "{\n\t\"stringData\": {\"a\": \"ENC[AES256_GCM,data:eA==]\"},\n\t\"sops\": {}\n}",
	}), o)
	want := `# infra/k8s/kustomization.yaml
apiVersion: v1
data:
  PASSWORD: a${BRANCH}
  tls.key: key ${BRANCH}
kind: ConfigMap
metadata:
  name: plain
  namespace: posts-login
# infra/k8s/kustomization.yaml
apiVersion: v1
data:
  PASSWORD: YSR7QlJBTkNIfQ==
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
	if got := text(t, result.Set); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestWhatCannotBeDecrypted(t *testing.T) {
	_, err := render.Render(one(encrypted), options())
	want := "infra/k8s/x.yaml: the file is encrypted and there is no key to decrypt it; give the entry a decryption.secretRef"
	if fmt.Sprint(err) != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	o := options()
	o.Decrypter = decrypter{}
	_, err = render.Render(one(encrypted), o)
	want = "infra/k8s/x.yaml: cannot be decrypted: no key for age1recipient"
	if fmt.Sprint(err) != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	_, err = render.Render(files(map[string]string{
		"infra/k8s/kustomization.yaml": "secretGenerator: [{name: a, files: [x.yaml]}]",
		"infra/k8s/x.yaml":             encrypted,
	}), o)
	if fmt.Sprint(err) != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// A person's secret is in the decrypted text, never in what is said about it.
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
		o.Decrypter = decrypter{"infra/k8s/x.yaml": plain}
		for _, kustomization := range []string{"", "resources: [x.yaml]", "patches: [{path: x.yaml}]", "patchesStrategicMerge: [x.yaml]",
			"crds: [x.yaml]", "configurations: [x.yaml]", "replacements: [{path: x.yaml}]", "resources: [x.yaml]\nnamePrefix: [hunter]"} {
			tree := one(encrypted)
			if kustomization != "" {
				tree.MapFS["infra/k8s/kustomization.yaml"] = one(kustomization).MapFS["infra/k8s/x.yaml"]
			}
			_, err := render.Render(tree, o)
			if err == nil {
				t.Logf("%q with %q renders", plain, kustomization)
			} else if strings.Contains(err.Error(), secret) {
				t.Errorf("%q with %q: %v", plain, kustomization, err)
			}
		}
	}
}

func TestWhatKustomizeSaysIsWithheldOnceSomethingWasDecrypted(t *testing.T) {
	tree := files(map[string]string{
		"infra/k8s/kustomization.yaml": "resources: [x.yaml]\npatches: [{patch: 'kind: [x'}]",
		"infra/k8s/x.yaml":             encrypted,
	})
	o := options()
	o.Decrypter = decrypter{"infra/k8s/x.yaml": secretHeader}
	_, err := render.Render(tree, o)
	want := "infra/k8s/kustomization.yaml: Kustomize cannot build it; its message is withheld, since it may quote what was decrypted; run kustomize build to see it"
	if fmt.Sprint(err) != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestAKustomizationCannotBeEncrypted(t *testing.T) {
	o := options()
	o.Decrypter = decrypter{"infra/k8s/kustomization.yaml": "resources: [x.yaml]\nnamePrefix: [hunter2]"}
	_, err := render.Render(files(map[string]string{"infra/k8s/kustomization.yaml": encrypted, "infra/k8s/x.yaml": header}), o)
	want := "infra/k8s/kustomization.yaml: a kustomization cannot be encrypted; encrypt the files that it names"
	if fmt.Sprint(err) != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
