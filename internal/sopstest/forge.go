package sopstest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"sync"
	"testing"

	"berth.dev/berth/secrets"
)

// DataKey is the data key of all forged files.
const DataKey = "0123456789abcdef0123456789abcdef"

// Forge encrypts one value without the SOPS library, which would call a cloud for such recipients. The file is
// YAML, with the key a.
func Forge(t Reporter, recipients, value string) []byte {
	t.Helper()
	return fmt.Appendf(nil, "a: %s\n%s", sealValue(t, value, "a:"), envelope(t, recipients, value))
}

// ForgeSecret encrypts the value of a Secret in the same way. The rest of the manifest is plain.
func ForgeSecret(t Reporter, recipients, name, value string) []byte {
	t.Helper()
	return fmt.Appendf(nil, "apiVersion: v1\nkind: Secret\nmetadata:\n  name: %s\nstringData:\n  password: %s\n%s  encrypted_regex: ^stringData$\n",
		name, sealValue(t, value, "stringData:password:"), envelope(t, recipients, "v1"+"Secret"+name+value))
}

// envelope returns the SOPS metadata of a file with these values.
func envelope(t Reporter, recipients, values string) string {
	t.Helper()
	const at = "2026-02-03T04:05:06Z"
	sum := sha512.Sum512([]byte(values))
	return fmt.Sprintf("sops:\n  lastmodified: %q\n  mac: %s\n  version: 3.13.3\n%s", at, sealValue(t, fmt.Sprintf("%X", sum), at), recipients)
}

func sealValue(t Reporter, value, context string) string {
	t.Helper()
	block, err := aes.NewCipher([]byte(DataKey))
	if err != nil {
		t.Fatalf("%v", err)
	}
	nonce := make([]byte, 32)
	gcm, err := cipher.NewGCMWithNonceSize(block, len(nonce))
	if err != nil {
		t.Fatalf("%v", err)
	}
	out := gcm.Seal(nil, nonce, []byte(value), []byte(context))
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("ENC[AES256_GCM,data:%s,iv:%s,tag:%s,type:str]", encode(out[:len(value)]), encode(nonce), encode(out[len(value):]))
}

// Recipient is a remote key: its part of a file's SOPS metadata, its id, and a list with this id.
type Recipient struct {
	Metadata, ID string
	List         func(id string) secrets.Remote
}

// RemoteKeys returns one recipient of each service, as SOPS writes it.
func RemoteKeys(vault string) map[string]Recipient {
	wrapped := base64.StdEncoding.EncodeToString([]byte("wrapped"))
	return map[string]Recipient{
		"Vault": {
			fmt.Sprintf("  hc_vault:\n  - vault_address: %s/\n    engine_path: /sops/transit/\n    key_name: posts\n    created_at: \"2026-02-03T04:05:06Z\"\n    enc: vault:v1:wrapped\n", vault),
			vault + "/v1/sops/transit/keys/posts", func(id string) secrets.Remote { return secrets.Remote{Vault: []string{id}} },
		},
		"AWS": {
			fmt.Sprintf("  kms:\n  - arn: arn:aws:kms:eu-west-1:111122223333:key/abc-1\n    context: {app: posts}\n    created_at: \"2026-02-03T04:05:06Z\"\n    enc: %s\n    aws_profile: \"\"\n", wrapped),
			"arn:aws:kms:eu-west-1:111122223333:key/abc-1", func(id string) secrets.Remote { return secrets.Remote{AWS: []string{id}} },
		},
		"GCP": {
			fmt.Sprintf("  gcp_kms:\n  - resource_id: projects/acme/locations/global/keyRings/sops/cryptoKeys/posts\n    created_at: \"2026-02-03T04:05:06Z\"\n    enc: %s\n", wrapped),
			"projects/acme/locations/global/keyRings/sops/cryptoKeys/posts", func(id string) secrets.Remote { return secrets.Remote{GCP: []string{id}} },
		},
		"Azure": {
			fmt.Sprintf("  azure_kv:\n  - vault_url: https://Acme.vault.azure.net\n    name: posts\n    version: abc123\n    created_at: \"2026-02-03T04:05:06Z\"\n    enc: %s\n", base64.RawURLEncoding.EncodeToString([]byte("wrapped"))),
			"https://acme.vault.azure.net/keys/posts/abc123", func(id string) secrets.Remote { return secrets.Remote{Azure: []string{id}} },
		},
	}
}

// ServiceAccount returns the private key of a service account at Google.
var ServiceAccount = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// Credentials returns key Secret credentials for all services.
func Credentials(t testing.TB) *secrets.Keys {
	t.Helper()
	key, err := ServiceAccount()
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	account, err := json.Marshal(map[string]string{"type": "service_account", "client_email": "posts@acme.iam.gserviceaccount.com",
		"private_key_id": "1", "private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"token_uri": "https://attacker.example.com/token"})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := secrets.ParseKeys(map[string][]byte{
		"sops.vault-token": []byte("hvs.token"), "sops.gcp-kms": account,
		"sops.aws-kms":  []byte("aws_access_key_id: AKID\naws_secret_access_key: secret\naws_session_token: session\n"),
		"sops.azure-kv": []byte("tenantId: tenant\nclientId: client\nclientSecret: client-secret\n"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}
