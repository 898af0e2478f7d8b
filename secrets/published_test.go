package secrets_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth.dev/berth/secrets"
)

// published returns a file from SOPS' own repository; see testdata/published/README.md.
func published(t testing.TB, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", "published", name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// publishedKeys are the keys of SOPS' functional tests.
func publishedKeys(t testing.TB) *secrets.Keys {
	t.Helper()
	keys, err := secrets.ParseKeys(map[string][]byte{"sops.asc": published(t, "key.asc")})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestPublishedFiles(t *testing.T) {
	d := secrets.New(secrets.Config{Keys: publishedKeys(t), Workers: workers(t)})
	for file, want := range map[string]string{
		"example.yaml":       "password: ",
		"example.json":       "\"lastName\": \"Smith\"",
		"example.ini":        "[phoneNumbers]",
		"example.txt":        "Welcome to SOPS",
		"comments.enc.yaml":  "dolor: sit",
		"format.enc.env":     "foo = bar",
		"format.enc.ini":     "[foo]",
		"format-2.enc.ini":   "[foo]",
		"format.enc.json":    "\"foo\"",
		"format.enc.yaml":    "foo:",
		"multiple_keys.yaml": "",
	} {
		t.Run(file, func(t *testing.T) {
			content := published(t, file)
			if !secrets.Encrypted(file, content) {
				t.Error("not seen as encrypted")
			}
			got, err := d.Decrypt(t.Context(), file, content)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(got), want) || strings.Contains(string(got), "ENC[") || strings.Contains(string(got), "lastmodified") {
				t.Errorf("got\n%s", got)
			}
		})
	}
}

func TestPublishedFileWithoutMAC(t *testing.T) {
	_, err := secrets.New(secrets.Config{Keys: publishedKeys(t), Workers: workers(t)}).Decrypt(t.Context(), "no_mac.yaml", published(t, "no_mac.yaml"))
	var e *secrets.Error
	if !errors.As(err, &e) || e.Reason != secrets.Unauthenticated {
		t.Errorf("got %v", err)
	}
}
