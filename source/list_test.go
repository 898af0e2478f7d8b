package source

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/internal/gittest"
)

// randomText returns text that compresses badly, so that its size shows on the wire.
func randomText(n int) string {
	var text strings.Builder
	for text.Len() < n {
		text.WriteString(rand.Text())
		text.WriteByte('\n')
	}
	return text.String()
}

func TestList(t *testing.T) {
	versions(t, func(t *testing.T, o *origin) {
		main := o.commit(map[string]string{"f": "main"})
		feature := o.CommitFrom("main", "feature/login", map[string]string{"f": "feature"}, "begin")
		o.Refs(map[string]string{"refs/tags/v1": main})
		r := o.open()
		listing, err := r.List(soon(t), nil)
		must(t, err)
		want := map[string]string{"main": main, "feature/login": feature}
		if listing.Default != "main" || !maps.Equal(listing.Heads, want) {
			t.Fatalf("got %v, want %v and main", listing, want)
		}

		o.SetDefault("none")
		if listing, err = r.List(soon(t), nil); err != nil || listing.Default != "" || len(listing.Heads) != 2 {
			t.Errorf("a dangling HEAD gives %v, %v", listing, err)
		}
		o.git("update-ref", "--no-deref", "HEAD", main)
		if listing, err = r.List(soon(t), nil); err != nil || listing.Default != "" || len(listing.Heads) != 2 {
			t.Errorf("a detached HEAD gives %v, %v", listing, err)
		}
	})
}

func TestAPollIsOneSmallRequest(t *testing.T) {
	o := newOrigin(t)
	o.commit(map[string]string{"f": "1"})
	o.refs(2000, "refs/merge-requests/%d/head")
	o.refs(50, "refs/heads/feature-%d")
	r := o.open()
	_, err := r.List(soon(t), nil)
	must(t, err)
	o.wantRequests(gittest.Discovery, gittest.ListRefs)
	for range 3 {
		listing, err := r.List(soon(t), nil)
		must(t, err)
		if len(listing.Heads) != 51 {
			t.Fatalf("%d branches", len(listing.Heads))
		}
		if sent := o.server.Sent(); sent > 6000 {
			t.Errorf("a poll took %d bytes", sent)
		}
		o.wantRequests(gittest.ListRefs)
	}
}

func TestAFailedPollStartsOver(t *testing.T) {
	o := newOrigin(t)
	o.commit(map[string]string{"f": "1"})
	r := o.open()
	_, err := r.List(soon(t), nil)
	must(t, err)
	o.server.Misbehave(gittest.Status(http.StatusBadGateway))
	_, err = r.List(soon(t), nil)
	wantReason(t, err, Unreachable, "502 Bad Gateway")
	o.server.Behave()
	o.server.Forget()
	_, err = r.List(soon(t), nil)
	must(t, err)
	o.wantRequests(gittest.Discovery, gittest.ListRefs)
}

func TestEmptyRepository(t *testing.T) {
	versions(t, func(t *testing.T, o *origin) {
		listing, err := o.open().List(soon(t), nil)
		wantReason(t, err, Empty, "has no branches")
		if len(listing.Heads) != 0 {
			t.Error(listing)
		}
	})
}

func TestCutOffIsNeverAShorterList(t *testing.T) {
	versions(t, func(t *testing.T, o *origin) {
		o.commit(map[string]string{"f": "1"})
		o.refs(20, "refs/heads/b-%d")
		r := o.open()
		_, err := r.List(soon(t), nil)
		must(t, err)
		total := o.server.Sent()
		for after := int64(1); after < total; after += 83 {
			o.server.Misbehave(gittest.CutOff(after))
			// Wherever the answer is cut, a listing is all or nothing.
			listing, err := r.List(soon(t), nil)
			if err == nil && len(listing.Heads) != 21 {
				t.Fatalf("cut after %d bytes: %d branches", after, len(listing.Heads))
			}
		}
		o.server.Misbehave(gittest.CutOff(100))
		_, err = r.List(soon(t), nil)
		wantReason(t, err, Unreachable)
	})
}

