package sopstest

import (
	"bytes"
	"errors"
	"fmt"

	"filippo.io/age"
	"filippo.io/age/armor"
)

// Reporter is the part of a test that creates keys.
type Reporter interface {
	Helper()
	Fatalf(format string, arguments ...any)
}

// AgeKey returns a new age identity, and the SOPS metadata of a file for it, see Forge.
func AgeKey(t Reporter) (identity, metadata string) {
	t.Helper()
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatalf("%v", err)
	}
	recipient := key.Recipient().String()
	return key.String() + "\n", fmt.Sprintf("  age: [{recipient: %s, enc: %q}]\n", recipient, SealedFor(t, recipient))
}

// SealedFor returns DataKey, encrypted for an age recipient as SOPS does.
func SealedFor(t Reporter, recipient string) string {
	t.Helper()
	to, err := age.ParseX25519Recipient(recipient)
	if err != nil {
		t.Fatalf("%v", err)
	}
	var sealed bytes.Buffer
	text := armor.NewWriter(&sealed)
	writer, err := age.Encrypt(text, to)
	if err != nil {
		t.Fatalf("%v", err)
	}
	_, err = writer.Write([]byte(DataKey))
	if err := errors.Join(err, writer.Close(), text.Close()); err != nil {
		t.Fatalf("%v", err)
	}
	return sealed.String()
}
