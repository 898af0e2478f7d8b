package login

import (
	"bytes"
	"compress/flate"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
)

// maxSealed is the longest text of a cookie. Browsers keep 4096 bytes with the name and attributes.
const maxSealed = 3800

// errTooLong reports that a value does not fit into a cookie.
var errTooLong = errors.New("it does not fit into a cookie")

// errNotSealed reports a text that this installation did not seal, or not with these secrets.
var errNotSealed = errors.New("it was not sealed here")

// sealer encrypts and authenticates what is kept in cookies.
type sealer struct {
	aead cipher.AEAD
	key  []byte
}

// newSealer derives a sealer from the key of the installation and a secret. When the secret changes, nothing that was
// sealed before can be opened.
func newSealer(key []byte, secret, purpose string) (sealer, error) {
	salt := sha256.Sum256([]byte(secret))
	derived, err := hkdf.Key(sha256.New, key, salt[:], "berth page: "+purpose, 64)
	if err != nil {
		return sealer{}, err
	}
	block, err := aes.NewCipher(derived[:32])
	if err != nil {
		return sealer{}, err
	}
	aead, err := cipher.NewGCM(block)
	return sealer{aead: aead, key: derived[32:]}, err
}

// seal seals a value for one purpose. It cannot be opened for another.
func (s sealer) seal(purpose string, value any) (string, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return "", err
	}
	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, flate.BestCompression) // lists of groups repeat themselves
	if err != nil {
		return "", err
	}
	if _, err := w.Write(text); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	nonce := make([]byte, s.aead.NonceSize(), s.aead.NonceSize()+packed.Len()+s.aead.Overhead())
	_, _ = rand.Read(nonce) // never fails: it ends the program instead
	sealed := base64.RawURLEncoding.EncodeToString(s.aead.Seal(nonce, nonce, packed.Bytes(), []byte(purpose)))
	if len(sealed) > maxSealed {
		return "", errTooLong
	}
	return sealed, nil
}

// open opens what was sealed for a purpose.
func (s sealer) open(purpose, text string, into any) error {
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(text) > maxSealed || len(sealed) < s.aead.NonceSize() {
		return errNotSealed
	}
	packed, err := s.aead.Open(nil, sealed[:s.aead.NonceSize()], sealed[s.aead.NonceSize():], []byte(purpose))
	if err != nil {
		return errNotSealed
	}
	plain, err := io.ReadAll(flate.NewReader(bytes.NewReader(packed))) // only what seal packed gets here
	if err != nil {
		return err
	}
	return json.Unmarshal(plain, into)
}

// formToken returns the token of the forms of a session.
func (s sealer) formToken(session string) string {
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte("form\x00" + session))
	return hex.EncodeToString(mac.Sum(nil))
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
