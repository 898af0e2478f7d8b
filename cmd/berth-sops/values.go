package main

import (
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	"github.com/getsops/sops/v3/stores"
	"go.yaml.in/yaml/v3"

	"berth.dev/berth/secrets"
)

// values decrypts as the library does, and notes what it decrypts. The path of a value is its keys, each followed
// by a colon.
type values struct {
	library aes.Cipher
	format  secrets.Format
	// seen is what to show in place of a decrypted value: a placeholder, or a comment.
	seen    map[sealedValue]any
	written map[string]secrets.Value
	// problem is the error of the last value that did not decrypt.
	problem *secrets.Error
}

type sealedValue struct{ text, path string }

func newValues(f secrets.Format) *values {
	return &values{library: aes.NewCipher(), format: f, seen: map[sealedValue]any{}, written: map[string]secrets.Value{}}
}

var errNotHere = errors.New("there is nothing to encrypt, and nothing else to decrypt")

// Encrypt implements the library's interface; nothing is encrypted here.
func (v *values) Encrypt(any, []byte, string) (string, error) { return "", errNotHere }

// Decrypt decrypts a value.
func (v *values) Decrypt(text string, key []byte, path string) (any, error) {
	v.problem = tampered(named(path) + " does not decrypt: it was changed, or moved here from elsewhere")
	value, err := v.plain(text, key, path)
	if err != nil || text == "" {
		return value, err
	}
	at := sealedValue{text, path}
	if comment, ok := value.(sops.Comment); ok {
		v.seen[at] = comment
		return value, nil
	}
	placeholder := ""
	if value != "" {
		placeholder = placeholderOf(text, path)
		v.written[placeholder] = v.writtenAs(value)
	}
	v.seen[at] = placeholder
	return value, nil
}

// plain recovers from the library's panic on a type that it no longer writes, where it uses a list of bytes as a
// map key.
func (v *values) plain(text string, key []byte, path string) (value any, err error) {
	defer func() {
		if recover() != nil {
			v.problem, err = tampered(named(path)+" has a type that SOPS no longer writes"), errNotHere
		}
	}()
	value, err = v.library.Decrypt(text, key, path)
	if err != nil && !strings.Contains(err.Error(), "decrypt with AES_GCM") && !strings.Contains(err.Error(), "data format") && !strings.Contains(err.Error(), "base64") {
		v.problem = tampered(named(path) + " does not have the type that it is said to have")
	}
	return value, err
}

// explain describes what is wrong with a tree that does not decrypt. The library's own errors may quote values.
func (v *values) explain(err error) error {
	switch {
	case strings.Contains(err.Error(), "Expected encrypted value as string"):
		return tampered("a value is plain where an encrypted one belongs")
	case v.problem != nil && strings.Contains(err.Error(), "Could not decrypt value"):
		return v.problem
	}
	return malformed("it holds a value of a type that SOPS does not know")
}

// named names a value by its keys, which are not secret because SOPS does not encrypt keys.
func named(path string) string {
	path = strings.ReplaceAll(strings.TrimSuffix(path, ":"), ":", ".")
	if len(path) > 200 {
		path = strings.ToValidUTF8(path[:100], "") + "…" + strings.ToValidUTF8(path[len(path)-50:], "")
	}
	return fmt.Sprintf("%q", path)
}

// placeholderOf names an encrypted value by its place and its ciphertext, both of which are public.
func placeholderOf(text, path string) string {
	sum := sha256.Sum256([]byte(path + "\x00" + text))
	return "veiled" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:]))[:26]
}

// writtenAs returns a value as the store of the format writes it, without quotes.
func (v *values) writtenAs(value any) secrets.Value {
	switch v.format {
	case secrets.Binary, secrets.INI:
		return secrets.Value{Text: stores.ValToString(value)}
	case secrets.Dotenv:
		return secrets.Value{Text: strings.ReplaceAll(stores.ValToString(value), "\n", `\n`)}
	}
	var node yaml.Node
	if err := node.Encode(value); err != nil {
		return secrets.Value{Text: stores.ValToString(value)} // only values that are no scalars cannot be encoded
	}
	if node.Tag == "!!str" {
		return secrets.Value{Text: node.Value}
	}
	return secrets.Value{Text: node.Value, Tag: node.Tag}
}

// veil replaces decrypted values by placeholders.
type veil struct{ *values }

// Decrypt returns what to show in place of a value.
func (v veil) Decrypt(text string, _ []byte, path string) (any, error) {
	if text == "" {
		return "", nil
	}
	shown, ok := v.seen[sealedValue{text, path}]
	if !ok {
		return nil, errNotHere // a comment that does not decrypt stays
	}
	return shown, nil
}
