package secrets

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

const (
	azureLogin     = "https://login.microsoftonline.com/"
	azureTokenPath = "/oauth2/v2.0/token"
	azureAPI       = "?api-version=7.4"
)

// azureCredentials are those of a service principal.
type azureCredentials struct{ tenant, client, secret string }

var azureTenant = regexp.MustCompile(`^[A-Za-z0-9.-]+$`)

// parseAzure reads tenantId, clientId and clientSecret, in YAML or JSON.
func parseAzure(content []byte) (azureCredentials, error) {
	var file struct {
		Tenant string `yaml:"tenantId"`
		Client string `yaml:"clientId"`
		Secret string `yaml:"clientSecret"`
	}
	err := yaml.Unmarshal(content, &file)
	if err != nil || !azureTenant.MatchString(file.Tenant) || file.Client == "" || file.Secret == "" {
		return azureCredentials{}, errors.New("it does not hold tenantId, clientId and clientSecret")
	}
	return azureCredentials{file.Tenant, file.Client, file.Secret}, nil
}

// openAzure asks Azure Key Vault.
// https://learn.microsoft.com/en-us/rest/api/keyvault/keys/decrypt/decrypt
func (s *remoteService) openAzure(r recipient) ([]byte, error) {
	u, err := url.Parse(r.remote.id)
	if err != nil {
		return nil, errBadDataKey
	}
	_, cloud, _ := strings.Cut(u.Hostname(), ".") // vault.azure.net, and others for other clouds
	token, err := s.azureToken("https://" + cloud + "/.default")
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(map[string]string{"alg": "RSA-OAEP-256", "value": r.dataKey})
	if err != nil {
		return nil, errBadDataKey
	}
	header := http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"}}
	var answer struct {
		Value string `json:"value"`
	}
	if err := s.post(r.remote.id+"/decrypt"+azureAPI, header, body, &answer); err != nil {
		return nil, err
	}
	share, err := base64.RawURLEncoding.DecodeString(answer.Value)
	if err != nil {
		return nil, errors.New("the answer holds no key")
	}
	return share, nil
}

// azureToken takes a token from Entra, for the service principal or for the agent.
func (s *remoteService) azureToken(scope string) (string, error) {
	account := s.credentials.azure
	if account.secret == "" {
		return s.identity.azureToken(scope)
	}
	token, err := s.askOAuth(azureLogin+account.tenant+azureTokenPath, url.Values{
		"grant_type": {"client_credentials"}, "client_id": {account.client}, "client_secret": {account.secret}, "scope": {scope},
	})
	return token.Value, err
}

// azureToken shows Entra the token of the agent's service account.
// https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-client-creds-grant-flow#third-case-access-token-request-with-a-federated-credential
func (i *Identity) azureToken(scope string) (string, error) {
	if i == nil || i.Azure.TokenFile == "" {
		return "", errNoKey
	}
	return i.azure.get(scope, i.Now(), func() (string, time.Time, error) {
		statement, err := tokenIn(i.Azure.TokenFile)
		if err != nil {
			return "", time.Time{}, err
		}
		token, err := i.askOAuth(strings.TrimRight(i.Azure.Authority, "/")+"/"+i.Azure.Tenant+azureTokenPath, url.Values{
			"grant_type": {"client_credentials"}, "client_id": {i.Azure.Client}, "scope": {scope},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {statement},
		})
		return token.Value, token.end(i.Now()), err
	})
}
