package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"berth.dev/berth/reconciler/agent"
	"berth.dev/berth/reconciler/keyring"
	"berth.dev/berth/reconciler/render"
)

// keyFlags select the keys and the program that decrypt files.
type keyFlags struct{ file, worker string }

// addKeys adds the flags; more describes what happens without a file with keys.
func addKeys(c *cobra.Command, k *keyFlags, more string) {
	addSOPSWorker(c, &k.worker)
	c.Flags().StringVar(&k.file, "keys", "", "file with the keys for encrypted files: age identities, an armored PGP key, or a Secret's YAML; - for the standard input"+more)
}

// locked refuses encrypted files, because their keys are unavailable.
type locked struct {
	keyring.Opener
	why error
}

// Open returns the error that explains why the file stays encrypted.
func (l locked) Open(context.Context, string, []byte) (render.Opened, error) {
	return render.Opened{}, l.why
}

// decrypter returns the Decrypter of an entry, with the keys of the named file. Without a file it uses those of the
// entry's key Secret. Unavailable keys matter only for encrypted files.
func (v *viewer) decrypter(ctx context.Context, s streams, keys keyFlags, c choice) (render.Decrypter, error) {
	if keys.file != "" || c.entry.Decryption == nil || c.entry.Decryption.SecretRef == nil {
		return openerOf(s, keys)
	}
	workers, err := newWorkers(keys.worker, nil)
	if err != nil {
		return nil, err
	}
	name := v.key(c.entry.Decryption.SecretRef.Name)
	decrypter, _, err := keyring.New(keyring.Config{Read: agent.SecretsOf(v), Workers: workers}).Decrypter(ctx, &name, c.entry.Decryption.Allow)
	switch {
	case apierrors.IsForbidden(err):
		return locked{why: fmt.Errorf("the Secret %s with the keys of entry %s cannot be read, because you lack the right; name a file with the keys: --keys FILE", name, c.entry.Name)}, nil
	case err != nil:
		return locked{why: fmt.Errorf("the Secret %s with the keys of entry %s %w", name, c.entry.Name, err)}, nil
	}
	return decrypter, nil
}
