package secrets_test

import (
	"testing"

	"berth.dev/berth/secrets"
)

func BenchmarkDecrypt(b *testing.B) {
	content := golden(b, "secret.yaml")
	for name, cache := range map[string]*secrets.Cache{"each time": nil, "cached": secrets.NewCache(0)} {
		d := secrets.New(secrets.Config{Keys: keysOf(b, "production"), Cache: cache})
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Decrypt("secret.yaml", content); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEncrypted(b *testing.B) {
	plain := []byte("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: api}\nspec: {replicas: 2}\n")
	for b.Loop() {
		if secrets.Encrypted("api.yaml", plain) {
			b.Fatal("it is plain")
		}
	}
}
