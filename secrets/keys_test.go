package secrets_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"berth.dev/berth/secrets"
	"filippo.io/age"
	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
)

func TestParseKeys(t *testing.T) {
	one, two := newAge(t), newAge(t)
	for _, test := range []struct {
		name string
		data map[string]string
		want []string // recipients
	}{
		{"as age-keygen writes it", map[string]string{"a.agekey": "# created: x\n# public key: y\n" + one.String() + "\n"}, []string{one.Recipient().String()}},
		{"several in one entry", map[string]string{"a.agekey": one.String() + "\r\n\n  " + two.String()}, []string{one.Recipient().String(), two.Recipient().String()}},
		{"several entries", map[string]string{"b.agekey": one.String(), "a.agekey": two.String()}, []string{two.Recipient().String(), one.Recipient().String()}},
		{"PGP", map[string]string{"a.asc": string(published(t, "key.asc"))}, []string{"FBC7B9E2A4F9289AC0C1D4843D16CEE4A27381B4", "D7229043384BCC60326C6FB9D8720D957C3D3074"}},
		{"a token of Vault", map[string]string{"sops.vault-token": "hvs.x\n"}, []string{"sops.vault-token"}},
		{"AWS", map[string]string{"sops.aws-kms": "aws_access_key_id: a\naws_secret_access_key: b\n"}, []string{"sops.aws-kms"}},
		{"Azure", map[string]string{"sops.azure-kv": "tenantId: a\nclientId: b\nclientSecret: c\n"}, []string{"sops.azure-kv"}},
	} {
		keys, err := parse(test.data)
		if err != nil || !reflect.DeepEqual(keys.Recipients(), test.want) {
			t.Errorf("%s: got %q, %v, want %q", test.name, keys.Recipients(), err, test.want)
		}
	}
}

func TestParseKeysSaysWhatIsWrong(t *testing.T) {
	private := newAge(t).String()
	for _, test := range []struct {
		name string
		data map[string]string
		want string
	}{
		{"nothing", nil, "there is no key: entries are named *.agekey, *.asc, sops.vault-token, sops.aws-kms, sops.gcp-kms or sops.azure-kv"},
		{"only what is no key", map[string]string{"agekey": private}, "there is no key: entries are named *.agekey, *.asc, sops.vault-token, sops.aws-kms, sops.gcp-kms or sops.azure-kv"},
		{"a broken key", map[string]string{"a.agekey": private[:40]}, `reading key entry "a.agekey": it holds no age identity, or a broken one; make one with age-keygen`},
		{"a public key", map[string]string{"a.agekey": newAge(t).Recipient().String()}, `reading key entry "a.agekey": it holds no age identity, or a broken one; make one with age-keygen`},
		{"a plugin", map[string]string{"a.agekey": "AGE-PLUGIN-YUBIKEY-1QQQ"}, `reading key entry "a.agekey": it is the identity of an age plugin, and plugins are never run; use a key made by age-keygen`},
		{"a key under a passphrase", map[string]string{"a.agekey": "-----BEGIN AGE ENCRYPTED FILE-----\nx\n"}, `reading key entry "a.agekey": it is an age key under a passphrase, which Berth cannot enter; store the output of age -d instead`},
		{"a broken SSH key", map[string]string{"a.agekey": "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n-----END OPENSSH PRIVATE KEY-----\n"}, `reading key entry "a.agekey": it is a broken SSH key`},
		{"no PGP key", map[string]string{"a.asc": "x"}, `reading key entry "a.asc": it holds no armored PGP key; export one with: gpg --export-secret-keys --armor`},
		{"a public PGP key", map[string]string{"a.asc": newPGP(t, publicPart, "")}, `reading key entry "a.asc": it holds a public PGP key; export the private one with: gpg --export-secret-keys --armor`},
		{"a locked PGP key", map[string]string{"a.asc": newPGP(t, privatePart, "passphrase")}, `reading key entry "a.asc": it is a PGP key with a passphrase, which Berth cannot enter; export one without`},
		{"an empty token", map[string]string{"sops.vault-token": "\n"}, `reading key entry "sops.vault-token": it is not a token of Vault`},
		{"half of AWS", map[string]string{"sops.aws-kms": "aws_access_key_id: a\n"}, `reading key entry "sops.aws-kms": it does not hold aws_access_key_id and aws_secret_access_key`},
		{"half of Azure", map[string]string{"sops.azure-kv": "tenantId: a/../b\nclientId: b\nclientSecret: c\n"}, `reading key entry "sops.azure-kv": it does not hold tenantId, clientId and clientSecret`},
		{"no service account", map[string]string{"sops.gcp-kms": `{"type": "authorized_user"}`}, `reading key entry "sops.gcp-kms": it is not the JSON key of a service account`},
	} {
		if _, err := parse(test.data); fmt.Sprint(err) != test.want {
			t.Errorf("%s: got  %v\nwant %s", test.name, err, test.want)
		}
	}
}

