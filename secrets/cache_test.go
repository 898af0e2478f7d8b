package secrets_test

import (
	"net/http"
	"sync"
	"testing"

	"berth.dev/berth/secrets"
)

func TestFiftyBranchesDecryptOnce(t *testing.T) {
	cache := secrets.NewCache(0)
	content := golden(t, "secret.yaml")
	var branches sync.WaitGroup
	for range 50 {
		branches.Go(func() {
			d := secrets.New(secrets.Config{Keys: keysOf(t, "production"), Cache: cache, Workers: workers(t)})
			plain, err := d.Decrypt(t.Context(), "secret.yaml", content)
			if err != nil {
				t.Error(err)
			}
			clear(plain) // the caller owns it
		})
	}
	branches.Wait()
	if got := cache.Stats(); got.Misses != 1 || got.Hits != 49 {
		t.Errorf("got %+v", got)
	}
	d := secrets.New(secrets.Config{Keys: keysOf(t, "production"), Cache: cache, Workers: workers(t)})
	if got, err := d.Decrypt(t.Context(), "secret.yaml", content); err != nil || len(got) == 0 || got[0] == 0 {
		t.Errorf("got %q, %v", got, err)
	}
}

// The cache never gives a branch what the keys of another decrypted.
func TestTheCacheKnowsKeysAndLists(t *testing.T) {
	cache := secrets.NewCache(0)
	content := golden(t, "secret.yaml")
	if _, err := secrets.New(secrets.Config{Keys: keysOf(t, "production"), Cache: cache, Workers: workers(t)}).Decrypt(t.Context(), "secret.yaml", content); err != nil {
		t.Fatal(err)
	}
	for _, keys := range []*secrets.Keys{nil, keysOf(t, "review")} {
		if got, err := secrets.New(secrets.Config{Keys: keys, Cache: cache, Workers: workers(t)}).Decrypt(t.Context(), "secret.yaml", content); err == nil {
			t.Errorf("with %v: got %q", keys, got)
		}
	}
	v := newVault(t)
	open := func(list secrets.Remote) error {
		_, err := v.decrypter(list, cache).Decrypt(t.Context(), "a.yaml", v.file)
		return err
	}
	if err := open(v.List(v.ID)); err != nil {
		t.Fatal(err)
	}
	if err := open(secrets.Remote{}); err == nil {
		t.Error("a key that is no longer listed still decrypts")
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	files := []string{"secret.yaml", "whole.yaml", "db.env", "app.ini", "config.json"}
	cache := secrets.NewCache(400)
	d := secrets.New(secrets.Config{Keys: keysOf(t, "production"), Cache: cache, Workers: workers(t)})
	for _, file := range append(files, files...) {
		if _, err := d.Decrypt(t.Context(), file, golden(t, file)); err != nil {
			t.Fatal(err)
		}
		if got := cache.Stats().Bytes; got > 400 {
			t.Errorf("%d bytes are kept", got)
		}
	}
	if _, err := d.Decrypt(t.Context(), "config.json", golden(t, "config.json")); err != nil || cache.Stats().Hits == 0 {
		t.Errorf("what was used last is forgotten: %v, %+v", err, cache.Stats())
	}
}

func TestErrorsAreNotKept(t *testing.T) {
	v := newVault(t)
	d := v.decrypter(v.List(v.ID), secrets.NewCache(0))
	v.status.Store(http.StatusServiceUnavailable)
	if _, err := d.Decrypt(t.Context(), "a.yaml", v.file); err == nil {
		t.Fatal("a service that is down decrypts")
	}
	v.status.Store(http.StatusOK)
	if _, err := d.Decrypt(t.Context(), "a.yaml", v.file); err != nil {
		t.Error(err)
	}
}