func TestAListingWithoutEnd(t *testing.T) {
	_, err := io.Copy(io.Discard, boundedListing(zeros{}, 64<<20))
	wantReason(t, classify("list", Credentials{}, err), TooLarge, "the list of references is larger than 64 MiB", "limits.listingBytes")
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestProxiesThatCloseCleanly covers a gateway that ends a truncated answer as if it were complete.
func TestProxiesThatCloseCleanly(t *testing.T) {
	o := newOrigin(t)
	o.commit(map[string]string{"f": "1"})
	r := o.open()
	for _, body := range []string{"", "00", "003d", "0032" + strings.Repeat("1", 40) + " HE",
		"003f" + strings.Repeat("1", 40) + " refs/heads/main\n"} {
		o.server.Misbehave(gittest.Only(gittest.ListRefs, func(e *gittest.Exchange) {
			e.Writer.Header().Set("Content-Type", "application/x-git-upload-pack-result")
			fmt.Fprint(e.Writer, body)
		}))
		_, err := r.List(soon(t), nil)
		wantReason(t, err, Unreachable, "cut off")
	}
}

func TestListErrors(t *testing.T) {
	id := strings.Repeat("a", 64)
	tests := []struct {
		name   string
		fault  gittest.Fault
		reason Reason
		text   string
	}{
		{"401", gittest.Status(401), Unauthorized, "secretRef"},
		{"403", gittest.Status(403), Unauthorized, "403 Forbidden: it wants credentials"},
		{"407", gittest.Status(407), Unreachable, "the proxy answers 407 Proxy Authentication Required; check the user and password in the agent's HTTP_PROXY"},
		{"404", gittest.Status(404), NotFound, "check the URL"},
		{"429", gittest.Status(429), Unreachable, "429"},
		{"500", gittest.Status(500), Unreachable, "500 Internal Server Error"},
		{"a page", page, NotGit, "git clone"},
		{"a teapot", gittest.Status(418), NotGit, "418"},
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
			o.server.Misbehave(test.fault)
			_, err := o.open().List(soon(t), nil)
			wantReason(t, err, test.reason, test.text, "cannot list the branches of "+o.URL())
		})
	}
}

func TestSHA256Repository(t *testing.T) {
	versions(t, func(t *testing.T, o *origin) {
		must(t, os.RemoveAll(o.Dir()))
		gitWith(t, "", "", "init", "--quiet", "--bare", "--object-format=sha256", o.Dir())
		o.commit(map[string]string{"f": "1"})
		_, err := o.open().List(soon(t), nil)
		wantReason(t, err, Unsupported, "sha256")
	})
}

func TestUnreachable(t *testing.T) {
	o := newOrigin(t)
	_, err := o.open(func(c *Config) { c.URL = "http://127.0.0.1:1/acme/posts.git" }).List(soon(t), nil)
	wantReason(t, err, Unreachable, "connection refused")
	_, err = o.open(func(c *Config) { c.URL = "http://no-such-host.invalid/acme/posts.git" }).List(soon(t), nil)
	wantReason(t, err, Unreachable, "no-such-host.invalid", "check the host's name")
}

