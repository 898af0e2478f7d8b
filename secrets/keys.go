package secrets

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"filippo.io/age"
	"github.com/ProtonMail/go-crypto/openpgp"
)

// The entries of a key Secret, with the names that Flux uses. Several may hold age and PGP keys.
const (
	ageSuffix  = ".agekey"
	pgpSuffix  = ".asc"
	vaultEntry = "sops.vault-token"
	awsEntry   = "sops.aws-kms"
	gcpEntry   = "sops.gcp-kms"
	azureEntry = "sops.azure-kv"
)

// Keys are the keys and credentials of a key Secret. They print as their recipients, never as themselves.
type Keys struct {
	held Held
	// entries are the used entries of the key Secret.
	entries    map[string][]byte
	recipients []string
	digest     string
	unused     []string
}

// Held are the keys themselves.
type Held struct {
	Age         []age.Identity
	PGP         openpgp.EntityList
	Credentials Credentials
}

// Held returns the keys themselves. Only the worker needs them.
func (k *Keys) Held() Held { return k.held }

// ParseKeys reads the data of a key Secret. Entries for age hold native identities (one per line), or an SSH key
// without a passphrase. Entries for PGP hold armored private keys without a passphrase. The others hold credentials for
// remote keys. The error joins the problems of all invalid entries; the returned Keys hold the valid ones.
func ParseKeys(data map[string][]byte) (*Keys, error) {
	k := &Keys{entries: map[string][]byte{}}
	var problems []error
	digest := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(data)) {
		used, err := k.add(name, data[name])
		if err != nil {
			problems = append(problems, fmt.Errorf("reading key entry %q: %w", name, err))
			continue
		}
		if !used {
			k.unused = append(k.unused, name)
			continue
		}
		k.entries[name] = data[name]
		content := sha256.Sum256(data[name])
		fmt.Fprintf(digest, "%q %x\n", name, content)
	}
	k.digest = hex.EncodeToString(digest.Sum(nil))
	if k.empty() && len(problems) == 0 {
		problems = append(problems, fmt.Errorf("there is no key: entries are named *%s, *%s, %s, %s, %s or %s",
			ageSuffix, pgpSuffix, vaultEntry, awsEntry, gcpEntry, azureEntry))
	}
	return k, errors.Join(problems...)
}

func (k *Keys) empty() bool {
	return len(k.held.Age) == 0 && len(k.held.PGP) == 0 && !k.held.Credentials.any()
}

func (k *Keys) add(name string, content []byte) (used bool, err error) {
	switch {
	case strings.HasSuffix(name, ageSuffix):
		return true, k.addAge(content)
	case strings.HasSuffix(name, pgpSuffix):
		return true, k.addPGP(content)
	case name == vaultEntry:
		k.held.Credentials.Vault, err = parseVault(content)
	case name == awsEntry:
		k.held.Credentials.AWS, err = parseAWS(content)
	case name == gcpEntry:
		k.held.Credentials.GCP, err = parseGCP(content)
	case name == azureEntry:
		k.held.Credentials.Azure, err = parseAzure(content)
	default:
		return false, nil
	}
	if err == nil {
		k.recipients = append(k.recipients, name)
	}
	return true, err
}

// Digest identifies the keys, to compare sets of keys. It changes with every used entry, and does not reveal the keys.
func (k *Keys) Digest() string {
	if k == nil {
		return ""
	}
	return k.digest
}

// Recipients returns the recipients that these keys can decrypt for: age recipients, SSH public keys, PGP fingerprints,
// and the entries with credentials for remote keys.
func (k *Keys) Recipients() []string {
	if k == nil {
		return nil
	}
	return slices.Clone(k.recipients)
}

// Unused returns the names of the entries that are not keys, because one may be a typo.
func (k *Keys) Unused() []string { return slices.Clone(k.unused) }

// Format prints the recipients, whatever the verb.
func (k *Keys) Format(state fmt.State, _ rune) {
	_, _ = io.WriteString(state, "keys of "+listed(k.Recipients())) // fmt has nowhere to report an error
}

// LogValue logs the recipients.
func (k *Keys) LogValue() slog.Value { return slog.StringValue("keys of " + listed(k.Recipients())) }
