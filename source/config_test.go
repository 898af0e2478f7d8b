package source

import (
	"encoding/pem"
	"io"
	"log"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
)

func certificate(server *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}

func TestURLs(t *testing.T) {
	tests := []struct {
		url  string
		text string // "" if it is fine
	}{
		{"https://gitlab.example.com/acme/posts.git", ""},
		{"http://gitlab.example.com:8080/acme/posts", ""},
		{"file:///srv/git/posts.git", "--allow-file-urls"},
		{"https://user:planted@gitlab.example.com/acme/posts.git", "move it to the Secret"},
		{"https://planted@gitlab.example.com/acme/posts.git", "move it to the Secret"},
		{"ssh://git:planted@gitlab.example.com/acme/posts.git", "move it to the Secret"},
		{"https://gitlab.example.com/acme/posts.git?private_token=planted", "query"},
		{"git@gitlab.example.com:acme/posts.git", "ssh://git@host"},
		{"git://gitlab.example.com/acme/posts.git", "none of https://"},
		{"ext::sh -c planted", "none of https://"},
		{"https://gitlab.example.com", "no host or no path"},
		{"https:///acme", "no host or no path"},
		{"/srv/git", "none of https://"},
		{"https://user:planted@%zz/", "not a URL"},
		{"", "none of https://"},
	}
	for _, test := range tests {
		t.Run(test.url, func(t *testing.T) {
			r, err := Open(Config{Dir: t.TempDir(), URL: test.url})
			if test.text == "" {
				must(t, err)
				must(t, r.Close())
				return
			}
			wantReason(t, err, Invalid, test.text)
			if strings.Contains(err.Error(), "planted") {
				t.Errorf("%q holds what may be a secret", err)
			}
		})
	}
}

func TestCertificateAuthorities(t *testing.T) {
	o := newOrigin(t)
	o.commit(map[string]string{"f": "1"})
	plain, err := url.Parse(o.server.URL())
	must(t, err)
	secure := httptest.NewUnstartedServer(httputil.NewSingleHostReverseProxy(plain))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains about the client that does not trust it
	secure.StartTLS()
	defer secure.Close()
	useTLS := func(c *Config) { c.URL = secure.URL + "/acme/posts.git" }

	_, err = o.open(useTLS).List(soon(t))
	wantReason(t, err, Unreachable, "ca.crt")
	_, err = o.open(useTLS, func(c *Config) { c.Credentials.CA = certificate(secure) }).List(soon(t))
	must(t, err)
	_, err = Open(Config{Dir: t.TempDir(), URL: o.URL(), Credentials: Credentials{CA: []byte("none")}})
	wantReason(t, err, Invalid, "ca.crt holds no certificate")
}

func TestAStoreThatCannotBeWritten(t *testing.T) {
	o := newOrigin(t)
	occupied := filepath.Join(t.TempDir(), "occupied")
	overwrite(t, occupied, "")
	_, err := Open(Config{Dir: occupied, URL: o.URL()})
	wantReason(t, err, Unreachable, "writable")
}

func TestLocalRepository(t *testing.T) {
	o := newOrigin(t)
	commit := o.commit(map[string]string{"f": "1"})
	r := o.open(func(c *Config) { c.URL, c.Local = "file://"+o.Dir(), AllowLocal })
	wantHead(t, r, "main", commit)
	wantFile(t, snapshot(t, r, commit), "f", "1")
	o.wantRequests()

	_, err := o.open(func(c *Config) { c.URL, c.Local = "file://"+o.Dir()+"/none", AllowLocal }).List(soon(t))
	wantReason(t, err, NotFound, "does not appear to be a git repository")
}
