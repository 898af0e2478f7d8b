package main

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"testing"

	"golang.org/x/crypto/ssh"
)

// newSSH creates an SSH key of the type that the file's name says.
func newSSH(t *testing.T, name string) []byte {
	t.Helper()
	var key crypto.PrivateKey
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if name == "ssh-rsa.agekey" {
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "golden")
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(block)
}
