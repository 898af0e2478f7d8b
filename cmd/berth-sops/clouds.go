package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/getsops/sops/v3/keyservice"
	"golang.org/x/oauth2"

	"berth.dev/berth/secrets"
)

// clouds uses remote keys with the credentials of the key Secret, or else with the agent's identity. The key types
// are those of the SOPS library. The clouds' own clients log in, and cache their tokens while these are valid.
type clouds struct {
	held     secrets.Credentials
	identity secrets.Identity
	remote   secrets.Remote
	network  *network

	aws   map[string]aws.CredentialsProvider // by region
	azure azcore.TokenCredential
	gcp   oauth2.TokenSource
	vault map[string]oauth2.TokenSource // by role
}

func newClouds(g secrets.Grant, n *network) *clouds {
	c := &clouds{held: g.Keys.Held().Credentials, remote: g.Remote, network: n}
	if g.Identity != nil {
		c.identity = *g.Identity
	}
	n.metadataHost = c.identity.GCP.MetadataHost
	c.forget()
	return c
}

// forget drops cached tokens, which the services may no longer accept.
func (c *clouds) forget() {
	c.aws, c.azure, c.gcp, c.vault = map[string]aws.CredentialsProvider{}, nil, nil, map[string]oauth2.TokenSource{}
}

// open decrypts a data key. Its errors are those of the network, those of the clients, errNoKey or errBadDataKey.
func (c *clouds) open(ctx context.Context, key secrets.RemoteKey, r *keyservice.DecryptRequest) ([]byte, error) {
	text := string(r.Ciphertext)
	switch key.Kind {
	case secrets.KindAWS:
		return c.openAWS(ctx, r.Key.GetKmsKey(), text)
	case secrets.KindGCP:
		return c.openGCP(ctx, key, text)
	case secrets.KindAzure:
		return c.openAzure(ctx, key, text)
	}
	return c.openVault(ctx, key, text)
}

// statement is a file with the token of the agent's service account. The kubelet replaces it from time to time.
type statement struct {
	file    string
	network *network
}

// maxStatement is the maximum size of a token in a file.
const maxStatement = 64 << 10

func (s statement) read() (string, error) {
	token, err := s.token()
	return token, s.network.note(err)
}

func (s statement) token() (string, error) {
	f, err := os.Open(s.file)
	if err != nil {
		return "", fmt.Errorf("reading the agent's token: %w", err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxStatement))
	if err != nil {
		return "", fmt.Errorf("reading the agent's token: %w", err)
	}
	token := strings.TrimSpace(string(content))
	if token == "" || strings.ContainsAny(token, "\r\n") {
		return "", fmt.Errorf("reading the agent's token: %s holds none", s.file)
	}
	return token, nil
}

// GetIdentityToken implements the interface of AWS' STS client.
func (s statement) GetIdentityToken() ([]byte, error) {
	token, err := s.read()
	return []byte(token), err
}

// GetToken implements the interface of the EKS Pod Identity client. Without a file it returns no token.
func (s statement) GetToken() (string, error) {
	if s.file == "" {
		return "", nil
	}
	return s.read()
}

// tokens is a function that implements oauth2.TokenSource.
type tokens func() (*oauth2.Token, error)

// Token calls the function.
func (t tokens) Token() (*oauth2.Token, error) { return t() }

var errNoToken = errors.New("the answer to the login holds no token")
