package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"berth.dev/berth/reconciler"
	"berth.dev/berth/reconciler/environments"
	"berth.dev/berth/reconciler/render"
	"berth.dev/berth/secrets"
)

// remoteKeys are the remote keys that may be asked, and as whom.
type remoteKeys struct {
	secrets.Remote
	identity *secrets.Identity
}

// allowRemote adds the flags that list the remote keys which may be asked.
func allowRemote(c *cobra.Command, r *secrets.Remote, vaultToken *string) {
	f := c.Flags()
	f.StringArrayVar(&r.AWS, "allow-aws-kms", nil, "ARN of a key of AWS KMS that may decrypt; may be repeated")
	f.StringArrayVar(&r.GCP, "allow-gcp-kms", nil, "key of GCP KMS that may decrypt: projects/…/cryptoKeys/…, or the beginning of it up to a /; may be repeated")
	f.StringArrayVar(&r.Azure, "allow-azure-kv", nil, "key of Azure Key Vault that may decrypt: https://<vault>/keys/<name>/<version>, or the beginning of it up to a /; may be repeated")
	f.StringArrayVar(&r.Vault, "allow-vault", nil, "key of HashiCorp Vault that may decrypt: https://<address>/v1/<engine>/keys/<name>, or the beginning of it up to a /; or the role that the agent logs in with: https://<address>/v1/auth/<method>/role/<name>; may be repeated")
	f.StringVar(vaultToken, "vault-token-file", serviceAccountToken, "file of the token with which the agent logs in to HashiCorp Vault; best one that is made for Vault alone")
}

// opener is the reconciler.Decrypter that secrets are.
type opener struct{ *secrets.Decrypter }

// keyless is an opener that has no keys. Its errors say how it is given some.
type keyless struct{ opener }

// Open decrypts nothing.
func (k keyless) Open(ctx context.Context, file string, content []byte) (render.Opened, error) {
	opened, err := k.opener.Open(ctx, file, content)
	if err != nil {
		err = fmt.Errorf("%w; name a file with the keys: --keys FILE", err)
	}
	return opened, err
}

// Encrypted says whether a file is for Open.
func (opener) Encrypted(file string, content []byte) bool { return secrets.Encrypted(file, content) }

// Open decrypts a file.
func (o opener) Open(ctx context.Context, file string, content []byte) (render.Opened, error) {
	plain, err := o.Decrypter.Open(ctx, file, content)
	opened := render.Opened{Content: plain.Content, Veiled: plain.Veiled, Values: make(map[string]render.Value, len(plain.Values))}
	for placeholder, value := range plain.Values {
		opened.Values[placeholder] = render.Value(value)
	}
	return opened, err
}

// openerOf decrypts with the keys of a file; without one it decrypts nothing, and says for whom files are.
func openerOf(s streams, k keyFlags) (render.Decrypter, error) {
	if k.file == "" {
		return keyless{opener{secrets.New(secrets.Config{})}}, nil
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
	workers, err := newWorkers(k.worker)
	if err != nil {
		return nil, err
	}
	return opener{secrets.New(secrets.Config{Keys: keys, Workers: workers})}, nil
}

// keyEntries returns what a key Secret would hold of a file. It quotes nothing of it.
func keyEntries(content []byte) (map[string][]byte, error) {
	if bytes.Contains(content, []byte("-----BEGIN PGP")) {
		return map[string][]byte{"key.asc": content}, nil
	}
	var secret corev1.Secret
	if yaml.Unmarshal(content, &secret) != nil || secret.Kind == "" {
		return map[string][]byte{"age.agekey": content}, nil
	}
	if secret.Kind != "Secret" {
		return nil, fmt.Errorf("it is a %s, and no Secret", secret.Kind)
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

// keyring makes Decrypters out of key Secrets, and keeps them for as long as the Secrets are the same. All
// share what they decrypted.
type keyring struct {
	read    environments.Secrets
	remote  remoteKeys
	workers *secrets.Workers
	cache   *secrets.Cache

	mu   sync.Mutex
	kept map[string]heldKeys // by the Secret and what the entry allows
}

type heldKeys struct {
	version   string // of the Secret
	decrypter opener
	digest    string
}

func newKeyring(read environments.Secrets, remote remoteKeys, workers *secrets.Workers) *keyring {
	return &keyring{read: read, remote: remote, workers: workers, cache: secrets.NewCache(0), kept: map[string]heldKeys{}}
}

// keys is the environments.Keys of a keyring.
func (k *keyring) keys(ctx context.Context, name *types.NamespacedName, allow []string) (reconciler.Decrypter, string, error) {
	if name == nil {
		return opener{k.decrypter(nil, allow)}, "", nil
	}
	secret, err := k.read(ctx, *name)
	if apierrors.IsNotFound(err) {
		k.drop(*name)
		return nil, "", errors.New("does not exist; create it with the keys, as in: kubectl create secret generic " + name.Name +
			" -n " + name.Namespace + " --from-file=age.agekey")
	}
	if err != nil {
		return nil, "", fmt.Errorf("cannot be read: %w", err)
	}
	held, err := k.hold(secret, allow)
	if err != nil {
		return nil, "", err
	}
	return held.decrypter, held.digest, nil
}

func (k *keyring) hold(secret *corev1.Secret, allow []string) (heldKeys, error) {
	id := strings.Join(append([]string{secret.Namespace, secret.Name}, slices.Sorted(slices.Values(allow))...), " ")
	version := string(secret.UID) + " " + secret.ResourceVersion
	k.mu.Lock()
	defer k.mu.Unlock()
	if held, ok := k.kept[id]; ok && held.version == version {
		return held, nil
	}
	keys, err := secrets.ParseKeys(secret.Data)
	if err != nil {
		return heldKeys{}, fmt.Errorf("does not hold keys: %w", err)
	}
	held := heldKeys{version: version, digest: keys.Digest(), decrypter: opener{k.decrypter(keys, allow)}}
	k.kept[id] = held
	return held, nil
}

// drop forgets the keys of a Secret that is gone.
func (k *keyring) drop(name types.NamespacedName) {
	k.mu.Lock()
	defer k.mu.Unlock()
	maps.DeleteFunc(k.kept, func(id string, _ heldKeys) bool { return strings.HasPrefix(id+" ", name.Namespace+" "+name.Name+" ") })
}

// decrypter returns one for what an entry has. The agent's identity is for those remote keys alone that the
// entry names: whoever can write a branch could else have it decrypt what is meant for another entry.
func (k *keyring) decrypter(keys *secrets.Keys, allow []string) *secrets.Decrypter {
	c := secrets.Config{Keys: keys, Remote: k.remote.Remote, Cache: k.cache, Workers: k.workers}
	if len(allow) > 0 {
		c.Remote, c.Identity = c.Remote.Narrow(allow), k.remote.identity
	}
	return secrets.New(c)
}
