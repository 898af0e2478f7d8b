package main

import (
	"context"
	"encoding/base64"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/getsops/sops/v3/keyservice"
	"github.com/getsops/sops/v3/kms"
)

// awsSession is the name of the agent's sessions in the logs of AWS.
const awsSession = "berth"

// openAWS decrypts with AWS KMS. It ignores the profile that a file names.
func (c *clouds) openAWS(ctx context.Context, k *keyservice.KmsKey, dataKey string) ([]byte, error) {
	if _, err := base64.StdEncoding.DecodeString(dataKey); err != nil {
		return nil, errBadDataKey
	}
	provider := c.awsCredentials(strings.Split(k.Arn, ":")[3])
	if provider == nil {
		return nil, errNoKey
	}
	key := &kms.MasterKey{Arn: k.Arn, EncryptedKey: dataKey, EncryptionContext: map[string]*string{}}
	for name, value := range k.Context {
		key.EncryptionContext[name] = &value
	}
	kms.NewCredentialsProvider(provider).ApplyToMasterKey(key)
	kms.NewHTTPClient(c.network.client()).ApplyToMasterKey(key)
	return key.DecryptContext(ctx)
}

// awsCredentials returns those of the key Secret, or of the agent's role.
func (c *clouds) awsCredentials(region string) aws.CredentialsProvider {
	identity := c.identity.AWS
	if identity.Region != "" {
		region = identity.Region
	}
	if c.aws[region] != nil {
		return c.aws[region]
	}
	var provider aws.CredentialsProvider
	switch {
	case c.held.AWS.Secret != "":
		return credentials.NewStaticCredentialsProvider(c.held.AWS.ID, c.held.AWS.Secret, c.held.AWS.Session)
	case identity.Assumes():
		client := sts.New(sts.Options{Region: region, HTTPClient: c.network.client(), Retryer: aws.NopRetryer{}})
		provider = stscreds.NewWebIdentityRoleProvider(client, identity.Role, statement{identity.TokenFile, c.network},
			func(o *stscreds.WebIdentityRoleOptions) { o.RoleSessionName = awsSession })
	case identity.CredentialsURL != "":
		provider = endpointcreds.New(identity.CredentialsURL, func(o *endpointcreds.Options) {
			o.HTTPClient, o.Retryer = c.network.client(), aws.NopRetryer{}
			o.AuthorizationTokenProvider = statement{identity.CredentialsTokenFile, c.network}
		})
	default:
		return nil
	}
	c.aws[region] = aws.NewCredentialsCache(contained{provider}, func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = margin })
	return c.aws[region]
}

// contained turns panics into errors. AWS' client panics on answers without credentials, and calls the provider in
// a goroutine of its own.
type contained struct{ aws.CredentialsProvider }

// Retrieve calls the provider.
func (c contained) Retrieve(ctx context.Context) (got aws.Credentials, err error) {
	defer func() {
		if recover() != nil {
			got, err = aws.Credentials{}, errNoToken
		}
	}()
	return c.CredentialsProvider.Retrieve(ctx)
}
