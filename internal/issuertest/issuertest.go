// Package issuertest is an issuer of OpenID Connect for tests. It signs with a real key, by the standard library alone, and
// checks what a client sends.
package issuertest

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"
)

// keyID is the id of the key that signs.
const keyID = "first"

// The client that the issuer knows.
const (
	ClientID     = "berth-page"
	ClientSecret = "the secret of the client"
)

// Issuer is an issuer at a loopback address.
type Issuer struct {
	*httptest.Server
	// Key signs tokens.
	Key *rsa.PrivateKey

	mu    sync.Mutex
	users map[string]map[string]any
	codes map[string]grant
	// change changes the claims of tokens, and forge makes tokens instead of signing them.
	change func(map[string]any)
	forge  func(map[string]any) string
}

// grant is what a code stands for.
type grant struct {
	login string
	asked url.Values
}

// firstKey is the key of all issuers of a test program, since making one takes long.
var firstKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// New starts an issuer that knows no users.
func New(t testing.TB) *Issuer {
	t.Helper()
	key, err := firstKey()
	if err != nil {
		t.Fatal(err)
	}
	i := &Issuer{Key: key, users: map[string]map[string]any{}, codes: map[string]grant{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", i.discovery)
	mux.HandleFunc("GET /keys", i.keys)
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET /authorize", i.authorize)
	mux.HandleFunc("POST /token", i.token)
	i.Server = httptest.NewServer(mux)
	t.Cleanup(i.Close)
	return i
}

// SetUser adds a user with the claims about it, or changes these.
func (i *Issuer) SetUser(login string, claims map[string]any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.users[login] = claims
}

// Change lets a function change the claims of all further tokens; nil: none.
func (i *Issuer) Change(change func(claims map[string]any)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.change = change
}

// Forge lets a function make all further tokens; nil: the issuer signs them.
func (i *Issuer) Forge(forge func(claims map[string]any) string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.forge = forge
}

// Sign returns a token that is signed with a private key (RS256), or with a shared secret (HS256).
func Sign(key any, claims map[string]any) (string, error) {
	algorithm := "RS256"
	if _, ok := key.([]byte); ok {
		algorithm = "HS256"
	}
	header, err := json.Marshal(map[string]string{"alg": algorithm, "typ": "JWT", "kid": keyID})
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signed := encode(header) + "." + encode(text)
	var signature []byte
	switch key := key.(type) {
	case []byte:
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(signed))
		signature = mac.Sum(nil)
	case *rsa.PrivateKey:
		sum := sha256.Sum256([]byte(signed))
		if signature, err = rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:]); err != nil {
			return "", err
		}
	default:
		return "", fmt.Errorf("cannot sign with %T", key)
	}
	return signed + "." + encode(signature), nil
}

func encode(text []byte) string { return base64.RawURLEncoding.EncodeToString(text) }

func (i *Issuer) discovery(w http.ResponseWriter, _ *http.Request) {
	answer(w, map[string]any{
		"issuer": i.URL, "authorization_endpoint": i.URL + "/authorize", "token_endpoint": i.URL + "/token", "jwks_uri": i.URL + "/keys",
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": []string{"RS256", "none", "HS256"},
	})
}

func (i *Issuer) keys(w http.ResponseWriter, _ *http.Request) {
	answer(w, map[string]any{"keys": []map[string]string{{
		"kty": "RSA", "kid": keyID, "alg": "RS256", "use": "sig",
		"n": encode(i.Key.N.Bytes()), "e": encode(big.NewInt(int64(i.Key.E)).Bytes()),
	}}})
}

// authorize lets a person choose a user, and sends the browser back with a code.
func (i *Issuer) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("client_id") != ClientID || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || q.Get("state") == "" || q.Get("nonce") == "" {
		http.Error(w, "this is no request for a login with PKCE, state and nonce", http.StatusBadRequest)
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	login := q.Get("login")
	if i.users[login] == nil {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte("<!doctype html><html lang=en><title>Issuer</title><h1>Who are you?</h1>"))
		for _, name := range slices.Sorted(maps.Keys(i.users)) {
			q.Set("login", name)
			_, _ = w.Write([]byte(`<p><a id="` + name + `" href="/authorize?` + html.EscapeString(q.Encode()) + `">` + name + `</a></p>`))
		}
		return
	}
	code := rand.Text()
	i.codes[code] = grant{login: login, asked: q}
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+url.Values{"code": {code}, "state": {q.Get("state")}}.Encode(), http.StatusFound)
}

// token exchanges a code for an ID token, once.
func (i *Issuer) token(w http.ResponseWriter, r *http.Request) {
	id, secret, ok := r.BasicAuth()
	if !ok {
		id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	if unescaped, err := url.QueryUnescape(secret); err == nil && ok {
		secret = unescaped
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	code := r.PostFormValue("code")
	g, known := i.codes[code]
	verifier := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if !known || id != ClientID || secret != ClientSecret || r.PostFormValue("redirect_uri") != g.asked.Get("redirect_uri") ||
		encode(verifier[:]) != g.asked.Get("code_challenge") {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"error": "invalid_grant"}`))
		return
	}
	delete(i.codes, code)
	claims := map[string]any{
		"iss": i.URL, "aud": ClientID, "sub": g.login, "nonce": g.asked.Get("nonce"),
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
	}
	maps.Copy(claims, i.users[g.login])
	if i.change != nil {
		i.change(claims)
	}
	var signed string
	if i.forge != nil {
		signed = i.forge(claims)
	} else {
		signed, _ = Sign(i.Key, claims) // the key and the claims are valid
	}
	answer(w, map[string]any{"access_token": rand.Text(), "token_type": "Bearer", "expires_in": 60, "id_token": signed})
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}
