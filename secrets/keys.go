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

// The entries of a key Secret, named as Flux names them. There may be several with keys of age and PGP.
const (
	ageSuffix  = ".agekey"
	pgpSuffix  = ".asc"
	vaultEntry = "sops.vault-token"
	awsEntry   = "sops.aws-kms"
	gcpEntry   = "sops.gcp-kms"
	azureEntry = "sops.azure-kv"
)

// Keys are what files can be decrypted with. They print as their recipients, never as themselves.
type Keys struct {
	held Held
	// entries are those of the key Secret that are used.
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

// Held returns the keys themselves, for the worker.
func (k *Keys) Held() Held { return k.held }

// ParseKeys reads the data of a key Secret. Entries of age hold native identities (one a line), or an
// SSH key without a passphrase; those of PGP armored private keys without a passphrase; the others
// credentials for remote keys. The error joins what is wrong with each entry; the Keys are then those
// of the others.
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

// Digest stands for the keys where it matters whether they are the same. It changes with every entry
// that is used. The keys cannot be had from it.
func (k *Keys) Digest() string {
	if k == nil {
		return ""
	}
	return k.digest
}

// Recipients returns whom to encrypt for so that these keys decrypt: age recipients and SSH public
// keys, PGP fingerprints, and the entries with credentials for remote keys.
func (k *Keys) Recipients() []string {
	if k == nil {
		return nil
	}
	return slices.Clone(k.recipients)
}

// Unused returns the names of the entries that are no keys, which may be a slip of the pen.
func (k *Keys) Unused() []string { return slices.Clone(k.unused) }

// Format prints the recipients, whatever the verb.
func (k *Keys) Format(state fmt.State, _ rune) {
	_, _ = io.WriteString(state, "keys of "+listed(k.Recipients())) // fmt has nowhere to report an error
}

// LogValue logs the recipients.
func (k *Keys) LogValue() slog.Value { return slog.StringValue("keys of " + listed(k.Recipients())) }
