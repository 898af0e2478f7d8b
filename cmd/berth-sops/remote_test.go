package main

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/internal/sopstest"
	"berth.dev/berth/secrets"
)

// fourClouds simulates the four services. All hosts lead to it.
type fourClouds struct {
	t      *testing.T
	server *httptest.Server
	// status is the answer to all requests, if it is not 0.
	status int
}

func newCloud(t *testing.T) *fourClouds {
	c := &fourClouds{t: t}
	c.server = httptest.NewTLSServer(c)
	t.Cleanup(c.server.Close)
	return c
}

func (c *fourClouds) workers() *secrets.Workers {
	address := c.server.Listener.Addr().String()
	return workersTo(c.t, address, address)
}

func (c *fourClouds) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Error(err)
	}
	if c.status != 0 {
		w.Header().Set("Location", "https://attacker.example.com/")
		w.WriteHeader(c.status)
		fmt.Fprint(w, "hunter2: ", string(body), r.Header)
		return
	}
	plain := base64.StdEncoding.EncodeToString([]byte(sopstest.DataKey))
	switch r.Method + " https://" + r.Host + r.URL.Path {
	case "PUT https://vault.example.com/v1/sops/transit/decrypt/posts":
		c.expect(r.Header.Get("X-Vault-Token"), "hvs.token")
		c.expect(r.Header.Get("X-Vault-Namespace"), "")
		c.expectJSON(body, `{"ciphertext": "vault:v1:wrapped"}`)
		fmt.Fprintf(w, `{"request_id": "1", "data": {"plaintext": %q}}`, plain)
	case "POST https://kms.eu-west-1.amazonaws.com/":
		c.expect(r.Header.Get("X-Amz-Target"), "TrentService.Decrypt")
		c.expect(r.Header.Get("X-Amz-Security-Token"), "session")
		c.expectJSON(body, `{"KeyId": "arn:aws:kms:eu-west-1:111122223333:key/abc-1", "CiphertextBlob": "d3JhcHBlZA==", "EncryptionContext": {"app": "posts"}}`)
		if !signedBy("secret", r, string(body)) {
			c.t.Errorf("it is not signed: %s", r.Header)
		}
		fmt.Fprintf(w, `{"EncryptionAlgorithm": "SYMMETRIC_DEFAULT", "Plaintext": %q}`, plain)
	case "POST https://oauth2.googleapis.com/token":
		c.assertion(body)
		fmt.Fprint(w, `{"access_token": "google", "expires_in": 3599, "token_type": "Bearer"}`)
	case "POST https://cloudkms.googleapis.com/v1/projects/acme/locations/global/keyRings/sops/cryptoKeys/posts:decrypt":
		c.expect(r.Header.Get("Authorization"), "Bearer google")
		c.expectJSON(body, `{"name": "projects/acme/locations/global/keyRings/sops/cryptoKeys/posts", "ciphertext": "d3JhcHBlZA=="}`)
		fmt.Fprintf(w, `{"plaintext": %q}`, plain)
	case "GET https://login.microsoftonline.com/tenant/v2.0/.well-known/openid-configuration":
		fmt.Fprint(w, openIDConfiguration)
	case "POST https://login.microsoftonline.com/tenant/oauth2/v2.0/token":
		form, _ := url.ParseQuery(string(body))
		c.expect(form.Get("client_id")+" "+form.Get("client_secret")+" "+form.Get("grant_type"), "client client-secret client_credentials")
		c.expect(strings.Fields(form.Get("scope"))[0], "https://vault.azure.net/.default")
		fmt.Fprint(w, `{"access_token": "azure", "expires_in": 3599, "token_type": "Bearer"}`)
	case "POST https://acme.vault.azure.net/keys/posts/abc123/decrypt":
		if r.Header.Get("Authorization") == "" {
			challenge(w)
			return
		}
		c.expect(r.Header.Get("Authorization"), "Bearer azure")
		c.expectJSON(body, `{"alg": "RSA-OAEP-256", "value": "d3JhcHBlZA"}`)
		fmt.Fprintf(w, `{"kid": "x", "value": %q}`, base64.RawURLEncoding.EncodeToString([]byte(sopstest.DataKey)))
	default:
		c.t.Errorf("asked for %s https://%s%s", r.Method, r.Host, r.URL.RequestURI())
		w.WriteHeader(http.StatusNotFound)
	}
}

