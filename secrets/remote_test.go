package secrets_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"berth.dev/berth/secrets"
)

type remoteRecipient struct {
	metadata, id string
	list         func(id string) secrets.Remote
}

// remoteKeys are recipients as SOPS writes them, one of each service.
func remoteKeys(vault string) map[string]remoteRecipient {
	wrapped := base64.StdEncoding.EncodeToString([]byte("wrapped"))
	return map[string]remoteRecipient{
		"Vault": {
			fmt.Sprintf("  hc_vault:\n  - vault_address: %s/\n    engine_path: /sops/transit/\n    key_name: posts\n    created_at: \"2026-02-03T04:05:06Z\"\n    enc: vault:v1:wrapped\n", vault),
			vault + "/v1/sops/transit/keys/posts", func(id string) secrets.Remote { return secrets.Remote{Vault: []string{id}} },
		},
		"AWS": {
			fmt.Sprintf("  kms:\n  - arn: arn:aws:kms:eu-west-1:111122223333:key/abc-1\n    context: {app: posts}\n    created_at: \"2026-02-03T04:05:06Z\"\n    enc: %s\n    aws_profile: \"\"\n", wrapped),
			"arn:aws:kms:eu-west-1:111122223333:key/abc-1", func(id string) secrets.Remote { return secrets.Remote{AWS: []string{id}} },
		},
		"GCP": {
			fmt.Sprintf("  gcp_kms:\n  - resource_id: projects/acme/locations/global/keyRings/sops/cryptoKeys/posts\n    enc: %s\n", wrapped),
			"projects/acme/locations/global/keyRings/sops/cryptoKeys/posts", func(id string) secrets.Remote { return secrets.Remote{GCP: []string{id}} },
		},
		"Azure": {
			fmt.Sprintf("  azure_kv:\n  - vault_url: https://Acme.vault.azure.net\n    name: posts\n    version: abc123\n    enc: %s\n", base64.RawURLEncoding.EncodeToString([]byte("wrapped"))),
			"https://acme.vault.azure.net/keys/posts/abc123", func(id string) secrets.Remote { return secrets.Remote{Azure: []string{id}} },
		},
	}
}

