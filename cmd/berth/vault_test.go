package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// The tokens that a vault accepts and issues: the token of a service account, and two of its own.
const (
	agentsToken   = "token-of-the-agents-service-account"
	enteredVault  = "hvs.of-the-key-secret"
	loggedInVault = "hvs.of-the-login"
)

// vault is a fake of Vault's transit engine, with a key posts and a role berth. It can be down.
type vault struct {
	*httptest.Server
	mu      sync.Mutex
	down    bool
	logins  int
	opened  int // data keys
	refused int
}

func newVault(t *testing.T) *vault {
	v := &vault{}
	v.Server = httptest.NewServer(v)
	t.Cleanup(v.Close)
	return v
}

func (v *vault) key() string  { return v.URL + "/v1/transit/keys/posts" }
func (v *vault) role() string { return v.URL + "/v1/auth/kubernetes/role/berth" }

func (v *vault) set(down bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.down = down
}

func (v *vault) counts() (logins, opened int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.logins, v.opened
}

func (v *vault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var asked struct{ Ciphertext, Role, JWT string }
	_ = json.NewDecoder(r.Body).Decode(&asked)
	token := r.Header.Get("X-Vault-Token")
	switch {
	case v.down:
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintf(w, `{"errors": ["Vault is sealed"], "quoted": %q}`, token)
	case r.URL.Path == "/v1/auth/kubernetes/login" && asked.Role == "berth" && asked.JWT == agentsToken:
		v.logins++
		fmt.Fprintf(w, `{"auth": {"client_token": %q, "lease_duration": 3600}}`, loggedInVault)
	case r.URL.Path == "/v1/transit/decrypt/posts" && (token == enteredVault || token == loggedInVault):
		v.opened++
		fmt.Fprintf(w, `{"data": {"plaintext": %q}}`, strings.TrimPrefix(asked.Ciphertext, "vault:v1:"))
	default:
		v.refused++
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"errors": ["permission denied"]}`)
	}
}
