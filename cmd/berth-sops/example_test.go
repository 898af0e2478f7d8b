package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/keys"
)

// exampleDir is the example. These tests create its Secrets because a checkout has no sops. The keys are public.
const exampleDir = "../../examples/posts"

// TestExampleSecrets re-creates the Secrets of the example with -update, and expects each entry's key to
// decrypt its own and no other.
func TestExampleSecrets(t *testing.T) {
	entries := []string{"production", "review"}
	recipients := map[string]string{}
	for _, entry := range entries {
		recipients[entry] = recipientIn(t, exampleKey(entry))
		if *update {
			sealExample(t, entry, recipients[entry])
		}
	}
	rules := readExample(t, filepath.Join(exampleDir, ".sops.yaml"))
	for _, entry := range entries {
		if !strings.Contains(rules, recipients[entry]) {
			t.Errorf(".sops.yaml lacks %s of %s", recipients[entry], entry)
		}
		for file := range exampleSecrets(entry) {
			content := readExample(t, file)
			for _, holder := range entries {
				held := decrypter(t, map[string]string{"age.agekey": readExample(t, exampleKey(holder))})
				if _, err := held.Decrypt(t.Context(), "secret.yaml", []byte(content)); (err == nil) != (holder == entry) {
					t.Errorf("with the key of %s, %s gives %v", holder, file, err)
				}
			}
		}
	}
}

func exampleKey(entry string) string {
	return filepath.Join(exampleDir, "berth", "demo-keys", entry+".agekey")
}

// exampleSecrets returns the plain text of an entry's Secrets, by file.
func exampleSecrets(entry string) map[string]string {
	dir := filepath.Join(exampleDir, "infra", entry)
	secrets := map[string]string{filepath.Join(dir, "secret.yaml"): "apiVersion: v1\nkind: Secret\nmetadata:\n    name: posts\nstringData:\n" +
		"    APP_KEY: " + entry + "-key-of-no-use-anywhere\n    DB_PASSWORD: " + entry + "-password-of-no-use-anywhere\n"}
	if entry == "review" {
		secrets[filepath.Join(dir, "postgres-secret.yaml")] = "apiVersion: v1\nkind: Secret\nmetadata:\n    name: postgres-admin\nstringData:\n" +
			"    password: the-previews-server-of-no-use-anywhere\n"
	}
	return secrets
}

func sealExample(t *testing.T, entry, recipient string) {
	t.Helper()
	for file, plain := range exampleSecrets(entry) {
		f := seal(t, "yaml", plain, sops.Metadata{EncryptedRegex: "^(data|stringData)$"}, []keys.MasterKey{ageRecipient(t, recipient)})
		if err := os.WriteFile(file, f.encrypted, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func readExample(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
