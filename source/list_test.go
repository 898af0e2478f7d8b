package source

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// randomText cannot be compressed well, so that its size shows on the wire.
func randomText(n int) string {
	var text strings.Builder
	for text.Len() < n {
		text.WriteString(rand.Text())
		text.WriteByte('\n')
	}
	return text.String()
}

func TestList(t *testing.T) {
	for name, version := range map[string]func(*origin){"version 2": func(*origin) {}, "version 0": (*origin).onlyVersion0} {
		t.Run(name, func(t *testing.T) {
			o := newOrigin(t)
			version(o)
			main := o.commit(map[string]string{"f": "main"})
			o.git("tag", "v1")
			o.git("checkout", "--quiet", "-b", "feature/login")
			feature := o.commit(map[string]string{"f": "feature"})
			o.git("checkout", "--quiet", "main")
			r := o.open()
			listing, err := r.List(soon(t))
			must(t, err)
			want := map[string]string{"main": main, "feature/login": feature}
			if listing.Default != "main" || !maps.Equal(listing.Heads, want) {
				t.Fatalf("got %v, want %v and main", listing, want)
			}

			o.git("symbolic-ref", "HEAD", "refs/heads/none")
			if listing, err = r.List(soon(t)); err != nil || listing.Default != "" || len(listing.Heads) != 2 {
				t.Errorf("a dangling HEAD gives %v, %v", listing, err)
			}
			o.git("update-ref", "--no-deref", "HEAD", main)
			if listing, err = r.List(soon(t)); err != nil || listing.Default != "" || len(listing.Heads) != 2 {
				t.Errorf("a detached HEAD gives %v, %v", listing, err)
			}
		})
	}
}

func TestAPollIsOneSmallRequest(t *testing.T) {
	o := newOrigin(t)
	o.commit(map[string]string{"f": "1"})
	o.refs(2000, "refs/merge-requests/%d/head")
	o.refs(50, "refs/heads/feature-%d")
	r := o.open()
	_, err := r.List(soon(t))
	must(t, err)
	wantRequests(t, o, greet, post)
	for range 3 {
		listing, err := r.List(soon(t))
		must(t, err)
		if len(listing.Heads) != 51 {
			t.Fatalf("%d branches", len(listing.Heads))
		}
		if sent := o.bytesSent(); sent > 6000 {
			t.Errorf("a poll took %d bytes", sent)
		}
		wantRequests(t, o, post)
	}
}

func TestAFailedPollStartsOver(t *testing.T) {
	o := newOrigin(t)
	o.commit(map[string]string{"f": "1"})
	r := o.open()
	_, err := r.List(soon(t))
	must(t, err)
	o.answer(status(http.StatusBadGateway))
	_, err = r.List(soon(t))
	wantReason(t, err, Unreachable, "502 Bad Gateway")
	o.answer(nil)
	o.takeRequests()
	_, err = r.List(soon(t))
	must(t, err)
	wantRequests(t, o, greet, post)
}

func TestEmptyRepository(t *testing.T) {
	for name, version := range map[string]func(*origin){"version 2": func(*origin) {}, "version 0": (*origin).onlyVersion0} {
		t.Run(name, func(t *testing.T) {
			o := newOrigin(t)
			version(o)
			listing, err := o.open().List(soon(t))
			wantReason(t, err, Empty, "has no branches")
			if len(listing.Heads) != 0 {
				t.Error(listing)
			}
		})
	}
}

func TestCutOffIsNeverAShorterList(t *testing.T) {
	for name, version := range map[string]func(*origin){"version 2": func(*origin) {}, "version 0": (*origin).onlyVersion0} {
		t.Run(name, func(t *testing.T) {
			o := newOrigin(t)
			version(o)
			o.commit(map[string]string{"f": "1"})
			o.refs(20, "refs/heads/b-%d")
			o.takeRequests()
			r := o.open()
			_, err := r.List(soon(t))
			must(t, err)
			total := o.bytesSent()
			for after := 1; after < total; after += 41 {
				o.cut(after)
				// A complete answer may precede the cut, as the greeting does; a listing is all or nothing.
				listing, err := r.List(soon(t))
				if err == nil && len(listing.Heads) != 21 {
					t.Fatalf("cut after %d bytes: %d branches", after, len(listing.Heads))
				}
			}
			o.cut(100)
			_, err = r.List(soon(t))
			wantReason(t, err, Unreachable)
		})
	}
}