// openIDConfiguration is Entra's description of itself.
const openIDConfiguration = `{"issuer": "https://login.microsoftonline.com/tenant/v2.0",
	"authorization_endpoint": "https://login.microsoftonline.com/tenant/oauth2/v2.0/authorize", "token_endpoint": "https://login.microsoftonline.com/tenant/oauth2/v2.0/token"}`

// challenge writes Azure Key Vault's answer to requests without a token.
func challenge(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Bearer authorization="https://login.microsoftonline.com/tenant", resource="https://vault.azure.net"`)
	w.WriteHeader(http.StatusUnauthorized)
}

// expectJSON compares two JSON texts by content.
func (c *fourClouds) expectJSON(got []byte, want string) {
	var a, b any
	if err := errors.Join(json.Unmarshal(got, &a), json.Unmarshal([]byte(want), &b)); err != nil || !reflect.DeepEqual(a, b) {
		c.t.Errorf("got  %s\nwant %s", got, want)
	}
}

func (c *fourClouds) expect(got, want string) {
	if got != want {
		c.t.Errorf("got  %s\nwant %s", got, want)
	}
}

// assertion checks the statement of a service account as Google would.
func (c *fourClouds) assertion(body []byte) {
	_, text, _ := strings.Cut(string(body), "assertion=")
	text, _, _ = strings.Cut(text, "&")
	parts := strings.Split(text, ".")
	key, err := sopstest.ServiceAccount()
	if err != nil || len(parts) != 3 {
		c.t.Errorf("got %s, %v", body, err)
		return
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err != nil || rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, digest[:], signature) != nil {
		c.t.Errorf("the assertion is not signed: %s", text)
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || !bytes.Contains(claims, []byte(`"aud":"https://oauth2.googleapis.com/token"`)) || !bytes.Contains(claims, []byte(`"iss":"posts@acme`)) {
		c.t.Errorf("got claims %s", claims)
	}
}

func TestRemoteKeysThatAreListed(t *testing.T) {
	c := newCloud(t)
	for name, r := range sopstest.RemoteKeys("https://vault.example.com") {
		beginnings := []string{r.ID}
		if name != "AWS" {
			beginnings = append(beginnings, r.ID[:strings.LastIndex(r.ID, "/")], r.ID[:strings.LastIndex(r.ID, "/")+1])
		}
		for _, id := range beginnings {
			d := secrets.New(secrets.Config{Keys: sopstest.Credentials(t), Remote: r.List(id), Workers: c.workers()})
			got, err := d.Decrypt(t.Context(), "a.yaml", sopstest.Forge(t, r.Metadata, "hunter2"))
			if err != nil || string(got) != "a: hunter2\n" {
				t.Errorf("%s, listed as %s: got %q, %v", name, id, got, err)
			}
		}
		for _, id := range []string{r.ID[:len(r.ID)-1], r.ID + "0", strings.ToUpper(r.ID)} {
			d := secrets.New(secrets.Config{Keys: sopstest.Credentials(t), Remote: r.List(id), Workers: c.workers()})
			_, err := d.Decrypt(t.Context(), "a.yaml", sopstest.Forge(t, r.Metadata, "hunter2"))
			var e *secrets.Error
			if !errors.As(err, &e) || e.Reason != secrets.NotAllowed {
				t.Errorf("%s, listed as %s: got %v", name, id, err)
			}
		}
	}
}

