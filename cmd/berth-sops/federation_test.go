package main

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"berth.dev/berth/internal/sopstest"
	"berth.dev/berth/secrets"
)

// federation simulates four clouds that trust the tokens of a cluster's service accounts. All hosts lead to it. It
// verifies all statements and signatures, and their expiry.
type federation struct {
	t             *testing.T
	secret, plain *httptest.Server // https and http
	dir           string

	mu sync.Mutex
	// lifetime is how long issued tokens are valid.
	lifetime time.Duration
	// statements are the latest tokens of the service account, by audience.
	statements map[string]string
	// issued are the tokens that were issued and not revoked, with their expiry.
	issued map[string]time.Time
	asked  []string
	// refuses is the answer to all requests, if its status is not 0.
	refuses reply
}

type reply struct {
	status int
	body   string
}

func newFederation(t *testing.T) *federation {
	f := &federation{t: t, dir: t.TempDir(), issued: map[string]time.Time{}, statements: map[string]string{}, lifetime: time.Hour}
	f.secret, f.plain = httptest.NewTLSServer(f), httptest.NewServer(f)
	t.Cleanup(f.secret.Close)
	t.Cleanup(f.plain.Close)
	for _, audience := range []string{"sts.amazonaws.com", "pods.eks.amazonaws.com", "api://AzureADTokenExchange", "vault"} {
		f.rotate(audience)
	}
	return f
}

func (f *federation) workers() *secrets.Workers {
	return workersTo(f.t, f.plain.Listener.Addr().String(), f.secret.Listener.Addr().String())
}

func (f *federation) answers(status int, body string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refuses = reply{status, body}
}

// revoke revokes all tokens.
func (f *federation) revoke() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.issued)
}

// calls returns the number of requests to addresses with a suffix.
func (f *federation) calls(suffix string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, address := range f.asked {
		if strings.HasSuffix(address, suffix) {
			n++
		}
	}
	return n
}

// file returns the path of the token for an audience.
func (f *federation) file(audience string) string {
	return filepath.Join(f.dir, url.PathEscape(audience))
}

