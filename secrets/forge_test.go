package secrets_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"testing"
)

// dataKey is that of all forged files.
const dataKey = "0123456789abcdef0123456789abcdef"

// forge encrypts one value by hand, for recipients that the SOPS library would have to ask a cloud for.
func forge(t testing.TB, recipients, value string) []byte {
	t.Helper()
	const at = "2026-02-03T04:05:06Z"
	sum := sha512.Sum512([]byte(value))
	return fmt.Appendf(nil, "a: %s\nsops:\n  lastmodified: %q\n  mac: %s\n  version: 3.13.3\n%s",
		sealValue(t, value, "a:"), at, sealValue(t, fmt.Sprintf("%X", sum), at), recipients)
}

func sealValue(t testing.TB, value, context string) string {
	t.Helper()
	block, err := aes.NewCipher([]byte(dataKey))
	if err != nil {
		t.Fatal(err)
	}
	nonce := make([]byte, 32)
	gcm, err := cipher.NewGCMWithNonceSize(block, len(nonce))
	if err != nil {
		t.Fatal(err)
	}
	out := gcm.Seal(nil, nonce, []byte(value), []byte(context))
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("ENC[AES256_GCM,data:%s,iv:%s,tag:%s,type:str]", encode(out[:len(value)]), encode(nonce), encode(out[len(value):]))
}
