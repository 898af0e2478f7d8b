package secrets_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"berth.dev/berth/internal/sopstest"
	"berth.dev/berth/secrets"
)

// vault is a transit engine with one key, and a file that is encrypted with it.
type vault struct {
	sopstest.Recipient
	t      *testing.T
	status atomic.Int32
	file   []byte
}

func newVault(t *testing.T) *vault {
	t.Helper()
	v := &vault{t: t}
	v.status.Store(http.StatusOK)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/sops/transit/decrypt/posts" || r.Header.Get("X-Vault-Token") != "hvs.token" {
			t.Errorf("asked for %s by %q", r.URL, r.Header)
		}
		w.WriteHeader(int(v.status.Load()))
		fmt.Fprintf(w, `{"data": {"plaintext": %q}}`, base64.StdEncoding.EncodeToString([]byte(sopstest.DataKey)))
	}))
	t.Cleanup(server.Close)
	v.Recipient = sopstest.RemoteKeys(server.URL)["Vault"]
	v.file = sopstest.Forge(t, v.Metadata, "hunter2")
	return v
}

// decrypter returns a Decrypter with the token of the key Secret.
func (v *vault) decrypter(list secrets.Remote, cache *secrets.Cache) *secrets.Decrypter {
	v.t.Helper()
	keys, err := parse(map[string]string{"sops.vault-token": "hvs.token"})
	if err != nil {
		v.t.Fatal(err)
	}
	return secrets.New(secrets.Config{Keys: keys, Remote: list, Cache: cache, Workers: workers(v.t)})
}
