package sopstest

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"berth.dev/berth/internal/buildtest"
)

// Plant puts valid keys wherever SOPS and the clouds' clients look for them by default. It also plants the
// addresses of a server and a program. The test fails if either is used.
func Plant(t *testing.T) {
	t.Helper()
	home := t.TempDir()
	trap := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("asked %s: %s", r.URL, r.Header) }))
	t.Cleanup(trap.Close)
	key := filepath.Join(home, "keys.txt")
	production := testdata(t, "golden/production.agekey")
	for name, content := range map[string]string{
		"keys.txt": production, ".config/sops/age/keys.txt": production,
		".ssh/id_ed25519": testdata(t, "golden/ssh-ed25519.agekey"), ".ssh/id_rsa": testdata(t, "golden/ssh-rsa.agekey"),
		".gnupg/secring.gpg": testdata(t, "published/key.asc"), ".vault-token": "hvs.planted",
		".aws/credentials": "[default]\naws_access_key_id = planted\naws_secret_access_key = planted\n",
		".aws/config":      "[default]\nendpoint_url = " + trap.URL + "\n",
		".config/gcloud/application_default_credentials.json": `{"type": "authorized_user", "client_id": "x", "client_secret": "planted", "refresh_token": "x"}`,
		"bin/gpg": "#!/bin/sh\ntouch " + filepath.Join(home, "ran") + "\nprintf 0123456789abcdef0123456789abcdef\n",
	} {
		write(t, filepath.Join(home, name), content)
	}
	program := filepath.Join(home, "bin", "gpg")
	if err := os.Chmod(program, 0o700); err != nil {
		t.Fatal(err)
	}
	touch := "touch " + filepath.Join(home, "ran")
	for name, value := range map[string]string{
		"HOME": home, "XDG_CONFIG_HOME": filepath.Join(home, ".config"), "GNUPGHOME": filepath.Join(home, ".gnupg"),
		"PATH": filepath.Dir(program) + string(os.PathListSeparator) + os.Getenv("PATH"), "SOPS_GPG_EXEC": program,
		"SOPS_AGE_KEY": production, "SOPS_AGE_KEY_FILE": key, "SOPS_AGE_KEY_CMD": touch,
		"SOPS_AGE_SSH_PRIVATE_KEY_FILE": filepath.Join(home, ".ssh", "id_ed25519"), "SOPS_AGE_SSH_PRIVATE_KEY_CMD": touch,
		"VAULT_TOKEN": "hvs.planted", "VAULT_ADDR": trap.URL, "VAULT_AGENT_ADDR": trap.URL, "VAULT_NAMESPACE": "planted",
		"VAULT_HEADERS": `{"X-Planted": "planted"}`, "VAULT_PROXY_ADDR": trap.URL, "VAULT_HTTP_PROXY": trap.URL,
		"AWS_ACCESS_KEY_ID": "planted", "AWS_SECRET_ACCESS_KEY": "planted", "AWS_PROFILE": "default",
		"AWS_ENDPOINT_URL": trap.URL, "AWS_ENDPOINT_URL_KMS": trap.URL, "AWS_ENDPOINT_URL_STS": trap.URL,
		"AWS_ROLE_ARN": "arn:aws:iam::111122223333:role/planted", "AWS_WEB_IDENTITY_TOKEN_FILE": key,
		"AWS_CONTAINER_CREDENTIALS_FULL_URI": trap.URL, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": key,
		"AZURE_CLIENT_ID": "planted", "AZURE_TENANT_ID": "planted", "AZURE_FEDERATED_TOKEN_FILE": key, "AZURE_CLIENT_SECRET": "planted",
		"AZURE_AUTHORITY_HOST":           trap.URL,
		"GOOGLE_APPLICATION_CREDENTIALS": key, "GOOGLE_CREDENTIALS": key, "GOOGLE_OAUTH_ACCESS_TOKEN": "planted",
		"SOPS_GCP_KMS_ENDPOINT": trap.URL, "SOPS_GCP_KMS_UNIVERSE_DOMAIN": "attacker.example.com", "SOPS_GCP_KMS_CLIENT_TYPE": "grpc",
		"HTTPS_PROXY": trap.URL, "HTTP_PROXY": trap.URL,
	} {
		t.Setenv(name, value)
	}
	t.Cleanup(func() {
		if _, err := os.Stat(filepath.Join(home, "ran")); err == nil {
			t.Error("a program ran")
		}
	})
}

// testdata returns a test file of package secrets.
func testdata(t testing.TB, name string) string {
	t.Helper()
	root, err := buildtest.Root()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(root, "secrets", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func write(t testing.TB, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
