package main

import (
	"fmt"

	"berth.dev/berth/secrets"
)

// serviceAccountToken is the path of the service account's token in every pod.
const serviceAccountToken = "/var/run/secrets/kubernetes.io/serviceaccount/token"

// newIdentity returns the credentials that authenticate the agent to the services of the listed remote keys. The
// clouds' webhooks put these into the pod's environment. It ignores the credentials of services without a listed
// key.
func newIdentity(listed secrets.Remote, vaultToken string, getenv func(string) string) (*secrets.Identity, error) {
	c := secrets.IdentityConfig{}
	if len(listed.AWS) > 0 {
		c.AWS = secrets.AWSIdentity{
			Role: getenv("AWS_ROLE_ARN"), TokenFile: getenv("AWS_WEB_IDENTITY_TOKEN_FILE"), Region: getenv("AWS_REGION"),
			CredentialsURL: getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI"), CredentialsTokenFile: getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
		}
	}
	if len(listed.GCP) > 0 {
		c.GCP.MetadataHost = secrets.GCPMetadataHost
		if host := getenv("GCE_METADATA_HOST"); host != "" {
			c.GCP.MetadataHost = host
		}
	}
	if len(listed.Azure) > 0 {
		c.Azure = secrets.AzureIdentity{
			Tenant: getenv("AZURE_TENANT_ID"), Client: getenv("AZURE_CLIENT_ID"),
			TokenFile: getenv("AZURE_FEDERATED_TOKEN_FILE"), Authority: getenv("AZURE_AUTHORITY_HOST"),
		}
	}
	if len(listed.Vault) > 0 {
		c.Vault.TokenFile = vaultToken
	}
	identity, err := secrets.NewIdentity(c)
	if err != nil {
		return nil, fmt.Errorf("reading the agent's identity for remote keys: %w", err)
	}
	return identity, nil
}
