package environments

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler"
)

// Keys returns the decrypter for the keys in a Secret of the agent's namespace and the remote keys that an entry allows, and
// a digest of those keys. With neither, it returns a decrypter whose errors say so. Implementations answer from memory.
type Keys func(ctx context.Context, secret *types.NamespacedName, allow []string) (reconciler.Decrypter, string, error)

// decrypt adds the entry's decrypter. While its Secret cannot be read, nothing new is applied, because decrypted values
// would look as if they were removed.
func (s *settings) decrypt(ctx context.Context, keys Keys, env *v1alpha1.Environment, entry *v1alpha1.Entry) {
	if keys == nil {
		return
	}
	var secret *types.NamespacedName
	var allow []string
	if d := entry.Decryption; d != nil {
		if d.SecretRef != nil {
			secret = &types.NamespacedName{Namespace: env.Namespace, Name: d.SecretRef.Name}
		}
		allow, s.DecryptedKinds = d.Allow, d.Kinds
	}
	decrypter, digest, err := keys(ctx, secret, allow)
	if err != nil {
		s.Problem = errors.Join(s.Problem, fmt.Errorf("the Secret %s, with which the entry %s decrypts, %w", secret, entry.Name, err))
		return
	}
	if entry.Decryption == nil {
		decrypter = keyless{decrypter, fmt.Sprintf("set decryption.secretRef in entry %s of Repository %s", entry.Name, env.Spec.Repository)}
	}
	s.Decrypter = decrypter
	s.Settings += digest
}

// keyless is the Decrypter of an entry that has no keys.
type keyless struct {
	reconciler.Decrypter
	hint string
}

// Open adds the next step to the error.
func (k keyless) Open(ctx context.Context, file string, content []byte) (reconciler.Opened, error) {
	opened, err := k.Decrypter.Open(ctx, file, content)
	if err != nil {
		err = fmt.Errorf("%w; %s", err, k.hint)
	}
	return opened, err
}
