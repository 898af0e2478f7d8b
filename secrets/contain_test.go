package secrets

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

type panics struct{}

func (panics) RoundTrip(*http.Request) (*http.Response, error) { panic("hunter2") }

func TestPanicsAreContained(t *testing.T) {
	keys, err := ParseKeys(map[string][]byte{vaultEntry: []byte("hvs.token")})
	if err != nil {
		t.Fatal(err)
	}
	const file = "a: ENC[AES256_GCM,data:eA==,iv:eA==,tag:eA==,type:str]\nsops:\n  lastmodified: \"2026-02-03T04:05:06Z\"\n  mac: x\n" +
		"  hc_vault: [{vault_address: 'https://vault.example.com', engine_path: sops, key_name: posts, enc: x}]\n"
	d := New(Config{Keys: keys, Remote: Remote{Vault: []string{"https://vault.example.com"}}, HTTPClient: &http.Client{Transport: panics{}}, Cache: NewCache(0)})
	for range 2 { // the second finds no call that never ends
		_, err = d.Decrypt("a.yaml", []byte(file))
		var e *Error
		if !errors.As(err, &e) || e.Reason != Malformed || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v", err)
		}
	}
}

func TestCallsAreBoundedWhateverTheClient(t *testing.T) {
	for _, test := range []struct {
		client *http.Client
		want   time.Duration
	}{
		{nil, RemoteTimeout},
		{&http.Client{}, RemoteTimeout},
		{&http.Client{Timeout: time.Hour}, RemoteTimeout},
		{&http.Client{Timeout: time.Second}, time.Second},
	} {
		got := newCaller(test.client).client
		if got.Timeout != test.want || got.CheckRedirect == nil || got.Jar != nil {
			t.Errorf("%+v: got %+v", test.client, got)
		}
	}
	if newCaller(nil).client.Transport.(*breaker).base.(*http.Transport).Proxy != nil {
		t.Error("the environment names the proxy")
	}
}
