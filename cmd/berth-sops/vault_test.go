package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"berth.dev/berth/secrets"
	"github.com/getsops/sops/v3/hcvault"
	"github.com/getsops/sops/v3/keys"
)

// newVault starts a fake transit engine whose ciphertext contains the plaintext, and returns its address.
func newVault(t *testing.T) string {
	t.Helper()
	t.Setenv("VAULT_TOKEN", "hvs.token")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var asked struct{ Plaintext, Ciphertext string }
		_ = json.NewDecoder(r.Body).Decode(&asked)
		text, sealed := strings.CutPrefix(asked.Ciphertext, "vault:v1:")
		switch {
		case r.Header.Get("X-Vault-Token") != "hvs.token" || r.Method != http.MethodPut && r.Method != http.MethodPost:
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"errors": ["permission denied"]}`)
		case r.URL.Path == "/v1/transit/encrypt/posts":
			fmt.Fprintf(w, `{"data": {"ciphertext": "vault:v1:%s", "key_version": 1}}`, asked.Plaintext)
		case r.URL.Path == "/v1/transit/decrypt/posts" && sealed:
			fmt.Fprintf(w, `{"data": {"plaintext": %q}}`, text)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// The library encrypts, and the worker decrypts, with the same Vault.
func TestVault(t *testing.T) {
	server := newVault(t)
	f := seal(t, "yaml", secret, rules["encrypted_regex"], []keys.MasterKey{hcvault.NewMasterKey(server, "transit", "posts")})
	parsed, err := secrets.ParseKeys(map[string][]byte{"sops.vault-token": []byte("hvs.token\n")})
	if err != nil {
		t.Fatal(err)
	}
	got, err := secrets.New(secrets.Config{Keys: parsed, Remote: secrets.Remote{Vault: []string{server + "/v1/transit"}}, Workers: workers(t)}).Decrypt(t.Context(), "a.yaml", f.encrypted)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "yaml", got, f.decrypted)
}
