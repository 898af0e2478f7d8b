package main

import (
	"os"
	"strings"
	"testing"
)

// example is the application whose Secrets are encrypted, each entry's with its own key.
const example = "../../examples/posts/"

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestRenderDecryptsWithTheKeysOfAFile(t *testing.T) {
	key := read(t, example+"berth/demo-keys/review.agekey")
	asSecret := t.TempDir() + "/secret.yaml"
	text := "apiVersion: v1\nkind: Secret\nmetadata: {name: keys}\nstringData:\n  age.agekey: |\n    " + strings.ReplaceAll(strings.TrimSpace(string(key)), "\n", "\n    ") + "\n"
	if err := os.WriteFile(asSecret, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		reason  string
		flags   []string
		code    int
		out     string
		without string
	}{
		{"age identities", []string{"--keys", example + "berth/demo-keys/review.agekey", "--show-secrets"}, 0, "cmV2aWV3LXBhc3N3b3Jk", "ENC["},
		{"a key Secret", []string{"--keys", asSecret, "--show-secrets"}, 0, "cmV2aWV3LXBhc3N3b3Jk", "ENC["},
		{"masked", []string{"--keys", asSecret}, 0, "DB_PASSWORD", "cmV2aWV3LXBhc3N3b3Jk"},
		{"no keys", nil, exitFailed, "name a file with the keys: --keys FILE", "review-password"},
		{"others' keys", []string{"--keys", example + "berth/demo-keys/production.agekey"}, exitFailed, "sops updatekeys", "review-password"},
		{"no such file", []string{"--keys", "absent"}, exitFailed, "reading the keys", "review-password"},
	} {
		t.Run(test.reason, func(t *testing.T) {
			var out strings.Builder
			args := append([]string{"render", "--branch", "feature/login", "--root", example, "--repository", example + "berth/repository.yaml"}, test.flags...)
			code := run(t.Context(), args, streams{in: strings.NewReader(""), out: &out, err: &out})
			if code != test.code || !strings.Contains(out.String(), test.out) || strings.Contains(out.String(), test.without) {
				t.Errorf("it ends with %d and\n%s", code, &out)
			}
		})
	}
}
