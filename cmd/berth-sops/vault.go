package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/getsops/sops/v3/hcvault"
	"github.com/hashicorp/vault/api"
	"golang.org/x/oauth2"

	"berth.dev/berth/secrets"
)

// openVault decrypts with the transit engine of HashiCorp Vault, or of OpenBao.
func (c *clouds) openVault(ctx context.Context, key secrets.RemoteKey, dataKey string) ([]byte, error) {
	token, err := c.vaultToken(key)
	if err != nil {
		return nil, err
	}
	address, rest, _ := strings.Cut(key.ID, "/v1/")
	at := strings.LastIndex(rest, "/keys/")
	k := hcvault.NewMasterKey(address, rest[:at], rest[at+len("/keys/"):])
	k.EncryptedKey = dataKey
	hcvault.Token(token).ApplyToMasterKey(k) // then the library looks nowhere else
	hcvault.NewHTTPClient(c.network.client()).ApplyToMasterKey(k)
	return k.DecryptContext(ctx)
}

// vaultToken returns the token of the key Secret, or one for the role that the agent may take.
func (c *clouds) vaultToken(key secrets.RemoteKey) (string, error) {
	if c.held.Vault != "" {
		return c.held.Vault, nil
	}
	roles := c.remote.VaultRoles(key)
	switch {
	case c.identity.Vault.TokenFile == "" || len(roles) == 0:
		return "", errNoKey
	case len(roles) > 1:
		return "", c.network.note(errors.New("several roles are allowed at its address; name one of them in the entry's decryption.allow"))
	case !secrets.Confidential(roles[0]):
		return "", c.network.note(errors.New("the agent does not log in without https"))
	}
	role := roles[0]
	if c.vault[role] == nil {
		c.vault[role] = oauth2.ReuseTokenSourceWithExpiry(nil, tokens(func() (*oauth2.Token, error) { return c.logIn(role) }), margin)
	}
	token, err := c.vault[role].Token()
	if err != nil {
		return "", err
	}
	return token.AccessToken, nil
}

// logIn logs in with the token of the agent's service account.
// https://developer.hashicorp.com/vault/api-docs/auth/kubernetes#login
func (c *clouds) logIn(role string) (*oauth2.Token, error) {
	jwt, err := statement{c.identity.Vault.TokenFile, c.network}.read()
	if err != nil {
		return nil, err
	}
	address, rest, _ := strings.Cut(role, "/v1/")
	at := strings.LastIndex(rest, "/role/")
	config := api.DefaultConfig()
	config.Address, config.HttpClient = address, c.network.client()
	client, err := api.NewClient(config)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), secrets.RemoteTimeout)
	defer cancel()
	answer, err := client.Logical().WriteWithContext(ctx, rest[:at]+"/login", map[string]any{"role": rest[at+len("/role/"):], "jwt": jwt})
	if err != nil {
		return nil, err
	}
	if answer == nil || answer.Auth == nil || answer.Auth.ClientToken == "" {
		return nil, c.network.note(errNoToken)
	}
	return &oauth2.Token{AccessToken: answer.Auth.ClientToken, Expiry: time.Now().Add(time.Duration(answer.Auth.LeaseDuration) * time.Second)}, nil
}
