package secrets

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"regexp"
	"strconv"
	"time"
)

const (
	// encryptedPrefix begins every value that SOPS encrypted.
	encryptedPrefix = "ENC[AES256_GCM,data:"
	// dataKeySize is that of AES-256.
	dataKeySize = 32
)

var encryptedValue = regexp.MustCompile(
	`^ENC\[AES256_GCM,data:([A-Za-z0-9+/=]+),iv:([A-Za-z0-9+/=]+),tag:([A-Za-z0-9+/=]+),type:([a-z]+)\]$`)

var errValue = errors.New("not a value that this key encrypted here")

// cipherKey decrypts values with the data key of a file.
type cipherKey struct{ block cipher.Block }

func newCipherKey(key []byte) (cipherKey, error) {
	if len(key) != dataKeySize {
		return cipherKey{}, tampered("its data key is not one of SOPS")
	}
	block, err := aes.NewCipher(key)
	return cipherKey{block}, err
}

// open returns the plain text of a value and its type. The context is what the value is bound to: the
// keys that lead to it, or the time of the last change for the MAC. The type is not bound.
func (k cipherKey) open(text, context string) (plain, kind string, err error) {
	if text == "" {
		return "", "str", nil // SOPS leaves empty texts as they are
	}
	match := encryptedValue.FindStringSubmatch(text)
	if match == nil {
		return "", "", errValue
	}
	var parts [3][]byte // data, nonce and tag
	for i := range parts {
		if parts[i], err = base64.StdEncoding.DecodeString(match[i+1]); err != nil {
			return "", "", errValue
		}
	}
	data, nonce, tag := parts[0], parts[1], parts[2]
	if len(nonce) == 0 || len(tag) != aes.BlockSize {
		return "", "", errValue // crypto/cipher panics on the one, and might take a short tag
	}
	gcm, err := cipher.NewGCMWithNonceSize(k.block, len(nonce))
	if err != nil {
		return "", "", errValue
	}
	opened, err := gcm.Open(nil, nonce, append(data, tag...), []byte(context))
	if err != nil {
		return "", "", errValue
	}
	return string(opened), match[4], nil
}

// typed gives a decrypted text the type that it had before.
func typed(text, kind string) (any, error) {
	switch kind {
	case "str", "bytes":
		return text, nil
	case "int":
		return strconv.Atoi(text)
	case "float":
		return strconv.ParseFloat(text, 64)
	case "bool":
		return strconv.ParseBool(text)
	case "time":
		var value time.Time
		err := value.UnmarshalText([]byte(text))
		return value, err
	}
	return nil, errValue
}
