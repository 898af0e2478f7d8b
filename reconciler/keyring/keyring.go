// Package keyring makes decrypters from the key Secrets of entries and from the agent's identity.
package keyring

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/reconciler/render"
	"berth.dev/berth/secrets"
)

// Config configures a Keyring.
type Config struct {
	// Read reads a Secret. It is expected to answer from memory.
	Read func(ctx context.Context, name types.NamespacedName) (*corev1.Secret, error)
	// Remote lists the remote keys that may be used at all, and Identity is what proves the agent to their services. The
	// zero values allow none.
	Remote   secrets.Remote
	Identity *secrets.Identity
	// Workers decrypt.
	Workers *secrets.Workers
}

// Keyring keeps the decrypters of key Secrets for as long as the Secrets do not change. All share a cache of what they
// decrypted.
type Keyring struct {
	Config
	cache *secrets.Cache

	mu   sync.Mutex
	kept map[string]keys // by the Secret and what the entry allows
}

// keys are those of one version of a Secret.
type keys struct {
	version string
	opener  Opener
	digest  string
}

// New returns an empty Keyring.
func New(c Config) *Keyring {
	return &Keyring{Config: c, cache: secrets.NewCache(0), kept: map[string]keys{}}
}

// Decrypter returns what decrypts with the keys of a Secret (nil: none) and with the remote keys that an entry allows, and
// a digest of the keys. Its error completes a sentence that begins with the Secret.
func (k *Keyring) Decrypter(ctx context.Context, name *types.NamespacedName, allow []string) (render.Decrypter, string, error) {
	if name == nil {
		return Opener{k.decrypter(nil, allow)}, "", nil
	}
	secret, err := k.Read(ctx, *name)
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
	return held.opener, held.digest, nil
}

// hold returns the keys of a Secret, which it parses once for each version.
func (k *Keyring) hold(secret *corev1.Secret, allow []string) (keys, error) {
	id := strings.Join(append([]string{secret.Namespace, secret.Name}, slices.Sorted(slices.Values(allow))...), " ")
	version := string(secret.UID) + " " + secret.ResourceVersion
	k.mu.Lock()
	defer k.mu.Unlock()
	if held, ok := k.kept[id]; ok && held.version == version {
		return held, nil
	}
	parsed, err := secrets.ParseKeys(secret.Data)
	if err != nil {
		return keys{}, fmt.Errorf("does not hold keys: %w", err)
	}
	held := keys{version: version, digest: parsed.Digest(), opener: Opener{k.decrypter(parsed, allow)}}
	k.kept[id] = held
	return held, nil
}

// drop forgets the keys of a Secret that does not exist any more.
func (k *Keyring) drop(name types.NamespacedName) {
	k.mu.Lock()
	defer k.mu.Unlock()
	maps.DeleteFunc(k.kept, func(id string, _ keys) bool { return strings.HasPrefix(id+" ", name.Namespace+" "+name.Name+" ") })
}

// decrypter returns one for an entry. It may use the agent's identity only for the remote keys that the entry names:
// otherwise a branch could have files decrypted that are encrypted for another entry.
func (k *Keyring) decrypter(parsed *secrets.Keys, allow []string) *secrets.Decrypter {
	c := secrets.Config{Keys: parsed, Remote: k.Remote, Cache: k.cache, Workers: k.Workers}
	if len(allow) > 0 {
		c.Remote, c.Identity = c.Remote.Narrow(allow), k.Identity
	}
	return secrets.New(c)
}

// Opener is a render.Decrypter that decrypts by package secrets.
type Opener struct{ *secrets.Decrypter }

// Encrypted reports whether Open has to decrypt a file.
func (Opener) Encrypted(file string, content []byte) bool { return secrets.Encrypted(file, content) }

// Open decrypts a file.
func (o Opener) Open(ctx context.Context, file string, content []byte) (render.Opened, error) {
	plain, err := o.Decrypter.Open(ctx, file, content)
	opened := render.Opened{Content: plain.Content, Veiled: plain.Veiled, Values: make(map[string]render.Value, len(plain.Values))}
	for placeholder, value := range plain.Values {
		opened.Values[placeholder] = render.Value(value)
	}
	return opened, err
}