var serviceAccount = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func remoteCredentials(t *testing.T) *secrets.Keys {
	t.Helper()
	key, err := serviceAccount()
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	account, err := json.Marshal(map[string]string{"type": "service_account", "client_email": "posts@acme.iam.gserviceaccount.com",
		"private_key_id": "1", "private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"token_uri": "https://attacker.example.com/token"})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := parse(map[string]string{
		"sops.vault-token": "hvs.token", "sops.gcp-kms": string(account),
		"sops.aws-kms":  "aws_access_key_id: AKID\naws_secret_access_key: secret\naws_session_token: session\n",
		"sops.azure-kv": "tenantId: tenant\nclientId: client\nclientSecret: client-secret\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// cloud speaks as the four services do. All hosts lead to it.
type cloud struct {
	t      *testing.T
	server *httptest.Server
	// status is the answer to all, if it is not 0.
	status int
}

func newCloud(t *testing.T) *cloud {
	c := &cloud{t: t}
	c.server = httptest.NewTLSServer(c)
	t.Cleanup(c.server.Close)
	return c
}

func (c *cloud) client() *http.Client {
	transport := c.server.Client().Transport.(*http.Transport).Clone()
	transport.TLSClientConfig.InsecureSkipVerify = true // the certificate has the test server's name
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, c.server.Listener.Addr().String())
	}
	return &http.Client{Transport: transport}
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
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
	plain := base64.StdEncoding.EncodeToString([]byte(dataKey))
	switch r.Method + " https://" + r.Host + r.URL.RequestURI() {
	case "POST https://vault.example.com/v1/sops/transit/decrypt/posts":
		c.expect(r.Header.Get("X-Vault-Token"), "hvs.token")
		c.expect(string(body), `{"ciphertext":"vault:v1:wrapped"}`)
		fmt.Fprintf(w, `{"request_id": "1", "data": {"plaintext": %q}}`, plain)
	case "POST https://kms.eu-west-1.amazonaws.com/":
		c.expect(r.Header.Get("X-Amz-Target"), "TrentService.Decrypt")
		c.expect(r.Header.Get("Content-Type"), "application/x-amz-json-1.1")
		c.expect(r.Header.Get("X-Amz-Security-Token"), "session")
		c.expect(string(body), `{"KeyId":"arn:aws:kms:eu-west-1:111122223333:key/abc-1","CiphertextBlob":"d3JhcHBlZA==","EncryptionContext":{"app":"posts"}}`)
		signed, _, _ := strings.Cut(r.Header.Get("Authorization"), ", Signature=")
		c.expect(signed, "AWS4-HMAC-SHA256 Credential=AKID/"+r.Header.Get("X-Amz-Date")[:8]+
			"/eu-west-1/kms/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target")
		fmt.Fprintf(w, `{"EncryptionAlgorithm": "SYMMETRIC_DEFAULT", "Plaintext": %q}`, plain)
	case "POST https://oauth2.googleapis.com/token":
		c.assertion(body)
		fmt.Fprint(w, `{"access_token": "google", "expires_in": 3599, "token_type": "Bearer"}`)
	case "POST https://cloudkms.googleapis.com/v1/projects/acme/locations/global/keyRings/sops/cryptoKeys/posts:decrypt":
		c.expect(r.Header.Get("Authorization"), "Bearer google")
		c.expect(string(body), `{"ciphertext":"d3JhcHBlZA=="}`)
		fmt.Fprintf(w, `{"plaintext": %q}`, plain)
	case "POST https://login.microsoftonline.com/tenant/oauth2/v2.0/token":
		c.expect(string(body), "client_id=client&client_secret=client-secret&grant_type=client_credentials&scope=https%3A%2F%2Fvault.azure.net%2F.default")
		fmt.Fprint(w, `{"access_token": "azure", "token_type": "Bearer"}`)
	case "POST https://acme.vault.azure.net/keys/posts/abc123/decrypt?api-version=7.4":
		c.expect(r.Header.Get("Authorization"), "Bearer azure")
		c.expect(string(body), `{"alg":"RSA-OAEP-256","value":"d3JhcHBlZA"}`)
		fmt.Fprintf(w, `{"kid": "x", "value": %q}`, base64.RawURLEncoding.EncodeToString([]byte(dataKey)))
	default:
		c.t.Errorf("asked for %s https://%s%s", r.Method, r.Host, r.URL.RequestURI())
		w.WriteHeader(http.StatusNotFound)
	}
}

func (c *cloud) expect(got, want string) {
	if got != want {
		c.t.Errorf("got  %s\nwant %s", got, want)
	}
}

// assertion checks the statement of a service account as Google would.
func (c *cloud) assertion(body []byte) {
	_, text, _ := strings.Cut(string(body), "assertion=")
	text, _, _ = strings.Cut(text, "&")
	parts := strings.Split(text, ".")
	key, err := serviceAccount()
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
	for name, r := range remoteKeys("https://vault.example.com") {
		beginnings := []string{r.id}
		if name != "AWS" {
			beginnings = append(beginnings, r.id[:strings.LastIndex(r.id, "/")], r.id[:strings.LastIndex(r.id, "/")+1])
		}
		for _, id := range beginnings {
			d := secrets.New(secrets.Config{Keys: remoteCredentials(t), Remote: r.list(id), HTTPClient: c.client()})
			got, err := d.Decrypt("a.yaml", forge(t, r.metadata, "hunter2"))
			if err != nil || string(got) != "a: \"hunter2\"\n" {
				t.Errorf("%s, listed as %s: got %q, %v", name, id, got, err)
			}
		}
		for _, id := range []string{r.id[:len(r.id)-1], r.id + "0", strings.ToUpper(r.id)} {
			d := secrets.New(secrets.Config{Keys: remoteCredentials(t), Remote: r.list(id), HTTPClient: c.client()})
			_, err := d.Decrypt("a.yaml", forge(t, r.metadata, "hunter2"))
			var e *secrets.Error
			if !errors.As(err, &e) || e.Reason != secrets.NotAllowed {
				t.Errorf("%s, listed as %s: got %v", name, id, err)
			}
		}
	}
}

func TestRemoteKeysWithoutCredentials(t *testing.T) {
	for name, r := range remoteKeys("https://vault.example.com") {
		d := secrets.New(secrets.Config{Keys: keysOf(t, "review"), Remote: r.list(r.id), HTTPClient: newCloud(t).client()})
		_, err := d.Decrypt("a.yaml", forge(t, r.metadata, "hunter2"))
		var e *secrets.Error
		if !errors.As(err, &e) || e.Reason != secrets.NoKey || e.Recipients[0] != r.id {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A redirect would carry credentials elsewhere, and what a server writes may quote what it was sent.
func TestAnswersOfRemoteServicesAreNotTrusted(t *testing.T) {
	for _, status := range []int{http.StatusForbidden, http.StatusTemporaryRedirect, http.StatusInternalServerError} {
		c := newCloud(t)
		c.status = status
		for name, r := range remoteKeys("https://vault.example.com") {
			d := secrets.New(secrets.Config{Keys: remoteCredentials(t), Remote: r.list(r.id), HTTPClient: c.client()})
			_, err := d.Decrypt("a.yaml", forge(t, r.metadata, "hunter2"))
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
	r := remoteKeys(server.URL)["Vault"]
	client := &http.Client{Timeout: 50 * time.Millisecond}
	_, err := secrets.New(secrets.Config{Keys: remoteCredentials(t), Remote: r.list(server.URL), HTTPClient: client}).Decrypt("a.yaml", forge(t, r.metadata, "hunter2"))
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
		d := secrets.New(secrets.Config{Keys: remoteCredentials(t), Remote: list, HTTPClient: newCloud(t).client()})
		_, err := d.Decrypt("a.yaml", forge(t, metadata, "hunter2"))
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