// TestProxiesThatCloseCleanly is about a gateway that ends a broken answer as if it were whole.
func TestProxiesThatCloseCleanly(t *testing.T) {
	o := newOrigin(t)
	o.commit(map[string]string{"f": "1"})
	r := o.open()
	for _, body := range []string{"", "00", "003d", "0032" + strings.Repeat("1", 40) + " HE",
		"003f" + strings.Repeat("1", 40) + " refs/heads/main\n"} {
		o.answer(func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPost {
				return false
			}
			w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
			fmt.Fprint(w, body)
			return true
		})
		_, err := r.List(soon(t))
		wantReason(t, err, Unreachable, "cut off")
	}
}

func status(code int) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, "<html>a page for browsers", code)
		return true
	}
}

func TestListErrors(t *testing.T) {
	page := func(w http.ResponseWriter, _ *http.Request) bool {
		fmt.Fprint(w, "<html>please sign in")
		return true
	}
	says := func(text string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
			fmt.Fprintf(w, "%04x%s", len(text)+4, text)
			return true
		}
	}
	id := strings.Repeat("a", 64)
	tests := []struct {
		name   string
		answer func(http.ResponseWriter, *http.Request) bool
		reason Reason
		text   string
	}{
		{"401", status(401), Unauthorized, "secretRef"},
		{"403", status(403), Unauthorized, "does not accept the credentials"},
		{"404", status(404), NotFound, "check the URL"},
		{"429", status(429), Unreachable, "429"},
		{"500", status(500), Unreachable, "500 Internal Server Error"},
		{"a page", page, NotGit, "git clone"},
		{"a teapot", status(418), NotGit, "418"},
		{"garbage", says("hello"), NotGit, "not a list of Git references"},
		{"an error packet", says("ERR The project you were looking for could not be found."), NotFound, "the server says: The project"},
		{"a denial", says("ERR access denied or repository not exported"), Unauthorized, "access denied"},
		{"cut off", says("version 2\n"), Unreachable, "cut off"},
		{"SHA-256 in version 0", says(id + " HEAD\x00object-format=sha256\n"), Unsupported, "sha256"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := newOrigin(t)
			o.commit(map[string]string{"f": "1"})
			o.answer(test.answer)
			_, err := o.open().List(soon(t))
			wantReason(t, err, test.reason, test.text, "cannot list the branches of "+o.url())
		})
	}
}

func TestSHA256Repository(t *testing.T) {
	o := newOrigin(t)
	o.dir = t.TempDir()
	o.git("init", "--quiet", "--initial-branch=main", "--object-format=sha256")
	o.commit(map[string]string{"f": "1"})
	_, err := o.open().List(soon(t))
	wantReason(t, err, Unsupported, "sha256")
	o.onlyVersion0()
	_, err = o.open().List(soon(t))
	wantReason(t, err, Unsupported, "sha256")
}

func TestUnreachable(t *testing.T) {
	o := newOrigin(t)
	r := o.open()
	o.server.Close()
	_, err := r.List(soon(t))
	wantReason(t, err, Unreachable, "connection refused")
}

func TestASilentServerIsLeft(t *testing.T) {
	o := newOrigin(t)
	commit := o.commit(map[string]string{"f": "1"})
	o.answer(func(_ http.ResponseWriter, r *http.Request) bool {
		<-r.Context().Done()
		return true
	})
	r := o.open(func(c *Config) { c.Limits.FetchTimeout = 50 * time.Millisecond })
	_, err := r.List(soon(t))
	wantReason(t, err, Unreachable, "took too long")
	wantReason(t, r.Fetch(soon(t), commit), Unreachable, "took too long")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = r.List(ctx)
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestCredentials(t *testing.T) {
	const secret = "glpat-very/secret+token"
	o := newOrigin(t)
	commit := o.commit(map[string]string{"f": "1"})
	o.answer(func(w http.ResponseWriter, r *http.Request) bool {
		_, password, _ := r.BasicAuth()
		if password == secret || r.Header.Get("Authorization") == "Bearer "+secret {
			return false
		}
		w.Header().Set("WWW-Authenticate", "Basic")
		// A server that talks too much.
		http.Error(w, r.Header.Get("Authorization"), http.StatusUnauthorized)
		return true
	})
	tests := []struct {
		name        string
		credentials Credentials
		text        string
	}{
		{"password", Credentials{Username: "u", Password: secret}, ""},
		{"token as a password", Credentials{Password: secret}, ""},
		{"bearer", Credentials{BearerToken: secret}, ""},
		{"none", Credentials{}, "it wants credentials"},
		{"wrong", Credentials{Username: "u", Password: "planted"}, "does not accept the credentials"},
		{"wrong bearer", Credentials{BearerToken: "planted"}, "does not accept the credentials"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := o.open(func(c *Config) { c.Credentials = test.credentials })
			_, err := r.List(soon(t))
			if test.text == "" {
				must(t, err)
				wantFile(t, snapshot(t, r, commit), "f", "1")
				return
			}
			wantReason(t, err, Unauthorized, test.text)
			if strings.Contains(fmt.Sprintf("%v %+v", err, err), "planted") {
				t.Errorf("the error holds the credentials: %v", err)
			}
		})
	}
}

