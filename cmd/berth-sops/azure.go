package main

import (
	"context"
	"encoding/base64"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"github.com/getsops/sops/v3/azkv"

	"berth.dev/berth/secrets"
)

// openAzure decrypts with Azure Key Vault.
func (c *clouds) openAzure(ctx context.Context, key secrets.RemoteKey, dataKey string) ([]byte, error) {
	if _, err := base64.RawURLEncoding.DecodeString(dataKey); err != nil {
		return nil, errBadDataKey
	}
	credential, err := c.azureCredential()
	if err != nil {
		return nil, err
	}
	vault, rest, _ := strings.Cut(key.ID, "/keys/")
	name, version, _ := strings.Cut(rest, "/")
	k := azkv.NewMasterKey(vault, name, version)
	k.EncryptedKey = dataKey
	azkv.NewTokenCredential(credential).ApplyToMasterKey(k)
	azkv.NewClientOptions(&azkeys.ClientOptions{ClientOptions: c.azureOptions()}).ApplyToMasterKey(k)
	return k.DecryptContext(ctx)
}

func (c *clouds) azureOptions() azcore.ClientOptions {
	options := azcore.ClientOptions{Transport: c.network.client(), Retry: policy.RetryOptions{MaxRetries: -1}}
	if authority := c.identity.Azure.Authority; authority != "" {
		options.Cloud = cloud.Configuration{ActiveDirectoryAuthorityHost: authority}
	}
	return options
}

// azureCredential returns the service principal of the key Secret, or the agent's identity.
func (c *clouds) azureCredential() (azcore.TokenCredential, error) {
	var err error
	identity := c.identity.Azure
	switch {
	case c.azure != nil:
	case c.held.Azure.Secret != "":
		c.azure, err = azidentity.NewClientSecretCredential(c.held.Azure.Tenant, c.held.Azure.Client, c.held.Azure.Secret,
			&azidentity.ClientSecretCredentialOptions{ClientOptions: c.azureOptions(), DisableInstanceDiscovery: true})
	case identity.TokenFile != "":
		file := statement{identity.TokenFile, c.network}
		c.azure, err = azidentity.NewClientAssertionCredential(identity.Tenant, identity.Client, func(context.Context) (string, error) { return file.read() },
			&azidentity.ClientAssertionCredentialOptions{ClientOptions: c.azureOptions(), DisableInstanceDiscovery: true})
	default:
		return nil, errNoKey
	}
	return c.azure, err
}
