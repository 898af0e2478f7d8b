package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/secrets"
	"filippo.io/age"
	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	sopsage "github.com/getsops/sops/v3/age"
	"github.com/getsops/sops/v3/config"
	"github.com/getsops/sops/v3/keys"
	"github.com/getsops/sops/v3/pgp"
	"github.com/getsops/sops/v3/shamir"
	"github.com/getsops/sops/v3/stores/dotenv"
	"github.com/getsops/sops/v3/stores/ini"
	"github.com/getsops/sops/v3/stores/json"
	"github.com/getsops/sops/v3/stores/yaml"
)

func allStores() map[string]sops.Store {
	return map[string]sops.Store{
		"yaml":   yaml.NewStore(&config.YAMLStoreConfig{}),
		"json":   json.NewStore(&config.JSONStoreConfig{Indent: -1}),
		"dotenv": dotenv.NewStore(&config.DotenvStoreConfig{}),
		"ini":    ini.NewStore(&config.INIStoreConfig{}),
		"binary": json.NewBinaryStore(&config.JSONBinaryStoreConfig{Indent: -1}),
	}
}

var cut = time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)

// sealed is a file as the library encrypts it, and as it decrypts it again.
type sealed struct {
	encrypted, decrypted []byte
}

// seal encrypts a plain file with the library, for groups of recipients.
func seal(t *testing.T, format, plain string, meta sops.Metadata, groups ...[]keys.MasterKey) sealed {
	t.Helper()
	store := allStores()[format]
	branches, err := store.LoadPlainFile([]byte(plain))
	if err != nil {
		t.Fatalf("loading %q: %v", plain, err)
	}
	meta.LastModified, meta.Version = cut, "3.13.3"
	key := []byte("0123456789abcdef0123456789abcdef")
	shares := [][]byte{key}
	if len(groups) > 1 {
		if shares, err = shamir.Split(key, len(groups), meta.ShamirThreshold); err != nil {
			t.Fatal(err)
		}
	}
	for i, group := range groups {
		for _, recipient := range group {
			if err := recipient.Encrypt(shares[i]); err != nil {
				t.Fatal(err)
			}
		}
		meta.KeyGroups = append(meta.KeyGroups, sops.KeyGroup(group))
	}
	tree := sops.Tree{Branches: branches, Metadata: meta}
	mac, err := tree.Encrypt(key, aes.NewCipher())
	if err != nil {
		t.Fatalf("encrypting %q: %v", plain, err)
	}
	tree.Metadata.MessageAuthenticationCode, err = aes.NewCipher().Encrypt(mac, key, cut.Format(time.RFC3339))
	if err != nil {
		t.Fatal(err)
	}
	encrypted, err := store.EmitEncryptedFile(tree)
	if err != nil {
		t.Fatalf("emitting %q: %v", plain, err)
	}
	return sealed{encrypted, unseal(t, format, encrypted, key)}
}

// unseal decrypts a file with the library.
func unseal(t *testing.T, format string, encrypted, key []byte) []byte {
	t.Helper()
	store := allStores()[format]
	tree, err := store.LoadEncryptedFile(encrypted)
	if err != nil {
		t.Fatalf("loading %s: %v", encrypted, err)
	}
	mac, err := tree.Decrypt(key, aes.NewCipher())
	if err != nil {
		t.Fatalf("decrypting %s: %v", encrypted, err)
	}
	want, err := aes.NewCipher().Decrypt(tree.Metadata.MessageAuthenticationCode, key, tree.Metadata.LastModified.Format(time.RFC3339))
	if err != nil || want != mac {
		t.Fatalf("the library refuses its own MAC of\n%s", encrypted)
	}
	decrypted, err := store.EmitPlainFile(tree.Branches)
	if err != nil {
		t.Fatal(err)
	}
	return decrypted
}

// workers returns workers in processes of this binary, with the real network.
func workers(t *testing.T) *secrets.Workers {
	t.Helper()
	w := secrets.NewWorkers(secrets.WorkersConfig{Command: []string{os.Args[0], "serve"}})
	t.Cleanup(w.Close)
	return w
}

func newAge(t *testing.T) (keys.MasterKey, string) {
	t.Helper()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return ageRecipient(t, identity.Recipient().String()), identity.String()
}

func ageRecipient(t *testing.T, recipient string) keys.MasterKey {
	t.Helper()
	key, err := sopsage.MasterKeyFromRecipient(recipient)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// newPGP creates a PGP key without gpg.
func newPGP(t *testing.T) (key keys.MasterKey, private string) {
	t.Helper()
	entity, err := openpgp.NewEntity("Review", "", "review@example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	ring := filepath.Join(t.TempDir(), "pubring.gpg")
	file, err := os.Create(ring)
	if err != nil {
		t.Fatal(err)
	}
	if err := entity.Serialize(file); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	writer, err := armor.Encode(&text, openpgp.PrivateKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := entity.SerializePrivate(writer, nil); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	master := pgp.NewMasterKeyFromFingerprint(strings.ToUpper(hexOf(entity.PrimaryKey.Fingerprint)))
	pgp.PubRing(ring).ApplyToMasterKey(master)
	return master, text.String()
}

func decrypter(t *testing.T, data map[string]string) *secrets.Decrypter {
	t.Helper()
	content := map[string][]byte{}
	for name, text := range data {
		content[name] = []byte(text)
	}
	parsed, err := secrets.ParseKeys(content)
	if err != nil {
		t.Fatal(err)
	}
	return secrets.New(secrets.Config{Keys: parsed, Workers: workers(t)})
}