// rotate writes a new token for an audience, as kubelets do.
func (f *federation) rotate(audience string) {
	key, err := sopstest.ServiceAccount()
	if err != nil {
		f.t.Fatal(err)
	}
	claims, err := json.Marshal(map[string]any{"iss": "https://cluster.example.com", "sub": "system:serviceaccount:berth:berth", "aud": []string{audience},
		"exp": time.Now().Add(time.Hour).Unix(), "jti": rand.Text()})
	if err != nil {
		f.t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	statement := encode([]byte(`{"alg":"RS256"}`)) + "." + encode(claims)
	digest := sha256.Sum256([]byte(statement))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	if err != nil {
		f.t.Fatal(err)
	}
	statement += "." + encode(signature)
	f.mu.Lock()
	f.statements[audience] = statement
	f.mu.Unlock()
	if err := os.WriteFile(f.file(audience), []byte(statement+"\n"), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// trusts reports whether a statement is a service account's for an audience.
func (f *federation) trusts(statement, audience string) bool {
	parts := strings.Split(statement, ".")
	key, err := sopstest.ServiceAccount()
	if err != nil || len(parts) != 3 {
		return false
	}
	signature, _ := base64.RawURLEncoding.DecodeString(parts[2])
	content, _ := base64.RawURLEncoding.DecodeString(parts[1])
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	var claims struct {
		Audience []string `json:"aud"`
		End      int64    `json:"exp"`
	}
	return rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, digest[:], signature) == nil && json.Unmarshal(content, &claims) == nil &&
		slices.Contains(claims.Audience, audience) && time.Now().Unix() < claims.End && f.newest(statement, audience)
}

func (f *federation) newest(statement, audience string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.statements[audience] == statement
}

// issue returns a new token.
func (f *federation) issue() (token string, end time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	token, end = "issued-"+rand.Text(), time.Now().Add(f.lifetime)
	f.issued[token] = end
	return token, end
}

func (f *federation) accepts(token string) bool {
	f.mu.Lock()
	end, ok := f.issued[token]
	f.mu.Unlock()
	return ok && time.Now().Before(end)
}

func (f *federation) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		f.t.Error(err)
	}
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	f.mu.Lock()
	f.asked = append(f.asked, scheme+r.Host+r.URL.Path)
	refuses := f.refuses
	f.mu.Unlock()
	if r.Host == "acme.vault.azure.net" && r.Header.Get("Authorization") == "" {
		challenge(w)
		return
	}
	if refuses.status != 0 {
		w.Header().Set("Location", "https://attacker.example.com/")
		w.WriteHeader(refuses.status)
		fmt.Fprint(w, refuses.body, string(body), r.Header)
		return
	}
	answer := f.answer(r, scheme+r.Host+r.URL.Path, string(body))
	if answer == "" {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"__type": "AccessDeniedException", "quoted": "`, string(body), r.Header, `"}`)
		return
	}
	w.Header().Set("Metadata-Flavor", "Google")
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, answer)
}

// answer returns the service's answer, or "" to refuse the request.
func (f *federation) answer(r *http.Request, address, body string) string {
	form, _ := url.ParseQuery(body)
	share := base64.StdEncoding.EncodeToString([]byte(sopstest.DataKey))
	bearer := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	var login struct{ Role, JWT string }
	_ = json.Unmarshal([]byte(body), &login)
	switch r.Method + " " + address {
	case "POST https://sts.eu-central-1.amazonaws.com/":
		if f.trusts(form.Get("WebIdentityToken"), "sts.amazonaws.com") && form.Get("Action") == "AssumeRoleWithWebIdentity" && form.Get("Version") == "2011-06-15" &&
			form.Get("RoleArn") == "arn:aws:iam::111122223333:role/berth" && form.Get("RoleSessionName") != "" {
			token, end := f.issue()
			return fmt.Sprintf(`<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult><Credentials>`+
				`<AccessKeyId>AKID</AccessKeyId><SecretAccessKey>secret-of-%s</SecretAccessKey><SessionToken>%s</SessionToken><Expiration>%s</Expiration>`+
				`</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`, token, token, end.UTC().Format(time.RFC3339))
		}
	case "GET http://169.254.170.23/v1/credentials":
		if f.trusts(r.Header.Get("Authorization"), "pods.eks.amazonaws.com") {
			token, end := f.issue()
			return fmt.Sprintf(`{"AccessKeyId": "AKID", "SecretAccessKey": "secret-of-%s", "Token": %q, "AccountId": "111122223333", "Expiration": %q}`, token, token, end.UTC().Format(time.RFC3339))
		}
	case "POST https://kms.eu-west-1.amazonaws.com/":
		token := r.Header.Get("X-Amz-Security-Token")
		if f.accepts(token) && signedBy("secret-of-"+token, r, body) {
			return fmt.Sprintf(`{"Plaintext": %q}`, share)
		}
	case "GET http://169.254.169.254/computeMetadata/v1/instance/service-accounts/default/token":
		if r.Header.Get("Metadata-Flavor") == "Google" {
			return f.oauth()
		}
	case "POST https://cloudkms.googleapis.com/v1/projects/acme/locations/global/keyRings/sops/cryptoKeys/posts:decrypt":
		if f.accepts(bearer) {
			return fmt.Sprintf(`{"plaintext": %q}`, share)
		}
	case "GET https://login.microsoftonline.com/tenant/v2.0/.well-known/openid-configuration":
		return openIDConfiguration
	case "POST https://login.microsoftonline.com/tenant/oauth2/v2.0/token":
		if f.trusts(form.Get("client_assertion"), "api://AzureADTokenExchange") && form.Get("client_id") == "client" && form.Get("grant_type") == "client_credentials" &&
			strings.HasPrefix(form.Get("scope"), "https://vault.azure.net/.default") && form.Get("client_assertion_type") == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
			return f.oauth()
		}
	case "POST https://acme.vault.azure.net/keys/posts/abc123/decrypt":
		if f.accepts(bearer) {
			return fmt.Sprintf(`{"value": %q}`, base64.RawURLEncoding.EncodeToString([]byte(sopstest.DataKey)))
		}
	case "PUT https://vault.example.com/v1/auth/kubernetes/login":
		if f.trusts(login.JWT, "vault") && login.Role == "berth" {
			token, _ := f.issue()
			return fmt.Sprintf(`{"auth": {"client_token": %q, "lease_duration": %d, "renewable": true}}`, token, int(f.lifetime.Seconds()))
		}
	case "PUT https://vault.example.com/v1/sops/transit/decrypt/posts":
		if f.accepts(r.Header.Get("X-Vault-Token")) {
			return fmt.Sprintf(`{"data": {"plaintext": %q}}`, share)
		}
	default:
		f.t.Errorf("asked for %s %s", r.Method, address)
	}
	return ""
}

func (f *federation) oauth() string {
	token, _ := f.issue()
	return fmt.Sprintf(`{"access_token": %q, "expires_in": %d, "token_type": "Bearer"}`, token, int(f.lifetime.Seconds()))
}

// signedBy verifies AWS' Signature Version 4 of a request to the root of KMS.
func signedBy(secret string, r *http.Request, body string) bool {
	_, signed, _ := strings.Cut(r.Header.Get("Authorization"), "SignedHeaders=")
	signed, signature, _ := strings.Cut(signed, ", Signature=")
	canonical := "POST\n/\n\n"
	for _, name := range strings.Split(signed, ";") {
		value := r.Header.Get(name)
		if name == "host" {
			value = r.Host
		}
		canonical += name + ":" + value + "\n"
	}
	hash := func(text string) string { sum := sha256.Sum256([]byte(text)); return hex.EncodeToString(sum[:]) }
	canonical += "\n" + signed + "\n" + hash(body)
	at := r.Header.Get("X-Amz-Date")
	scope := []string{at[:8], "eu-west-1", "kms", "aws4_request"}
	key := []byte("AWS4" + secret)
	for _, part := range append(scope, "AWS4-HMAC-SHA256\n"+at+"\n"+strings.Join(scope, "/")+"\n"+hash(canonical)) {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(part))
		key = h.Sum(nil)
	}
	return signature == hex.EncodeToString(key)
}

// identity returns the agent's identity for all services, changed.
func (f *federation) identity(change ...func(*secrets.IdentityConfig)) *secrets.Identity {
	f.t.Helper()
	c := secrets.IdentityConfig{
		AWS:   secrets.AWSIdentity{Role: "arn:aws:iam::111122223333:role/berth", TokenFile: f.file("sts.amazonaws.com"), Region: "eu-central-1"},
		GCP:   secrets.GCPIdentity{MetadataHost: "169.254.169.254"},
		Azure: secrets.AzureIdentity{Tenant: "tenant", Client: "client", TokenFile: f.file("api://AzureADTokenExchange")},
		Vault: secrets.VaultIdentity{TokenFile: f.file("vault")},
	}
	for _, set := range change {
		set(&c)
	}
	identity, err := secrets.NewIdentity(c)
	if err != nil {
		f.t.Fatal(err)
	}
	return identity
}

// withPods makes AWS provide credentials by EKS Pod Identity.
func (f *federation) withPods(c *secrets.IdentityConfig) {
	c.AWS = secrets.AWSIdentity{CredentialsURL: "http://169.254.170.23/v1/credentials", CredentialsTokenFile: f.file("pods.eks.amazonaws.com")}
}