func TestASilentServerIsLeft(t *testing.T) {
	o := newOrigin(t)
	commit := o.commit(map[string]string{"f": "1"})
	o.server.Misbehave(gittest.Hang)
	r := o.open(func(c *Config) { c.Limits.FetchTimeout = 50 * time.Millisecond })
	_, err := r.List(soon(t), nil)
	wantReason(t, err, Unreachable, "took too long")
	wantReason(t, r.Fetch(soon(t), commit), Unreachable, "took too long")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = r.List(ctx, nil)
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestCredentials(t *testing.T) {
	const secret = "glpat-very/secret+token"
	o := newOrigin(t)
	commit := o.commit(map[string]string{"f": "1"})
	basic := func() { o.server.RequireBasic("git", secret) }
	bearer := func() { o.server.RequireBearer(secret) }
	tests := []struct {
		name        string
		require     func()
		credentials Credentials
		text        string
	}{
		{"user and password", basic, Credentials{Username: "git", Password: secret}, ""},
		{"token as a password", basic, Credentials{Password: secret}, ""},
		{"bearer", bearer, Credentials{BearerToken: secret}, ""},
		{"none", basic, Credentials{}, "it wants credentials"},
		{"wrong password", basic, Credentials{Password: "planted"}, "does not accept the credentials"},
		{"wrong bearer", bearer, Credentials{BearerToken: "planted"}, "does not accept the credentials"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.require()
			r := o.open(func(c *Config) { c.Credentials = test.credentials })
			_, err := r.List(soon(t), nil)
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

// A server that knows a token but refuses it has a problem with its scope or its user.
func TestCredentialsWithoutTheRight(t *testing.T) {
	o := newOrigin(t)
	o.server.Misbehave(gittest.Status(403))
	_, err := o.open(func(c *Config) { c.Credentials = Credentials{Password: "planted"} }).List(soon(t), nil)
	wantReason(t, err, Unauthorized, "403 Forbidden: the credentials do not give the right to read this repository; give the token the scope for that")
}

func TestServersThatQuoteCredentials(t *testing.T) {
	o := newOrigin(t)
	o.server.Misbehave(func(e *gittest.Exchange) {
		_, password, _ := e.HTTP.BasicAuth()
		says("ERR denied: " + password + " and " + e.HTTP.Header.Get("Authorization"))(e)
	})
	_, err := o.open(func(c *Config) { c.Credentials = Credentials{Username: "u", Password: "planted"} }).List(soon(t), nil)
	wantReason(t, err, Unauthorized, "denied: [redacted] and Basic [redacted]")
}

func TestRedirects(t *testing.T) {
	atOld := func(o *origin) func(*Config) {
		return func(c *Config) {
			c.URL, c.Credentials = o.server.URL()+"/old", Credentials{Username: "u", Password: "planted"}
		}
	}
	t.Run("on the same host", func(t *testing.T) {
		o := newOrigin(t)
		commit := o.commit(map[string]string{"f": "1"})
		o.server.Misbehave(moved(o.URL()))
		r := o.open(atOld(o))
		wantFile(t, snapshot(t, r, commit), "f", "1")

		var carried []bool
		o.server.Misbehave(notes(&carried))
		o.server.Forget()
		_, err := r.List(soon(t), nil)
		must(t, err)
		o.wantRequests(gittest.ListRefs) // directly to the redirect's target
		if !slices.Equal(carried, []bool{true}) {
			t.Errorf("credentials carried: %v", carried)
		}
	})
	t.Run("to another host", func(t *testing.T) {
		o, other := newOrigin(t), newOrigin(t)
		commit := other.commit(map[string]string{"f": "moved"})
		o.server.Misbehave(moved(other.URL()))
		var carried []bool
		other.server.Misbehave(notes(&carried))
		r := o.open(atOld(o))
		wantFile(t, snapshot(t, r, commit), "f", "moved")
		_, err := r.List(soon(t), nil)
		must(t, err)
		if !slices.Equal(carried, []bool{false, false, false}) {
			t.Errorf("credentials carried: %v", carried)
		}
		other.server.RequireBasic("u", "planted")
		_, err = r.List(soon(t), nil)
		wantReason(t, err, Unauthorized, "where the credentials are not sent", other.server.URL())
	})
	t.Run("in circles", func(t *testing.T) {
		o := newOrigin(t)
		o.server.Misbehave(moved(o.server.URL() + "/old"))
		_, err := o.open(atOld(o)).List(soon(t), nil)
		wantReason(t, err, Unreachable, "redirects in circles")
	})
	t.Run("of a request", func(t *testing.T) {
		o := newOrigin(t)
		o.commit(map[string]string{"f": "1"})
		o.server.Misbehave(gittest.Only(gittest.ListRefs, gittest.Redirect("http://example.com")))
		_, err := o.open().List(soon(t), nil)
		wantReason(t, err, Refused, "a redirect that is not followed")
	})
	t.Run("to plain text", func(t *testing.T) {
		o := newOrigin(t)
		secure := httptest.NewTLSServer(http.RedirectHandler(o.URL()+"/info/refs", http.StatusFound))
		defer secure.Close()
		_, err := o.open(atOld(o), func(c *Config) {
			c.URL, c.Credentials.CA = secure.URL+"/a/b.git", certificate(secure)
		}).List(soon(t), nil)
		wantReason(t, err, Refused, "unencrypted")
	})
}
