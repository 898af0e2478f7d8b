package secrets_test

import (
	"errors"
	"strings"
	"testing"

	"berth.dev/berth/secrets"
)

var fuzzFiles = []string{"secret.yaml", "several.yaml", "comments.yaml", "only-encrypted.yaml", "whole.yaml", "groups.json", "config.json", "db.env", "app.ini", "tls.key"}

// FuzzDecrypt changes files that can be decrypted. A successful result must hold nothing encrypted, and errors must not
// quote plain text.
func FuzzDecrypt(f *testing.F) {
	for _, file := range fuzzFiles {
		f.Add(file, golden(f, file))
	}
	f.Add("a.yaml", []byte("a: &x [*x]\nsops: {}\n"))
	f.Add("a.yaml", []byte("---\n---\nsops: {mac: x}\n...\n---\n"))
	f.Add("a.env", []byte("sops_age__list_0__map_enc=x\nsops_age__list_0=y\n"))
	f.Add("a.json", []byte(strings.Repeat(`{"a":[`, 200)))
	d := with(f, "production", "review")
	f.Fuzz(func(t *testing.T, file string, content []byte) {
		encrypted := secrets.Encrypted(file, content)
		plain, err := d.Decrypt(t.Context(), file, content)
		var e *secrets.Error
		switch {
		case err == nil && !encrypted:
			t.Errorf("what does not look encrypted decrypts to %q", plain)
		case err != nil && (!errors.As(err, &e) || e.Reason == "" || e.File != file):
			t.Errorf("got %#v", err)
		case err != nil && strings.Contains(err.Error(), "hunter2") && !strings.Contains(string(content)+file, "hunter2"):
			t.Errorf("the error quotes a value: %v", err)
		case err != nil && plain != nil:
			t.Errorf("an error comes with %q", plain)
		}
	})
}

// FuzzEncrypted searches for encrypted files that Encrypted takes for plain ones.
func FuzzEncrypted(f *testing.F) {
	for _, file := range fuzzFiles {
		f.Add(file, golden(f, file))
	}
	f.Add("a.yaml", []byte("sops: {mac: x}\n"))
	f.Fuzz(func(t *testing.T, file string, content []byte) {
		envelope, err := secrets.Inspect(file, content)
		if err == nil && !secrets.Encrypted(file, content) {
			t.Errorf("it is encrypted for %q, and taken for plain", envelope.Recipients)
		}
	})
}