func TestRemoteKeysWithoutCredentials(t *testing.T) {
	for name, r := range sopstest.RemoteKeys("https://vault.example.com") {
		d := secrets.New(secrets.Config{Keys: keysOf(t, map[string]string{"a.agekey": testdata(t, "golden/review.agekey")}), Remote: r.List(r.ID), Workers: newCloud(t).workers()})
		_, err := d.Decrypt(t.Context(), "a.yaml", sopstest.Forge(t, r.Metadata, "hunter2"))
		var e *secrets.Error
		if !errors.As(err, &e) || e.Reason != secrets.NoKey || e.Recipients[0] != r.ID {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A redirect would carry credentials elsewhere, and an answer may quote the request.
func TestAnswersOfRemoteServicesAreNotTrusted(t *testing.T) {
	for _, status := range []int{http.StatusForbidden, http.StatusTemporaryRedirect, http.StatusInternalServerError} {
		c := newCloud(t)
		c.status = status
		for name, r := range sopstest.RemoteKeys("https://vault.example.com") {
			d := secrets.New(secrets.Config{Keys: sopstest.Credentials(t), Remote: r.List(r.ID), Workers: c.workers()})
			_, err := d.Decrypt(t.Context(), "a.yaml", sopstest.Forge(t, r.Metadata, "hunter2"))
			var e *secrets.Error
			if !errors.As(err, &e) || e.Reason != secrets.Unreachable || !strings.Contains(err.Error(), fmt.Sprintf(" says %d ", status)) {
				t.Errorf("%s: got %v", name, err)
			}
			for _, secret := range []string{"hunter2", "hvs.", "session", "client-secret", "wrapped"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	}
}

func TestServicesThatDoNotAnswer(t *testing.T) {
	ended := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-ended }))
	defer server.Close()
	defer close(ended)
	r := sopstest.RemoteKeys(server.URL)["Vault"]
	address := server.Listener.Addr().String()
	_, err := secrets.New(secrets.Config{Keys: sopstest.Credentials(t), Remote: r.List(server.URL), Workers: patientWorkers(t, address, address, 50*time.Millisecond)}).Decrypt(t.Context(), "a.yaml", sopstest.Forge(t, r.Metadata, "hunter2"))
	var e *secrets.Error
	if !errors.As(err, &e) || !e.Temporary() || !strings.Contains(err.Error(), "no answer within") {
		t.Errorf("got %v", err)
	}
}

func TestNamesOfRemoteKeysThatClimb(t *testing.T) {
	list := secrets.Remote{Vault: []string{"https://vault.example.com/v1/sops"}, Azure: []string{"https://acme.vault.azure.net"},
		GCP: []string{"projects/acme"}, AWS: []string{"arn:aws:kms:eu-west-1:111122223333:key/abc-1"}}
	for _, metadata := range []string{
		"  hc_vault:\n  - {vault_address: https://vault.example.com, engine_path: sops/../secret, key_name: posts, enc: x}\n",
		"  hc_vault:\n  - {vault_address: https://vault.example.com, engine_path: sops, key_name: ../x, enc: x}\n",
		"  hc_vault:\n  - {vault_address: https://vault.example.com, engine_path: sops, key_name: 'x?y', enc: x}\n",
		"  hc_vault:\n  - {vault_address: https://vault.example.com@attacker.example.com, engine_path: sops, key_name: x, enc: x}\n",
		"  hc_vault:\n  - {vault_address: 'https://vault.example.com#x', engine_path: sops, key_name: x, enc: x}\n",
		"  azure_kv:\n  - {vault_url: https://acme.vault.azure.net, name: x/../y, version: z, enc: x}\n",
		"  azure_kv:\n  - {vault_url: http://acme.vault.azure.net, name: x, version: z, enc: x}\n",
		"  gcp_kms:\n  - {resource_id: projects/acme/locations/../keyRings/x/cryptoKeys/y, enc: x}\n",
		"  gcp_kms:\n  - {resource_id: 'projects/acme/locations/x/keyRings/x/cryptoKeys/y:encrypt', enc: x}\n",
		"  kms:\n  - {arn: 'arn:aws:kms:x.attacker.example.com/:1:key/abc-1', enc: x}\n",
		"  kms:\n  - {arn: 'arn:aws:kms:eu-west-1:111122223333:key/abc-1', role: 'arn:aws:iam::1:role/admin', enc: x}\n",
		"  hckms:\n  - {key_id: 'tr-west-1:x', enc: x}\n",
	} {
		d := secrets.New(secrets.Config{Keys: sopstest.Credentials(t), Remote: list, Workers: newCloud(t).workers()})
		_, err := d.Decrypt(t.Context(), "a.yaml", sopstest.Forge(t, metadata, "hunter2"))
		var e *secrets.Error
		if !errors.As(err, &e) || e.Reason != secrets.NotAllowed && e.Reason != secrets.Tampered {
			t.Errorf("%s: got %v", metadata, err)
		}
	}
}

func TestNarrow(t *testing.T) {
	agent := secrets.Remote{Vault: []string{"https://vault.example.com"}, AWS: []string{"arn:aws:kms:a:1:key/1", "arn:aws:kms:a:1:key/2"}}
	got := agent.Narrow([]string{"https://vault.example.com/v1/review", "arn:aws:kms:a:1:key/2", "arn:aws:kms:a:1:key/3", "https://other.example.com"})
	want := secrets.Remote{Vault: []string{"https://vault.example.com/v1/review"}, AWS: []string{"arn:aws:kms:a:1:key/2"}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := (secrets.Remote{}).Narrow([]string{"https://vault.example.com"}); fmt.Sprint(got) != fmt.Sprint(secrets.Remote{}) {
		t.Errorf("an entry lists what no administrator did: %v", got)
	}
}
