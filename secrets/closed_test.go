package secrets_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"berth.dev/berth/secrets"
)

// plant puts the key that fits wherever SOPS and its libraries would look for it.
func plant(t *testing.T) {
	t.Helper()
	home := t.TempDir()
	key := filepath.Join(home, "keys.txt")
	write(t, key, string(golden(t, "production.agekey")))
	write(t, filepath.Join(home, ".config", "sops", "age", "keys.txt"), string(golden(t, "production.agekey")))
	write(t, filepath.Join(home, ".ssh", "id_ed25519"), string(golden(t, "ssh-ed25519.agekey")))
	write(t, filepath.Join(home, ".ssh", "id_rsa"), string(golden(t, "ssh-rsa.agekey")))
	write(t, filepath.Join(home, ".gnupg", "secring.gpg"), string(published(t, "key.asc")))
	write(t, filepath.Join(home, ".vault-token"), "hvs.planted")
	write(t, filepath.Join(home, ".aws", "credentials"), "[default]\naws_access_key_id = planted\naws_secret_access_key = planted\n")
	program := filepath.Join(home, "bin", "gpg")
	write(t, program, "#!/bin/sh\ntouch "+filepath.Join(home, "ran")+"\nprintf 0123456789abcdef0123456789abcdef\n")
	if err := os.Chmod(program, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"HOME": home, "XDG_CONFIG_HOME": filepath.Join(home, ".config"), "GNUPGHOME": filepath.Join(home, ".gnupg"),
		"PATH": filepath.Dir(program), "SOPS_GPG_EXEC": program,
		"SOPS_AGE_KEY": string(golden(t, "production.agekey")), "SOPS_AGE_KEY_FILE": key,
		"SOPS_AGE_KEY_CMD":              "touch " + filepath.Join(home, "ran"),
		"SOPS_AGE_SSH_PRIVATE_KEY_FILE": filepath.Join(home, ".ssh", "id_ed25519"),
		"SOPS_AGE_SSH_PRIVATE_KEY_CMD":  "touch " + filepath.Join(home, "ran"),
		"VAULT_TOKEN":                   "hvs.planted", "AWS_ACCESS_KEY_ID": "planted", "AWS_SECRET_ACCESS_KEY": "planted",
		"AWS_ROLE_ARN": "arn:aws:iam::111122223333:role/berth", "AWS_WEB_IDENTITY_TOKEN_FILE": key,
		"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": key,
		"AZURE_CLIENT_ID": "client", "AZURE_TENANT_ID": "tenant", "AZURE_FEDERATED_TOKEN_FILE": key, "AZURE_CLIENT_SECRET": "planted",
		"GOOGLE_APPLICATION_CREDENTIALS": key,
	} {
		t.Setenv(name, value)
	}
	t.Cleanup(func() {
		if _, err := os.Stat(filepath.Join(home, "ran")); err == nil {
			t.Error("a command ran")
		}
	})
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestKeysThatNobodyGaveAreNotFound(t *testing.T) {
	plant(t)
	for file, content := range map[string][]byte{
		"secret.yaml": golden(t, "secret.yaml"), "groups.json": golden(t, "groups.json"), "ssh.yaml": golden(t, "ssh.yaml"),
		"example.yaml": published(t, "example.yaml"),
	} {
		for _, d := range []*secrets.Decrypter{secrets.New(secrets.Config{}), with(t, "hybrid")} {
			got, err := d.Decrypt(file, content)
			var e *secrets.Error
			if !errors.As(err, &e) || e.Reason != secrets.NoKey {
				t.Errorf("%s: got %q, %v", file, got, err)
			}
		}
	}
}

func TestServicesThatNobodyListedAreNotAsked(t *testing.T) {
	plant(t)
	var asked sync.Map
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked.Store(r.URL.String(), r.Header) }))
	defer server.Close()
	t.Setenv("VAULT_ADDR", server.URL)
	t.Setenv("HTTPS_PROXY", server.URL)
	t.Setenv("HTTP_PROXY", server.URL)
	t.Setenv("AWS_ENDPOINT_URL", server.URL)
	for name, r := range remoteKeys(server.URL) {
		for _, list := range []secrets.Remote{{}, {Vault: []string{"https://vault.example.com"}, AWS: []string{"arn:aws:kms:eu-west-1:1:key/other"}}} {
			d := secrets.New(secrets.Config{Keys: remoteCredentials(t), Remote: list})
			_, err := d.Decrypt("a.yaml", forge(t, r.metadata, "hunter2"))
			var e *secrets.Error
			if !errors.As(err, &e) || e.Reason != secrets.NotAllowed || !strings.Contains(err.Error(), "not allowed here: "+r.id) {
				t.Errorf("%s: got %v", name, err)
			}
		}
	}
	asked.Range(func(where, header any) bool { t.Errorf("asked %s: %s", where, header); return true })
}

// What Error says is read by people who may not read the file, and lands in logs.
func TestErrorsNameRecipientsAndTheWayOut(t *testing.T) {
	_, err := with(t, "review").Decrypt("infra/k8s/secret.yaml", golden(t, "secret.yaml"))
	held, wanted := keysOf(t, "review").Recipients(), keysOf(t, "production").Recipients()
	want := "no key at hand decrypts it: it is encrypted for " + wanted[0] + ", and the keys at hand are those of " + held[0] +
		"; add the recipient of a key at hand to .sops.yaml and run: sops updatekeys infra/k8s/secret.yaml"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	var e *secrets.Error
	if !errors.As(err, &e) || !reflect.DeepEqual(e.Held, held) || !reflect.DeepEqual(e.Recipients, wanted) {
		t.Errorf("got %+v", e)
	}
}

func TestErrorsCannotBeForged(t *testing.T) {
	forged := strings.Replace(string(golden(t, "secret.yaml")), "recipient: ", "recipient: \"\\e[2J\\n\" # ", 1)
	_, err := with(t, "review").Decrypt("a b'$(x).yaml", []byte(forged))
	if err == nil || strings.ContainsAny(err.Error(), "\x1b\n") {
		t.Errorf("got %q", err)
	}
	if !strings.HasSuffix(err.Error(), `sops updatekeys 'a b'\''$(x).yaml'`) {
		t.Errorf("got %v", err)
	}
}
