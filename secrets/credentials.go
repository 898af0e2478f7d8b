package secrets

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Credentials are the credentials for remote keys in a key Secret. Missing ones are zero.
type Credentials struct {
	// Vault is a token.
	Vault string
	AWS   AWSCredentials
	// GCP is the JSON key of a service account.
	GCP   []byte
	Azure AzureCredentials
}

// AWSCredentials belong to a user or a session.
type AWSCredentials struct{ ID, Secret, Session string }

// AzureCredentials belong to a service principal.
type AzureCredentials struct{ Tenant, Client, Secret string }

// entries maps each kind to the entry of the key Secret that holds its credentials.
var entries = map[Kind]string{KindAWS: awsEntry, KindGCP: gcpEntry, KindAzure: azureEntry, KindVault: vaultEntry}

func (c Credentials) has(kind Kind) bool {
	return map[Kind]bool{
		KindAWS: c.AWS.Secret != "", KindGCP: c.GCP != nil, KindAzure: c.Azure.Secret != "", KindVault: c.Vault != "",
	}[kind]
}

func (c Credentials) any() bool {
	return c.has(KindAWS) || c.has(KindGCP) || c.has(KindAzure) || c.has(KindVault)
}

func parseVault(content []byte) (string, error) {
	token := strings.TrimSpace(string(content))
	if token == "" || Printable(token) != token {
		return "", errors.New("it is not a token of Vault")
	}
	return token, nil
}

// parseAWS reads aws_access_key_id, aws_secret_access_key and, if present, aws_session_token.
func parseAWS(content []byte) (AWSCredentials, error) {
	var file struct {
		ID      string `yaml:"aws_access_key_id"`
		Secret  string `yaml:"aws_secret_access_key"`
		Session string `yaml:"aws_session_token"`
	}
	if err := yaml.Unmarshal(content, &file); err != nil || file.ID == "" || file.Secret == "" {
		return AWSCredentials{}, errors.New("it does not hold aws_access_key_id and aws_secret_access_key")
	}
	return AWSCredentials(file), nil
}

// parseGCP checks the JSON key of a service account. It refuses the other files that Google's libraries read, because
// those name programs to run or addresses to ask.
func parseGCP(content []byte) ([]byte, error) {
	var file struct {
		Type       string `json:"type"`
		Email      string `json:"client_email"`
		PrivateKey string `json:"private_key"`
	}
	broken := errors.New("it is not the JSON key of a service account")
	if err := json.Unmarshal(content, &file); err != nil || file.Type != "service_account" {
		return nil, broken
	}
	block, _ := pem.Decode([]byte(file.PrivateKey))
	if block == nil {
		return nil, broken
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if _, ok := parsed.(*rsa.PrivateKey); err != nil || !ok || file.Email == "" {
		return nil, broken
	}
	return content, nil
}

// parseAzure reads tenantId, clientId and clientSecret, in YAML or JSON.
func parseAzure(content []byte) (AzureCredentials, error) {
	var file struct {
		Tenant string `yaml:"tenantId"`
		Client string `yaml:"clientId"`
		Secret string `yaml:"clientSecret"`
	}
	err := yaml.Unmarshal(content, &file)
	if err != nil || !azureTenant.MatchString(file.Tenant) || file.Client == "" || file.Secret == "" {
		return AzureCredentials{}, errors.New("it does not hold tenantId, clientId and clientSecret")
	}
	return AzureCredentials(file), nil
}