func TestServersThatQuoteCredentials(t *testing.T) {
	o := newOrigin(t)
	o.answer(func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
		_, password, _ := r.BasicAuth()
		text := "ERR denied: " + password + " and " + r.Header.Get("Authorization")
		fmt.Fprintf(w, "%04x%s", len(text)+4, text)
		return true
	})
	_, err := o.open(func(c *Config) { c.Credentials = Credentials{Username: "u", Password: "planted"} }).List(soon(t))
	wantReason(t, err, Unauthorized, "denied: [redacted] and Basic [redacted]")
}

func TestRedirects(t *testing.T) {
	o := newOrigin(t)
	commit := o.commit(map[string]string{"f": "1"})
	withPassword := func(c *Config) { c.Credentials = Credentials{Username: "u", Password: "p"} }
	redirectTo := func(base *string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			_, rest, found := strings.Cut(r.URL.Path, "/old")
			if found {
				http.Redirect(w, r, *base+rest+"?"+r.URL.RawQuery, http.StatusMovedPermanently)
			}
			return found
		}
	}

	t.Run("on the same host", func(t *testing.T) {
		target := o.url()
		o.answer(redirectTo(&target))
		r := o.open(withPassword, func(c *Config) { c.URL = o.server.URL + "/old" })
		wantFile(t, snapshot(t, r, commit), "f", "1")
		for _, request := range o.seen {
			if _, _, ok := request.BasicAuth(); !ok {
				t.Errorf("%s without credentials", request.URL)
			}
		}
		o.takeRequests()
		_, err := r.List(soon(t))
		must(t, err)
		wantRequests(t, o, post)
	})
	t.Run("to another host", func(t *testing.T) {
		other := newOrigin(t)
		moved := other.commit(map[string]string{"f": "moved"})
		target := other.url()
		o.answer(redirectTo(&target))
		r := o.open(withPassword, func(c *Config) { c.URL = o.server.URL + "/old" })
		wantFile(t, snapshot(t, r, moved), "f", "moved")
		for _, request := range other.seen {
			if request.Header.Get("Authorization") != "" {
				t.Errorf("%s %s with credentials", request.Method, request.URL)
			}
		}
		other.answer(status(http.StatusUnauthorized))
		_, err := r.List(soon(t))
		wantReason(t, err, Unauthorized, "where the credentials are not sent", other.server.URL)
	})
	t.Run("in circles", func(t *testing.T) {
		target := o.server.URL + "/old"
		o.answer(redirectTo(&target))
		_, err := o.open(withPassword, func(c *Config) { c.URL = o.server.URL + "/old" }).List(soon(t))
		wantReason(t, err, Unreachable, "redirects in circles")
	})
	t.Run("of a request", func(t *testing.T) {
		o.answer(func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPost {
				http.Redirect(w, r, "http://example.com/", http.StatusTemporaryRedirect)
			}
			return r.Method == http.MethodPost
		})
		_, err := o.open(withPassword).List(soon(t))
		wantReason(t, err, Refused, "a redirect that is not followed")
	})
	t.Run("to plain text", func(t *testing.T) {
		plain := o.url()
		secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, plain+"/info/refs?"+r.URL.RawQuery, http.StatusFound)
		}))
		defer secure.Close()
		_, err := o.open(withPassword, func(c *Config) {
			c.URL = secure.URL + "/a/b.git"
			c.Credentials.CA = certificate(secure)
		}).List(soon(t))
		wantReason(t, err, Refused, "unencrypted")
	})
}
