package main

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"

	agelib "filippo.io/age"
	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/getsops/sops/v3/age"
	"github.com/getsops/sops/v3/keyservice"
	"google.golang.org/grpc"

	"berth.dev/berth/secrets"
)

var (
	errNoKey      = errors.New("encrypted for others")
	errBadDataKey = errors.New("the encrypted data key is broken")
)

// keyService decrypts data keys for the library, with the keys of the grant. The library's own service looks for
// keys in the environment, the home directory and the output of programs. It also calls any service that a file
// names.
type keyService struct {
	grant   secrets.Grant
	held    secrets.Held
	network *network
	clouds  *clouds

	// ctx is the file's context, and worst the most informative error about the file so far.
	ctx   context.Context
	worst *secrets.Error
}

func newKeyService(g secrets.Grant, n *network) *keyService {
	return &keyService{grant: g, held: g.Keys.Held(), network: n, clouds: newClouds(g, n)}
}

// begin prepares for another file.
func (s *keyService) begin(ctx context.Context) { s.ctx, s.worst = ctx, nil }

// Encrypt implements the library's interface; nothing is encrypted here.
func (s *keyService) Encrypt(context.Context, *keyservice.EncryptRequest, ...grpc.CallOption) (*keyservice.EncryptResponse, error) {
	return nil, errNotHere
}

// Decrypt decrypts a data key, or a part of one. The library's context never ends, so the service has its own.
func (s *keyService) Decrypt(_ context.Context, r *keyservice.DecryptRequest, _ ...grpc.CallOption) (*keyservice.DecryptResponse, error) {
	share, err := s.recover(r)
	if err == nil && len(share) > 0 {
		return &keyservice.DecryptResponse{Plaintext: share}, nil
	}
	s.worst = secrets.Graver(s.worst, s.explain(r.Key, err))
	return nil, s.worst
}

func (s *keyService) recover(r *keyservice.DecryptRequest) ([]byte, error) {
	switch key := r.Key.KeyType.(type) {
	case *keyservice.Key_AgeKey:
		return s.openAge(r.Ciphertext)
	case *keyservice.Key_PgpKey:
		return s.openPGP(r.Ciphertext)
	case *keyservice.Key_KmsKey:
		return s.remote(secrets.AWSKey(key.KmsKey.Arn, key.KmsKey.Role), r)
	case *keyservice.Key_GcpKmsKey:
		return s.remote(secrets.GCPKey(key.GcpKmsKey.ResourceId), r)
	case *keyservice.Key_AzureKeyvaultKey:
		return s.remote(secrets.AzureKey(key.AzureKeyvaultKey.VaultUrl, key.AzureKeyvaultKey.Name, key.AzureKeyvaultKey.Version), r)
	case *keyservice.Key_VaultKey:
		return s.remote(secrets.VaultKey(key.VaultKey.VaultAddress, key.VaultKey.EnginePath, key.VaultKey.KeyName), r)
	case *keyservice.Key_HckmsKey:
		return nil, &secrets.Error{Reason: secrets.NotAllowed, Detail: key.HckmsKey.KeyId + " is a key of Huawei Cloud, which is not supported"}
	}
	return nil, errNoKey
}

// explain classifies the error that prevents decrypting the data key.
func (s *keyService) explain(key *keyservice.Key, err error) *secrets.Error {
	var known *secrets.Error
	name := nameOf(key)
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, errNoKey) && !slices.Contains(s.grant.Keys.Recipients(), name):
		return &secrets.Error{Reason: secrets.NoKey}
	}
	return tampered("its data key for " + secrets.Shortened(name) + " is broken")
}

func nameOf(key *keyservice.Key) string {
	switch key := key.KeyType.(type) {
	case *keyservice.Key_AgeKey:
		return key.AgeKey.Recipient
	case *keyservice.Key_PgpKey:
		return key.PgpKey.Fingerprint
	}
	return "a remote key"
}

// openAge decrypts with the identities of the grant. Given identities, the library looks nowhere else.
func (s *keyService) openAge(dataKey []byte) ([]byte, error) {
	if len(s.held.Age) == 0 {
		return nil, errNoKey
	}
	key := &age.MasterKey{EncryptedKey: string(dataKey)}
	age.ParsedIdentities(s.held.Age).ApplyToMasterKey(key)
	share, err := key.Decrypt()
	switch {
	case errors.As(err, new(*agelib.NoIdentityMatchError)):
		return nil, errNoKey
	case err != nil:
		return nil, errBadDataKey
	}
	return share, nil
}

// maxShare is the maximum size of a decrypted data key, or of a part of one.
const maxShare = 1 << 10

// openPGP decrypts without the library, which always runs gpg in the end.
func (s *keyService) openPGP(dataKey []byte) ([]byte, error) {
	if len(s.held.PGP) == 0 {
		return nil, errNoKey
	}
	block, err := armor.Decode(strings.NewReader(string(dataKey)))
	if err != nil {
		return nil, errBadDataKey
	}
	message, err := openpgp.ReadMessage(block.Body, s.held.PGP, nil, nil)
	if err != nil || message.DecryptedWith.Entity == nil {
		return nil, errNoKey // go-crypto returns the same error for messages to others and for broken ones
	}
	share, err := io.ReadAll(io.LimitReader(message.UnverifiedBody, maxShare))
	if err != nil {
		return nil, errBadDataKey
	}
	return share, nil
}

// remote calls a service if the grant allows the key. It checks the key as the library parsed it from the file.
func (s *keyService) remote(key secrets.RemoteKey, r *keyservice.DecryptRequest) ([]byte, error) {
	if err := s.grant.Remote.Allows(key); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(s.ctx, 2*secrets.RemoteTimeout)
	defer cancel()
	s.network.begin()
	share, err := s.clouds.open(ctx, key, r)
	var known *secrets.Error
	switch {
	case err == nil && len(share) > 0, errors.Is(err, errBadDataKey), errors.As(err, &known):
		return share, err
	case errors.Is(err, errNoKey):
		return nil, &secrets.Error{Reason: secrets.NoKey, Detail: "for " + key.ID + " there are no credentials"}
	}
	if s.network.refused() {
		s.clouds.forget()
	}
	return nil, &secrets.Error{Reason: secrets.Unreachable, Detail: key.ID + ": " + s.network.explain(err)}
}
