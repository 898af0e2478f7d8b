package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"berth.dev/berth/reconciler/keyring"
	"berth.dev/berth/reconciler/render"
	"berth.dev/berth/secrets"
)

// allowRemote adds the flags that list the remote keys that may be used.
func allowRemote(c *cobra.Command, r *secrets.Remote, vaultToken *string) {
	f := c.Flags()
	f.StringArrayVar(&r.AWS, "allow-aws-kms", nil, "ARN of a key of AWS KMS that may decrypt; may be repeated")
	f.StringArrayVar(&r.GCP, "allow-gcp-kms", nil, "key of GCP KMS that may decrypt: projects/…/cryptoKeys/…, or the beginning of it up to a /; may be repeated")
	f.StringArrayVar(&r.Azure, "allow-azure-kv", nil, "key of Azure Key Vault that may decrypt: https://<vault>/keys/<name>/<version>, or the beginning of it up to a /; may be repeated")
	f.StringArrayVar(&r.Vault, "allow-vault", nil, "key of HashiCorp Vault that may decrypt: https://<address>/v1/<engine>/keys/<name>, or the beginning of it up to a /; or the role that the agent logs in with: https://<address>/v1/auth/<method>/role/<name>; may be repeated")
	f.StringVar(vaultToken, "vault-token-file", serviceAccountToken, "file with the token for logging in to HashiCorp Vault; preferably a token issued only for Vault")
}

// keyless is an Opener without keys. Its errors name the flags that provide keys.
type keyless struct{ keyring.Opener }

// Open returns an error for every encrypted file.
func (k keyless) Open(ctx context.Context, file string, content []byte) (render.Opened, error) {
	opened, err := k.Opener.Open(ctx, file, content)
	if err != nil {
		err = fmt.Errorf("%w; name a file with the keys: --keys FILE", err)
	}
	return opened, err
}

// openerOf returns a Decrypter with the keys of a file. Without a file it decrypts nothing, and its errors name the
// recipients.
func openerOf(s streams, k keyFlags) (render.Decrypter, error) {
	if k.file == "" {
		return keyless{keyring.Opener{Decrypter: secrets.New(secrets.Config{})}}, nil
	}
	content, err := readFile(s, k.file)
	if err != nil {
		return nil, fmt.Errorf("reading the keys: %w", err)
	}
	data, err := keyEntries(content)
	if err != nil {
		return nil, fmt.Errorf("reading the keys in %s: %w", k.file, err)
	}
	keys, err := secrets.ParseKeys(data)
	if err != nil {
		return nil, fmt.Errorf("reading the keys in %s: %w", k.file, err)
	}
	workers, err := newWorkers(k.worker, nil)
	if err != nil {
		return nil, err
	}
	return keyring.Opener{Decrypter: secrets.New(secrets.Config{Keys: keys, Workers: workers})}, nil
}

// keyEntries returns a file as the entries of a key Secret. Its errors quote nothing of the file.
func keyEntries(content []byte) (map[string][]byte, error) {
	if bytes.Contains(content, []byte("-----BEGIN PGP")) {
		return map[string][]byte{"key.asc": content}, nil
	}
	var secret corev1.Secret
	if yaml.Unmarshal(content, &secret) != nil || secret.Kind == "" {
		return map[string][]byte{"age.agekey": content}, nil
	}
	if secret.Kind != "Secret" {
		return nil, fmt.Errorf("it is a %s, not a Secret", secret.Kind)
	}
	entries := maps.Clone(secret.Data)
	if entries == nil {
		entries = map[string][]byte{}
	}
	for name, text := range secret.StringData {
		entries[name] = []byte(text)
	}
	return entries, nil
}
