package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"

	"cloud.google.com/go/compute/metadata"
	"github.com/getsops/sops/v3/gcpkms"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	"google.golang.org/api/option"

	"berth.dev/berth/secrets"
)

const gcpScope = "https://www.googleapis.com/auth/cloudkms"

// margin is how long before its expiry a credential is no longer used, so that it is valid for the whole call.
const margin = time.Minute

// openGCP decrypts with Google Cloud KMS.
func (c *clouds) openGCP(ctx context.Context, key secrets.RemoteKey, dataKey string) ([]byte, error) {
	if _, err := base64.StdEncoding.DecodeString(dataKey); err != nil {
		return nil, errBadDataKey
	}
	source, err := c.gcpTokens()
	if err != nil {
		return nil, err
	}
	client := c.network.client()
	client.Transport = &oauth2.Transport{Source: source, Base: client.Transport}
	k := &gcpkms.MasterKey{ResourceID: key.ID, EncryptedKey: dataKey}
	gcpkms.NewTokenSource(source).ApplyToMasterKey(k) // then the library looks nowhere else
	gcpkms.UseRESTClient{}.ApplyToMasterKey(k)
	gcpkms.ClientOptions{option.WithHTTPClient(client)}.ApplyToMasterKey(k)
	return k.DecryptContext(ctx)
}

// gcpTokens returns tokens of the service account in the key Secret, or of the agent's.
func (c *clouds) gcpTokens() (oauth2.TokenSource, error) {
	if c.gcp != nil {
		return c.gcp, nil
	}
	var source oauth2.TokenSource
	switch {
	case c.held.GCP != nil:
		account, err := google.JWTConfigFromJSON(c.held.GCP, gcpScope)
		if err != nil {
			return nil, errNoKey // it was checked before
		}
		account.TokenURL = google.JWTTokenURL // the author of the entry must not choose where the agent connects to
		source = account.TokenSource(context.WithValue(context.Background(), oauth2.HTTPClient, c.network.client()))
	case c.identity.GCP.MetadataHost != "":
		source = tokens(c.metadataToken)
	default:
		return nil, errNoKey
	}
	c.gcp = oauth2.ReuseTokenSourceWithExpiry(nil, source, margin)
	return c.gcp, nil
}

// metadataToken fetches the token of the service account of the pod or machine. It fetches it from Google's
// metadata server, whose address is in the environment.
func (c *clouds) metadataToken() (*oauth2.Token, error) {
	ctx, cancel := context.WithTimeout(context.Background(), secrets.RemoteTimeout)
	defer cancel()
	text, err := metadata.NewClient(&http.Client{Transport: c.network}).GetWithContext(ctx, "instance/service-accounts/default/token")
	if err != nil {
		return nil, err
	}
	var answer struct {
		Token   string `json:"access_token"`
		Seconds int    `json:"expires_in"`
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil || answer.Token == "" {
		return nil, errNoToken
	}
	return &oauth2.Token{AccessToken: answer.Token, Expiry: time.Now().Add(time.Duration(answer.Seconds) * time.Second)}, nil
}
