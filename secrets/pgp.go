package secrets

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
)

func (k *Keys) addPGP(content []byte) error {
	entities, err := readArmored(content)
	if err != nil {
		return errors.New("it holds no armored PGP key; export one with: gpg --export-secret-keys --armor")
	}
	found := false
	for _, entity := range entities {
		if entity.PrivateKey == nil && !hasPrivateSubkey(entity) {
			continue // a public key, exported together with the private ones
		}
		if isLocked(entity) {
			return errors.New("it is a PGP key with a passphrase, which Berth cannot enter; export one without")
		}
		found = true
		k.held.PGP = append(k.held.PGP, entity)
		k.recipients = append(k.recipients, strings.ToUpper(hex.EncodeToString(entity.PrimaryKey.Fingerprint)))
	}
	if !found {
		return errors.New("it holds a public PGP key; export the private one with: gpg --export-secret-keys --armor")
	}
	return nil
}

// readArmored reads all blocks of an entry; the library reads only the first.
func readArmored(content []byte) (openpgp.EntityList, error) {
	begin := []byte("-----BEGIN PGP")
	blocks := bytes.Split(content, begin)
	if len(blocks) == 1 {
		return nil, errors.New("no block")
	}
	var all openpgp.EntityList
	for _, block := range blocks[1:] {
		entities, err := openpgp.ReadArmoredKeyRing(io.MultiReader(bytes.NewReader(begin), bytes.NewReader(block)))
		if err != nil {
			return nil, err
		}
		all = append(all, entities...)
	}
	return all, nil
}

func hasPrivateSubkey(entity *openpgp.Entity) bool {
	for _, sub := range entity.Subkeys {
		if sub.PrivateKey != nil {
			return true
		}
	}
	return false
}

func isLocked(entity *openpgp.Entity) bool {
	if entity.PrivateKey != nil && entity.PrivateKey.Encrypted {
		return true
	}
	for _, sub := range entity.Subkeys {
		if sub.PrivateKey != nil && sub.PrivateKey.Encrypted {
			return true
		}
	}
	return false
}
