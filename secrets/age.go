package secrets

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/armor"
	"golang.org/x/crypto/ssh"
)

// addAge reads native identities, or an SSH key. It never runs a plugin, because plugins are programs.
func (k *Keys) addAge(content []byte) error {
	if bytes.Contains(content, []byte("PRIVATE KEY-----")) {
		return k.addSSH(content)
	}
	if bytes.Contains(content, []byte("AGE-PLUGIN-")) {
		return errors.New("it is the identity of an age plugin, and plugins are never run; use a key made by age-keygen")
	}
	if bytes.HasPrefix(content, []byte(armor.Header)) || bytes.HasPrefix(content, []byte("age-encryption.org/")) {
		return errors.New("it is an age key under a passphrase, which Berth cannot enter; store the output of age -d instead")
	}
	identities, err := age.ParseIdentities(bytes.NewReader(normalLines(content)))
	if err != nil {
		return errors.New("it holds no age identity, or a broken one; make one with age-keygen") // the library's error quotes it
	}
	for _, identity := range identities {
		switch identity := identity.(type) {
		case *age.X25519Identity:
			k.recipients = append(k.recipients, identity.Recipient().String())
		case *age.HybridIdentity:
			k.recipients = append(k.recipients, identity.Recipient().String())
		}
	}
	k.held.Age = append(k.held.Age, identities...)
	return nil
}

// normalLines trims the whitespace around each line. Editors leave it, and the library rejects it.
func normalLines(content []byte) []byte {
	var out []byte
	for line := range bytes.Lines(content) {
		out = append(append(out, bytes.TrimSpace(line)...), '\n')
	}
	return out
}

func (k *Keys) addSSH(content []byte) error {
	raw, err := ssh.ParseRawPrivateKey(content)
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		return errors.New("it is an SSH key with a passphrase, which Berth cannot enter; use one without")
	case err != nil:
		return errors.New("it is a broken SSH key")
	}
	var identity age.Identity
	switch raw := raw.(type) {
	case *ed25519.PrivateKey:
		identity, err = agessh.NewEd25519Identity(*raw)
	case *rsa.PrivateKey:
		identity, err = agessh.NewRSAIdentity(raw)
	default:
		return errors.New("it is an SSH key of a type that age does not know; age knows ed25519 and rsa")
	}
	if err != nil {
		return errors.New("it is an SSH key that age refuses")
	}
	signer, err := ssh.NewSignerFromKey(raw)
	if err != nil {
		return errors.New("it is a broken SSH key")
	}
	k.held.Age = append(k.held.Age, identity)
	k.recipients = append(k.recipients, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey()))))
	return nil
}
