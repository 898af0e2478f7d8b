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
			d := secrets.New(secrets.Config{Keys: keysOf(t, "production"), Cache: cache})
			plain, err := d.Decrypt("secret.yaml", content)
			if err != nil {
				t.Error(err)
			}
			clear(plain) // it is the caller's
		})
	}
	branches.Wait()
	if got := cache.Stats(); got.Misses != 1 || got.Hits != 49 {
		t.Errorf("got %+v", got)
	}
	d := secrets.New(secrets.Config{Keys: keysOf(t, "production"), Cache: cache})
	if got, err := d.Decrypt("secret.yaml", content); err != nil || len(got) == 0 || got[0] == 0 {
		t.Errorf("got %q, %v", got, err)
	}
}

// A branch must not get what another's keys decrypted.
func TestTheCacheKnowsKeysAndLists(t *testing.T) {
	cache := secrets.NewCache(0)
	content := golden(t, "secret.yaml")
	if _, err := secrets.New(secrets.Config{Keys: keysOf(t, "production"), Cache: cache}).Decrypt("secret.yaml", content); err != nil {
		t.Fatal(err)
	}
	for _, keys := range []*secrets.Keys{nil, keysOf(t, "review")} {
		if got, err := secrets.New(secrets.Config{Keys: keys, Cache: cache}).Decrypt("secret.yaml", content); err == nil {
			t.Errorf("with %v: got %q", keys, got)
		}
	}
	r := remoteKeys("https://vault.example.com")["Vault"]
	file := forge(t, r.metadata, "hunter2")
	client := newCloud(t).client()
	open := func(list secrets.Remote, client *http.Client) error {
		_, err := secrets.New(secrets.Config{Keys: remoteCredentials(t), Remote: list, HTTPClient: client, Cache: cache}).Decrypt("a.yaml", file)
		return err
	}
	if err := open(r.list(r.id), client); err != nil {
		t.Fatal(err)
	}
	if err := open(secrets.Remote{}, client); err == nil {
		t.Error("a key that is no longer listed still decrypts")
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	files := []string{"secret.yaml", "whole.yaml", "db.env", "app.ini", "config.json"}
	cache := secrets.NewCache(400)
	d := secrets.New(secrets.Config{Keys: keysOf(t, "production"), Cache: cache})
	for _, file := range append(files, files...) {
		if _, err := d.Decrypt(file, golden(t, file)); err != nil {
			t.Fatal(err)
		}
		if got := cache.Stats().Bytes; got > 400 {
			t.Errorf("%d bytes are kept", got)
		}
	}
	if _, err := d.Decrypt("config.json", golden(t, "config.json")); err != nil || cache.Stats().Hits == 0 {
		t.Errorf("what was used last is forgotten: %v, %+v", err, cache.Stats())
	}
}

func TestErrorsAreNotKept(t *testing.T) {
	c := newCloud(t)
	r := remoteKeys("https://vault.example.com")["Vault"]
	d := secrets.New(secrets.Config{Keys: remoteCredentials(t), Remote: r.list(r.id), HTTPClient: c.client(), Cache: secrets.NewCache(0)})
	file := forge(t, r.metadata, "hunter2")
	c.status = http.StatusServiceUnavailable
	if _, err := d.Decrypt("a.yaml", file); err == nil {
		t.Fatal("a service that is down decrypts")
	}
	c.status = 0
	if _, err := d.Decrypt("a.yaml", file); err != nil {
		t.Error(err)
	}
}
