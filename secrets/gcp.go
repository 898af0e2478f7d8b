package secrets

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/url"
	"time"
)

const (
	gcpTokenURL = "https://oauth2.googleapis.com/token"
	gcpKMS      = "https://cloudkms.googleapis.com/v1/"
	gcpScope    = "https://www.googleapis.com/auth/cloudkms"

	// gcpTokenPath is where metadata servers have it, and gcpFlavor the header by which both sides know
	// that it is one who talks to one.
	gcpTokenPath = "/computeMetadata/v1/instance/service-accounts/default/token"
	gcpFlavor    = "Metadata-Flavor"
)

// gcpCredentials are those of a service account.
type gcpCredentials struct {
	email, keyID string
	key          *rsa.PrivateKey
}

// parseGCP reads the JSON key of a service account. The address for tokens that it names is not used:
// whoever wrote the entry does not choose where the agent connects to.
func parseGCP(content []byte) (gcpCredentials, error) {
	var file struct {
		Type       string `json:"type"`
		Email      string `json:"client_email"`
		KeyID      string `json:"private_key_id"`
		PrivateKey string `json:"private_key"`
	}
	broken := errors.New("it is not the JSON key of a service account")
	if err := json.Unmarshal(content, &file); err != nil || file.Type != "service_account" {
		return gcpCredentials{}, broken
	}
	block, _ := pem.Decode([]byte(file.PrivateKey))
	if block == nil {
		return gcpCredentials{}, broken
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := parsed.(*rsa.PrivateKey)
	if err != nil || !ok || file.Email == "" {
		return gcpCredentials{}, broken
	}
	return gcpCredentials{email: file.Email, keyID: file.KeyID, key: key}, nil
}

// openGCP asks Google Cloud KMS.
// https://cloud.google.com/kms/docs/reference/rest/v1/projects.locations.keyRings.cryptoKeys/decrypt
func (s *remoteService) openGCP(r recipient) ([]byte, error) {
	ciphertext, err := base64.StdEncoding.DecodeString(r.dataKey)
	if err != nil {
		return nil, errBadDataKey
	}
	token, err := s.gcpToken()
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(map[string][]byte{"ciphertext": ciphertext})
	if err != nil {
		return nil, errBadDataKey
	}
	header := http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"}}
	var answer struct {
		Plaintext []byte `json:"plaintext"`
	}
	if err := s.post(gcpKMS+r.remote.id+":decrypt", header, body, &answer); err != nil {
		return nil, err
	}
	return answer.Plaintext, nil
}

// gcpToken exchanges a signed statement of who we are (RFC 7523) for a token, or takes that of the agent.
func (s *remoteService) gcpToken() (string, error) {
	account := s.credentials.gcp
	if account.key == nil {
		return s.identity.gcpToken()
	}
	now := s.now()
	header, err := json.Marshal(map[string]string{"alg": "RS256", "typ": "JWT", "kid": account.keyID})
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(map[string]any{"iss": account.email, "scope": gcpScope, "aud": gcpTokenURL,
		"iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix()})
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	statement := encode(header) + "." + encode(claims)
	digest := sha256.Sum256([]byte(statement))
	signature, err := rsa.SignPKCS1v15(rand.Reader, account.key, crypto.SHA256, digest[:])
	if err != nil {
		return "", errors.New("the key of the service account does not sign")
	}
	token, err := s.askOAuth(gcpTokenURL, url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"},
		"assertion":  {statement + "." + encode(signature)},
	})
	return token.Value, err
}

// gcpToken takes the token of the pod's, or the machine's, service account from Google's metadata server.
// https://cloud.google.com/compute/docs/access/authenticate-workloads#applications
func (i *Identity) gcpToken() (string, error) {
	if i == nil || i.GCP.MetadataHost == "" {
		return "", errNoKey
	}
	return i.gcp.get("", i.Now(), func() (string, time.Time, error) {
		var token oauthToken
		err := i.exchange(http.MethodGet, "http://"+i.GCP.MetadataHost+gcpTokenPath, http.Header{gcpFlavor: {"Google"}}, nil,
			func(content []byte, header http.Header) error {
				if header.Get(gcpFlavor) != "Google" { // other clouds have a server at the same address
					return errors.New("not Google")
				}
				return token.read(content)
			})
		return token.Value, token.end(i.Now()), err
	})
}
