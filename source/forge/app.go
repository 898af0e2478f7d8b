package forge

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// App is a GitHub App, installed in the account of the repository.
type App struct {
	ID, Installation string
	Key              []byte // RSA, PEM
}

// appTokens gets tokens of an installation, which are valid for an hour:
// https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-an-installation-access-token-for-a-github-app
type appTokens struct {
	connection *connection
	app        App
	key        *rsa.PrivateKey

	mu      sync.Mutex
	current string
	expires time.Time
}

// spare is how long a token has to be valid to be used.
const spare = 5 * time.Minute

func newAppTokens(c *connection, app App) (*appTokens, error) {
	invalid := func(cause, hint string) (*appTokens, error) {
		return nil, &Error{Reason: Invalid, Op: "authenticate as a GitHub App", Cause: cause, Hint: hint}
	}
	block, _ := pem.Decode(app.Key)
	if app.ID == "" || app.Installation == "" || block == nil {
		return invalid("the Secret that spec.feedback.secretRef names lacks some of githubAppID, githubAppInstallationID and githubAppPrivateKey (PEM)", "add them, or a token")
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return &appTokens{connection: c, app: app, key: key}, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, isRSA := parsed.(*rsa.PrivateKey)
	if err != nil || !isRSA {
		return invalid("githubAppPrivateKey is not an RSA key in PEM", "use the file that GitHub generated")
	}
	return &appTokens{connection: c, app: app, key: key}, nil
}

// token returns a token that is valid for some minutes.
func (a *appTokens) token(ctx context.Context) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.current != "" && a.connection.Now().Add(spare).Before(a.expires) {
		return a.current, nil
	}
	proof, err := a.proof()
	if err != nil {
		return "", err
	}
	var answer struct {
		Token   string    `json:"token"`
		Expires time.Time `json:"expires_at"`
	}
	op := operation{"get a token of the GitHub App", "an installation of the App in the account of the repository"}
	r := request{method: http.MethodPost, path: "/app/installations/" + url.PathEscape(a.app.Installation) + "/access_tokens", into: &answer}
	if _, err := a.connection.do(ctx, op, r, proof); err != nil {
		return "", err
	}
	a.current, a.expires = answer.Token, answer.Expires
	return a.current, nil
}

// forget drops a token that the forge does not accept any more, such as after the App was suspended or its permissions changed.
func (a *appTokens) forget(token string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.current == token {
		a.current = ""
	}
}

// proof returns a signed JSON Web Token that proves to be the App:
// https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app
func (a *appTokens) proof() (string, error) {
	now := a.connection.Now()
	claims, err := json.Marshal(map[string]any{"iat": now.Add(-time.Minute).Unix(), "exp": now.Add(9 * time.Minute).Unix(), "iss": a.app.ID})
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	text := strings.Join([]string{encode([]byte(`{"alg":"RS256","typ":"JWT"}`)), encode(claims)}, ".")
	digest := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, a.key, crypto.SHA256, digest[:])
	if err != nil {
		return "", &Error{Reason: Invalid, Op: "authenticate as a GitHub App", Cause: err.Error(), Hint: "generate a new private key"}
	}
	return text + "." + encode(signature), nil
}
