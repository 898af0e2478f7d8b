package main

import (
	"reflect"
	"testing"

	"berth.dev/berth/secrets"
	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/azkv"
	"github.com/getsops/sops/v3/gcpkms"
	"github.com/getsops/sops/v3/hcvault"
	"github.com/getsops/sops/v3/keys"
	"github.com/getsops/sops/v3/kms"
)

// The library would call the clouds to encrypt, but the metadata that it writes about their keys can be read
// without them.
func TestRemoteKeysAreReadAsTheLibraryWritesThem(t *testing.T) {
	posts := "posts"
	group := sops.KeyGroup{
		hcvault.NewMasterKey("https://vault.example.com:8200/", "sops/transit", "posts"),
		kms.NewMasterKey("arn:aws:kms:eu-west-1:111122223333:key/abc-1", "", map[string]*string{"app": &posts}),
		gcpkms.NewMasterKeyFromResourceID("projects/acme/locations/global/keyRings/sops/cryptoKeys/posts"),
		azkv.NewMasterKey("https://acme.vault.azure.net", "posts", "abc123"),
	}
	for _, key := range []keys.MasterKey(group) {
		key.SetEncryptedDataKey([]byte("x"))
	}
	tree := sops.Tree{
		Branches: sops.TreeBranches{{{Key: "a", Value: ""}}},
		Metadata: sops.Metadata{LastModified: cut, MessageAuthenticationCode: "x", KeyGroups: []sops.KeyGroup{group}},
	}
	want := []string{"https://vault.example.com:8200/v1/sops/transit/keys/posts", "arn:aws:kms:eu-west-1:111122223333:key/abc-1",
		"projects/acme/locations/global/keyRings/sops/cryptoKeys/posts", "https://acme.vault.azure.net/keys/posts/abc123"}
	for format, file := range map[string]string{"yaml": "a.yaml", "json": "a.json", "dotenv": "a.env"} {
		encrypted, err := allStores()[format].EmitEncryptedFile(tree)
		if err != nil {
			t.Fatal(err)
		}
		got, err := secrets.Inspect(file, encrypted)
		if err != nil || !reflect.DeepEqual(got.Recipients, want) {
			t.Errorf("%s: got %q, %v\n%s", format, got.Recipients, err, encrypted)
		}
	}
}
