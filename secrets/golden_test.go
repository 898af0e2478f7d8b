package secrets_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"berth.dev/berth/internal/sopstest"
	"berth.dev/berth/secrets"
)

// golden returns a file that the SOPS library encrypted; see cmd/berth-sops/golden_test.go.
func golden(t testing.TB, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", "golden", name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// with returns a Decrypter with the keys of these golden files.
func with(t testing.TB, names ...string) *secrets.Decrypter {
	t.Helper()
	return secrets.New(secrets.Config{Keys: keysOf(t, names...), Workers: workers(t)})
}

// shared holds the workers of all tests that need no special ones.
var shared struct {
	sync.Once
	workers *secrets.Workers
}

// workers run berth-sops.
func workers(t testing.TB) *secrets.Workers {
	t.Helper()
	command := []string{sopstest.Worker(t)}
	shared.Do(func() { shared.workers = secrets.NewWorkers(secrets.WorkersConfig{Command: command}) })
	return shared.workers
}

func keysOf(t testing.TB, names ...string) *secrets.Keys {
	t.Helper()
	data := map[string][]byte{}
	for _, name := range names {
		data[name+".agekey"] = golden(t, name+".agekey")
	}
	keys, err := secrets.ParseKeys(data)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestGoldenFiles(t *testing.T) {
	for _, test := range []struct {
		file string
		keys []string
		want string
	}{
		{"secret.yaml", []string{"production"}, "apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\nstringData:\n  user: app\n  password: hunter2\n  port: 5432\n"},
		{"whole.yaml", []string{"production"}, "a: hunter2\nlist:\n  - hunter2\n  - 3\n"},
		{"whole.yaml", []string{"review"}, "a: hunter2\nlist:\n  - hunter2\n  - 3\n"},
		{"comments.yaml", []string{"production"}, "#\na: hunter2\nb: plain\n"},
		{"only-encrypted.yaml", []string{"production"}, "kind: Secret\nstringData:\n  a: hunter2\n"},
		{"groups.json", []string{"production", "review"}, "{\n\t\"a\": \"hunter2\"\n}\n"},
		{"groups.json", []string{"hybrid", "review"}, "{\n\t\"a\": \"hunter2\"\n}\n"},
		{"groups.json", []string{"hybrid", "review", "production"}, "{\n\t\"a\": \"hunter2\"\n}\n"},
		{"config.json", []string{"production"}, "{\n\t\"a\": \"hunter2\",\n\t\"n\": 3\n}\n"},
		{"db.env", []string{"production"}, "USER=app\nPASSWORD=hunter2\n"},
		{"app.ini", []string{"production"}, "[db]\nuser     = app\npassword = hunter2\n"},
		{"tls.key", []string{"production"}, "hunter2\n"},
		{"ssh.yaml", []string{"ssh-ed25519", "ssh-rsa"}, "a: hunter2\n"},
	} {
		got, err := with(t, test.keys...).Decrypt(t.Context(), test.file, golden(t, test.file))
		if err != nil || string(got) != test.want {
			t.Errorf("%s with %q: %v, got\n%s\nwant\n%s", test.file, test.keys, err, got, test.want)
		}
	}
}

// A message about the second document names a line of the file, so documents keep their lines.
func TestDocumentsStayOnTheirLines(t *testing.T) {
	content := golden(t, "several.yaml")
	got, err := with(t, "production").Decrypt(t.Context(), "several.yaml", content)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := linesWith(got, "kind: Secret"), linesWith(content, "kind: Secret"); !reflect.DeepEqual(a, b) {
		t.Errorf("got lines %d, want %d\n%s", a, b, got)
	}
}

func TestInspect(t *testing.T) {
	recipients := func(names ...string) []string { return keysOf(t, names...).Recipients() }
	for _, test := range []struct {
		file string
		want secrets.Envelope
	}{
		{"secret.yaml", secrets.Envelope{Recipients: recipients("production"), Authenticated: true}},
		{"db.env", secrets.Envelope{Recipients: recipients("production"), Authenticated: true}},
		{"app.ini", secrets.Envelope{Recipients: recipients("production"), Authenticated: true}},
		{"groups.json", secrets.Envelope{Recipients: append(recipients("production", "review"), recipients("hybrid")...), Authenticated: true}},
	} {
		got, err := secrets.Inspect(test.file, golden(t, test.file))
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %+v, %v", test.file, got, err)
		}
	}
	got, err := secrets.Inspect("no_mac.yaml", published(t, "no_mac.yaml"))
	if err != nil || got.Authenticated {
		t.Errorf("without a MAC: got %+v, %v", got, err)
	}
	if _, err := secrets.Inspect("a.yaml", []byte("a: ENC[AES256_GCM,data:eA==")); err == nil {
		t.Error("a file that was cut off is inspected")
	}
}

const plainDocument = "kind: ConfigMap # stays\ndata:\n  text: |+\n    as it is\n\n"

func TestDocumentsThatWereEncryptedApart(t *testing.T) {
	mixed := []byte(plainDocument + "---\n" + string(golden(t, "secret.yaml")) + "---\n" + plainDocument + "---\n" + string(golden(t, "several.yaml")))
	got, err := with(t, "production").Decrypt(t.Context(), "mixed.yaml", mixed)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Count(got, []byte(plainDocument)) != 2 || bytes.Count(got, []byte("hunter")) != 3 || secrets.Encrypted("mixed.yaml", got) {
		t.Errorf("got\n%s", got)
	}
	if a, b := linesWith(got, "kind: "), linesWith(mixed, "kind: "); !reflect.DeepEqual(a, b) {
		t.Errorf("got lines %d, want %d\n%s", a, b, got)
	}
}

// A production document copied into a branch's file makes the whole file fail, and the error names the document.
func TestOneDocumentForOthersClosesTheFile(t *testing.T) {
	mixed := append(append(golden(t, "whole.yaml"), "---\n"...), golden(t, "secret.yaml")...)
	_, err := with(t, "review").Decrypt(t.Context(), "mixed.yaml", mixed)
	var e *secrets.Error
	if !errors.As(err, &e) || e.Reason != secrets.NoKey || e.Document != 2 || !strings.HasPrefix(err.Error(), "document 2: no available key decrypts it: ") {
		t.Errorf("got %v", err)
	}
}

func TestOpenTellsTheValuesThatWereEncrypted(t *testing.T) {
	for file, want := range map[string][]string{
		"secret.yaml": {"app", "hunter2", "5432"}, "several.yaml": {"hunter2", "hunter3"}, "comments.yaml": {"hunter2"},
		"db.env": {"app", "hunter2"}, "tls.key": {"hunter2\n"},
	} {
		d := secrets.New(secrets.Config{Keys: keysOf(t, "production"), Cache: secrets.NewCache(0), Workers: workers(t)})
		for range 2 {
			got, err := d.Open(t.Context(), file, golden(t, file))
			var values []string
			for placeholder, value := range got.Values {
				values = append(values, value.Text)
				if count := bytes.Count(got.Veiled, []byte(placeholder)); count != 1 {
					t.Errorf("%s: %s stands %d times in\n%s", file, placeholder, count, got.Veiled)
				}
				if value.Text != "app" && bytes.Contains(got.Veiled, []byte(value.Text)) {
					t.Errorf("%s: %q is not veiled in\n%s", file, value.Text, got.Veiled)
				}
			}
			slices.Sort(values)
			if slices.Sort(want); err != nil || !reflect.DeepEqual(values, want) {
				t.Errorf("%s: got %q, %v, want %q", file, values, err, want)
			}
		}
	}
}
