package main

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// golden are files that the SOPS library encrypted.
const golden = "../../secrets/testdata/golden/"

// rendered runs berth render on a folder of these files, with keys.
func rendered(t *testing.T, files map[string]string, keys ...string) (code int, out string) {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		if from, ok := strings.CutPrefix(content, "golden:"); ok {
			content = string(read(t, golden+from))
		}
		path := filepath.Join(root, "k8s", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"render", "--path", filepath.Join(root, "k8s"), "--branch", "main", "--root", root, "--show-secrets"}
	if len(keys) > 0 {
		secret := map[string]any{"apiVersion": "v1", "kind": "Secret", "stringData": map[string]string{}}
		for _, name := range keys {
			secret["stringData"].(map[string]string)[filepath.Base(name)] = string(read(t, name))
		}
		content, err := yaml.Marshal(secret)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "keys.yaml")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--keys", path)
	}
	var text strings.Builder
	code = run(t.Context(), args, streams{in: strings.NewReader(""), out: &text, err: &text})
	return code, text.String()
}

// data returns the data of the Secrets of a rendered folder.
func data(t *testing.T, manifests string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, document := range strings.Split(manifests, "\n---\n") {
		var object struct {
			Kind string
			Data map[string]string
		}
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		for key, value := range object.Data {
			if content, err := base64.StdEncoding.DecodeString(value); err == nil && object.Kind == "Secret" {
				all[key] = string(content)
			}
		}
	}
	return all
}

const configMapBeside = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: plain}\ndata: {a: b}\n---\n"

func TestEverythingThatSOPSEncryptsIsRendered(t *testing.T) {
	mixed := configMapBeside + string(read(t, example+"infra/review/secret.yaml"))
	demo := example + "berth/demo-keys/review.agekey"
	t.Run("by Kustomize", func(t *testing.T) {
		code, out := rendered(t, map[string]string{
			"kustomization.yaml": "resources: [deep]\nsecretGenerator:\n- name: files\n  envs: [db.env]\n" +
				"  files: [config.json, app.ini, tls.key, groups.json, values=whole.yaml, ssh.yaml, comments.yaml, only-encrypted.yaml, several.yaml]\n",
			"deep/kustomization.yaml": "resources: [er/mixed.yaml]\n", "deep/er/mixed.yaml": mixed,
			"db.env": "golden:db.env", "config.json": "golden:config.json", "app.ini": "golden:app.ini", "tls.key": "golden:tls.key", "groups.json": "golden:groups.json",
			"whole.yaml": "golden:whole.yaml", "ssh.yaml": "golden:ssh.yaml", "comments.yaml": "golden:comments.yaml",
			"only-encrypted.yaml": "golden:only-encrypted.yaml", "several.yaml": "golden:several.yaml",
		}, demo, golden+"production.agekey", golden+"hybrid.agekey", golden+"ssh-rsa.agekey", golden+"ssh-ed25519.agekey")
		got := data(t, out)
		for key, want := range map[string]string{
			"DB_PASSWORD": "review-password-of-no-use-anywhere", // of the nested file beside a plain document
			"USER":        "app", "PASSWORD": "hunter2", "app.ini": "[db]\nuser     = app\npassword = hunter2\n",
			"config.json": "{\n\t\"a\": \"hunter2\",\n\t\"n\": 3\n}\n", "groups.json": "{\n\t\"a\": \"hunter2\"\n}\n", "tls.key": "hunter2\n",
			"values": "a: hunter2\nlist:\n  - hunter2\n  - 3\n", "ssh.yaml": "a: hunter2\n", "comments.yaml": "#\na: hunter2\nb: plain\n",
			"only-encrypted.yaml": "kind: Secret\nstringData:\n  a: hunter2\n",
		} {
			if got[key] != want {
				t.Errorf("%s is %q, want %q", key, got[key], want)
			}
		}
		if code != 0 || !strings.Contains(got["several.yaml"], "hunter2") || !strings.Contains(got["several.yaml"], "hunter3") || strings.Contains(out, "ENC[") {
			t.Errorf("it ends with %d and\n%s", code, out)
		}
	})
	t.Run("as plain manifests", func(t *testing.T) {
		code, out := rendered(t, map[string]string{"a/b/mixed.yaml": mixed}, demo)
		if got := data(t, out); code != 0 || got["DB_PASSWORD"] != "review-password-of-no-use-anywhere" || !strings.Contains(out, "kind: ConfigMap") {
			t.Errorf("it ends with %d and\n%s", code, out)
		}
	})
}

func TestWhatIsRefusedOfEncryptedFiles(t *testing.T) {
	secret := string(read(t, golden+"secret.yaml"))
	t.Setenv("SOPS_AGE_KEY", string(read(t, golden+"production.agekey")))
	generated := func(generator string) map[string]string {
		return map[string]string{"kustomization.yaml": generator, "db.env": "golden:db.env"}
	}
	for _, test := range []struct {
		reason string
		files  map[string]string
		keys   []string
		want   string
	}{
		{"a key that stands in the environment", map[string]string{"secret.yaml": secret}, nil, "k8s/secret.yaml: cannot be decrypted: no available key decrypts it"},
		{"another key", map[string]string{"secret.yaml": secret}, []string{golden + "review.agekey"}, "sops updatekeys k8s/secret.yaml"},
		{"a ConfigMap out of an encrypted file", generated("configMapGenerator: [{name: db, envs: [db.env]}]"), []string{golden + "production.agekey"}, "everyone in the cluster who may read a ConfigMap could read it"},
		{"a value under another name", map[string]string{"secret.yaml": strings.Replace(secret, "    password: ENC", "    other: ENC", 1)}, []string{golden + "production.agekey"}, "it was changed after its encryption"},
		{"a document without its end", map[string]string{"secret.yaml": configMapBeside + secret[:strings.Index(secret, "sops:")]}, []string{golden + "production.agekey"}, "it is not a complete SOPS document"},
		{"no MAC", map[string]string{"secret.yaml": strings.Replace(secret, "    mac: ", "    was: ", 1)}, []string{golden + "production.agekey"}, "it has no MAC"},
	} {
		t.Run(test.reason, func(t *testing.T) {
			code, out := rendered(t, test.files, test.keys...)
			if code != exitFailed || !strings.Contains(out, test.want) || strings.Contains(out, "hunter2") {
				t.Errorf("it ends with %d and\n%s", code, out)
			}
		})
	}
}