func TestOneBrokenEntryLeavesTheOthers(t *testing.T) {
	identity := newAge(t)
	keys, err := parse(map[string]string{"a.agekey": "x", "b.agekey": identity.String(), "notes": "y"})
	if err == nil || len(keys.Recipients()) != 1 || keys.Recipients()[0] != identity.Recipient().String() {
		t.Errorf("got %v, %v", keys, err)
	}
	if got := keys.Unused(); !reflect.DeepEqual(got, []string{"notes"}) {
		t.Errorf("unused: %q", got)
	}
}

func TestDigestChangesWithTheKeys(t *testing.T) {
	one, two := newAge(t).String(), newAge(t).String()
	digest := func(data map[string]string) string {
		keys, err := parse(data)
		if err != nil {
			t.Fatal(err)
		}
		return keys.Digest()
	}
	seen := map[string]bool{}
	for _, data := range []map[string]string{{"a.agekey": one}, {"a.agekey": two}, {"a.agekey": one, "b.agekey": two}, {"a.agekey": one + "\n" + two}} {
		seen[digest(data)] = true
	}
	if len(seen) != 4 {
		t.Errorf("4 sets of keys have %d digests", len(seen))
	}
	if digest(map[string]string{"a.agekey": one}) != digest(map[string]string{"a.agekey": one, "note": "x"}) {
		t.Error("what is no key changes the digest")
	}
}

func TestKeysPrintAsRecipients(t *testing.T) {
	identity := newAge(t)
	keys, err := parse(map[string]string{"a.agekey": identity.String(), "sops.vault-token": "hvs.secret"})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "keys", keys)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "keys", keys)
	fmt.Fprintf(&out, "%v %+v %#v %s %q %x %d", keys, keys, keys, keys, keys, keys, keys)
	if strings.Contains(out.String(), "AGE-SECRET") || strings.Contains(out.String(), "hvs.secret") {
		t.Errorf("got %s", out.String())
	}
	if !strings.Contains(out.String(), "keys of "+identity.Recipient().String()+", sops.vault-token") {
		t.Errorf("got %s", out.String())
	}
}

func parse(data map[string]string) (*secrets.Keys, error) {
	content := map[string][]byte{}
	for name, text := range data {
		content[name] = []byte(text)
	}
	return secrets.ParseKeys(content)
}

func newAge(t testing.TB) *age.X25519Identity {
	t.Helper()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return identity
}

// newPGP returns an armored key, public or private.
func newPGP(t testing.TB, part keyPart, passphrase string) string {
	t.Helper()
	entity, err := openpgp.NewEntity("Review", "", "review@example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	if passphrase != "" {
		if err := entity.EncryptPrivateKeys([]byte(passphrase), nil); err != nil {
			t.Fatal(err)
		}
	}
	var text strings.Builder
	kind := openpgp.PublicKeyType
	if part == privatePart {
		kind = openpgp.PrivateKeyType
	}
	writer, err := armor.Encode(&text, kind, nil)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case part == privatePart:
		err = entity.SerializePrivateWithoutSigning(writer, nil)
	default:
		err = entity.Serialize(writer)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

type keyPart int

const (
	publicPart keyPart = iota
	privatePart
)
