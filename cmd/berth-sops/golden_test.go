package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"berth.dev/berth/secrets"
	"filippo.io/age"
	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/hcvault"
	"github.com/getsops/sops/v3/keys"
)

var update = flag.Bool("update", false, "re-create the golden files of package secrets")

// goldenDir holds files that these tests create for the tests of package secrets, which do not import the library.
// The keys beside them protect nothing.
const goldenDir = "../../secrets/testdata/golden"

var golden = []struct {
	file, format, plain string
	rule                sops.Metadata
	recipients          [][]string // groups of names of keys
}{
	{"secret.yaml", "yaml", "apiVersion: v1\nkind: Secret\nmetadata:\n    name: db\nstringData:\n    user: app\n    password: hunter2\n    port: 5432\n",
		sops.Metadata{EncryptedRegex: "^(data|stringData)$"}, [][]string{{"production"}}},
	{"whole.yaml", "yaml", "a: hunter2\nlist:\n    - hunter2\n    - 3\n", sops.Metadata{}, [][]string{{"production", "review"}}},
	{"several.yaml", "yaml", "kind: Secret\nstringData:\n    a: hunter2\n---\nkind: Secret\nstringData:\n    a: hunter3\n",
		sops.Metadata{EncryptedRegex: "^stringData$"}, [][]string{{"production"}}},
	{"comments.yaml", "yaml", "# sops:enc\na: hunter2\nb: plain\n", sops.Metadata{EncryptedCommentRegex: "sops:enc"}, [][]string{{"production"}}},
	{"only-encrypted.yaml", "yaml", "kind: Secret\nstringData:\n    a: hunter2\n",
		sops.Metadata{EncryptedRegex: "^stringData$", MACOnlyEncrypted: true}, [][]string{{"production"}}},
	{"groups.json", "json", `{"a": "hunter2"}`, sops.Metadata{ShamirThreshold: 2}, [][]string{{"production"}, {"review"}, {"hybrid"}}},
	{"config.json", "json", `{"a": "hunter2", "n": 3}`, sops.Metadata{}, [][]string{{"production"}}},
	{"db.env", "dotenv", "USER=app\n# a note\nPASSWORD=hunter2\n", sops.Metadata{}, [][]string{{"production"}}},
	{"app.ini", "ini", "[db]\nuser = app\npassword = hunter2\n", sops.Metadata{}, [][]string{{"production"}}},
	{"tls.key", "binary", "hunter2\n", sops.Metadata{}, [][]string{{"production"}}},
	{"ssh.yaml", "yaml", "a: hunter2\n", sops.Metadata{}, [][]string{{"ssh-ed25519"}, {"ssh-rsa"}}},
	{"vault.yaml", "yaml", "apiVersion: v1\nkind: Secret\nmetadata:\n    name: db\nstringData:\n    password: hunter2\n",
		sops.Metadata{EncryptedRegex: "^(data|stringData)$"}, [][]string{{"vault"}}},
}

func TestGoldenFiles(t *testing.T) {
	server := newVault(t)
	recipients := map[string]keys.MasterKey{"vault": hcvault.NewMasterKey(server, "transit", "posts")}
	for _, name := range []string{"production", "review", "hybrid", "ssh-ed25519", "ssh-rsa"} {
		recipients[name] = ageRecipient(t, recipientIn(t, filepath.Join(goldenDir, name+".agekey")))
	}
	for _, g := range golden {
		var groups [][]keys.MasterKey
		for _, names := range g.recipients {
			var group []keys.MasterKey
			for _, name := range names {
				group = append(group, recipients[name])
			}
			groups = append(groups, group)
		}
		if len(groups) == 2 {
			g.rule.ShamirThreshold = 2
		}
		f := seal(t, g.format, g.plain, g.rule, groups...)
		if !*update {
			continue
		}
		if err := os.WriteFile(filepath.Join(goldenDir, g.file), bytes.ReplaceAll(f.encrypted, []byte(server), []byte("https://vault.example.com")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// recipientIn returns the recipient of a key, and creates the key if it does not exist.
func recipientIn(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if os.IsNotExist(err) && *update {
		content = newGoldenKey(t, filepath.Base(file))
		err = os.WriteFile(file, content, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := secrets.ParseKeys(map[string][]byte{"a.agekey": content})
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Recipients()[0]
}

func newGoldenKey(t *testing.T, name string) []byte {
	t.Helper()
	switch name {
	case "hybrid.agekey":
		identity, err := age.GenerateHybridIdentity()
		if err != nil {
			t.Fatal(err)
		}
		return []byte(identity.String() + "\n")
	case "ssh-ed25519.agekey", "ssh-rsa.agekey":
		return newSSH(t, name)
	}
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return []byte("# created: 2026-02-03T04:05:06Z\n# public key: " + identity.Recipient().String() + "\n" + identity.String() + "\n")
}
