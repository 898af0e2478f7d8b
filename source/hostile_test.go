package source

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"berth.dev/berth/internal/gittest"
	"berth.dev/berth/internal/nearness"
)

// refLines is a list of branches, in version 2's form, that is generated while it is read.
type refLines struct {
	n, most int
	rest    []byte
}

func (l *refLines) Read(buf []byte) (int, error) {
	if len(l.rest) == 0 {
		if l.n > l.most {
			return 0, io.EOF
		}
		l.rest = []byte("0000")
		if l.n < l.most {
			line := fmt.Sprintf("%040x refs/heads/hostile-%09d\n", l.n, l.n)
			l.rest = fmt.Appendf(nil, "%04x%s", len(line)+4, line)
		}
		l.n++
	}
	n := copy(buf, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

func TestAListingKeepsWhatIsAskedFor(t *testing.T) {
	versions(t, func(t *testing.T, o *origin) {
		o.commit(map[string]string{"f": "1"})
		o.CommitFrom("main", "feature/login", map[string]string{"f": "2"}, "begin")
		o.refs(500, "refs/heads/other-%d")
		listing, err := o.open().List(soon(t), func(branch string) bool { return strings.HasPrefix(branch, "feature/") })
		must(t, err)
		if len(listing.Heads) != 2 || listing.Default != "main" || listing.Branches != 502 || len(listing.Others) != maxOthers {
			t.Errorf("kept %v, default %q, %d branches, %d others", listing.Heads, listing.Default, listing.Branches, len(listing.Others))
		}
	})
}

func TestAMillionBranchesTakeNoMemory(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	listing, err := readListing(&refLines{most: 1_000_000}, query{keep: func(branch string) bool { return branch == "hostile-000999999" }})
	must(t, err)
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
		t.Errorf("the listing holds %d bytes", grown)
	}
	if listing.Branches != 1_000_000 || len(listing.Heads) != 1 {
		t.Errorf("%d branches, kept %v", listing.Branches, listing.Heads)
	}
}

func TestTooManyBranches(t *testing.T) {
	versions(t, func(t *testing.T, o *origin) {
		head := o.commit(map[string]string{"f": "1"})
		o.refs(20, "refs/heads/main-%d")
		r := o.open(func(c *Config) { c.Limits.Branches = 20 })
		_, err := r.List(soon(t), nil)
		wantReason(t, err, TooLarge, "the repository has more than 20 branches", "limits.branches")

		// Branches that are requested by name are found, even if others share their prefix.
		listing, err := r.ListOnly(soon(t), []string{"main"})
		must(t, err)
		if len(listing.Heads) != 1 || listing.Heads["main"] != head {
			t.Errorf("by name: %v", listing.Heads)
		}
		if listing, err = r.ListOnly(soon(t), []string{"main", "nowhere"}); err != nil || len(listing.Heads) != 1 {
			t.Errorf("of one that is missing: %v, %v", listing.Heads, err)
		}
	})
}

func TestAListingOfTooManyBytes(t *testing.T) {
	versions(t, func(t *testing.T, o *origin) {
		o.commit(map[string]string{"f": "1"})
		o.refs(100, "refs/heads/b-%d")
		_, err := o.open(func(c *Config) { c.Limits.ListingBytes = 2 << 10 }).List(soon(t), nil)
		wantReason(t, err, TooLarge, "the list of references is larger than 2 KiB", "limits.listingBytes")
	})
}

// TestAListingThatIsCompressed sends a few kilobytes that unpack to gigabytes.
func TestAListingThatIsCompressed(t *testing.T) {
	o := newOrigin(t)
	o.commit(map[string]string{"f": "1"})
	r := o.open(func(c *Config) { c.Limits.Branches, c.Limits.ListingBytes = 1<<30, 2<<20 })
	_, err := r.List(soon(t), nil)
	must(t, err)
	line := strings.Repeat("1", 40) + " refs/heads/" + strings.Repeat("b", 1000) + "\n"
	o.server.Misbehave(gittest.Only(gittest.ListRefs, func(e *gittest.Exchange) {
		e.Writer.Header().Set("Content-Type", "application/x-git-upload-pack-result")
		e.Writer.Header().Set("Content-Encoding", "gzip")
		w := gzip.NewWriter(e.Writer)
		block := bytes.Repeat(fmt.Appendf(nil, "%04x%s", len(line)+4, line), 1000)
		for range 1000 {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}))
	o.server.Forget()
	_, err = r.List(soon(t), nil)
	wantReason(t, err, TooLarge, "larger than 2 MiB")
}

func TestServersThatOfferEverything(t *testing.T) {
	offers := []string{"version 2", "ls-refs", "fetch"}
	for i := range 10_000 {
		offers = append(offers, fmt.Sprintf("offer-%d=%s", i, strings.Repeat("x", 1000)))
	}
	g, err := readGreeting(strings.NewReader(packets(append(offers, "0000")...)), query{})
	must(t, err)
	if len(g.capabilities) > len(spoken) {
		t.Errorf("%d capabilities are kept", len(g.capabilities))
	}
}

func TestPacksThatGrow(t *testing.T) {
	s, err := openStore(t.TempDir())
	must(t, err)
	size := 1 << 20
	zeros := object{kind: plumbing.BlobObject, size: size, data: make([]byte, size)}
	err = s.add(soon(t), bytes.NewReader(makePack(slices.Repeat([]object{zeros}, 12)...)), within(Limits{FetchBytes: 1 << 20}))
	wantReason(t, classify("add", Credentials{}, err), TooLarge, "the fetch is larger than 10 MiB when it is unpacked", "limits.fetchBytes")

	// Each of these takes a kilobyte, and a megabyte when unpacked.
	id := plumbing.ComputeHash(plumbing.BlobObject, zeros.data)
	mebibyte := binary.AppendUvarint(nil, uint64(size))
	copies := bytes.Repeat([]byte{0xb0, 0xff, 0xff}, 17)
	instructions := slices.Concat(mebibyte, mebibyte, copies)
	deltas := slices.Repeat([]object{{kind: plumbing.REFDeltaObject, base: id, size: len(instructions), data: instructions}}, 12)
	err = s.add(soon(t), bytes.NewReader(makePack(append([]object{zeros}, deltas...)...)), within(Limits{FetchBytes: 1 << 20}))
	wantReason(t, classify("add", Credentials{}, err), TooLarge, "when it is unpacked")
}

func TestAPackIsCutOffEarly(t *testing.T) {
	s, err := openStore(t.TempDir())
	must(t, err)
	begins := makePack(object{kind: plumbing.BlobObject, size: 1 << 40, data: []byte("hello")})
	endless := &counted{r: io.MultiReader(bytes.NewReader(begins), zeros{})}
	err = s.add(soon(t), endless, within(Limits{}))
	wantReason(t, classify("add", Credentials{}, err), TooLarge, "more than 100 MiB cannot be unpacked")

	endless.r = io.MultiReader(strings.NewReader("PACK\x00\x00\x00\x02\x7f\xff\xff\xff"), zeros{})
	err = s.add(soon(t), endless, within(Limits{}))
	wantReason(t, classify("add", Credentials{}, err), TooLarge, "the commit has 2147483647 objects", "--git-memory")
	if endless.n > 1<<20 {
		t.Errorf("%d bytes were received", endless.n)
	}
}

type counted struct {
	r io.Reader
	n int64
}

func (c *counted) Read(buf []byte) (int, error) {
	n, err := c.r.Read(buf)
	c.n += int64(n)
	return n, err
}

func TestStoresWithoutRoom(t *testing.T) {
	o := newOrigin(t)
	commit := o.commit(map[string]string{"f": randomText(100 << 10)})
	full := &Error{Reason: Full, Op: "fetch", Cause: "the disk is full of other repositories"}
	left := int64(64 << 10)
	r := o.open(func(c *Config) {
		c.Room = func(_ context.Context, bytes int64) error {
			if left -= bytes; left < 0 {
				return full
			}
			return nil
		}
	})
	wantReason(t, r.Fetch(soon(t), commit), Full, full.Cause)
	left = 1 << 20
	must(t, r.Fetch(soon(t), commit))
}

func TestSmallFetchesDoNotWaitForLargeOnes(t *testing.T) {
	b := NewBudget(64 << 20)
	release, err := b.take(soon(t), 1<<40)
	must(t, err)
	small, err := b.take(soon(t), 1<<20)
	must(t, err)
	small()
	impatient, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err = b.take(impatient, 32<<20)
	wantReason(t, classify("fetch", Credentials{}, err), Unreachable, "left no memory", "--git-memory")
	release()
	release, err = b.take(soon(t), 32<<20)
	must(t, err)
	release()
}

func TestHowNearARedirectMayLead(t *testing.T) {
	for _, test := range []struct {
		origin  nearness.Nearness
		address string
		allowed bool
	}{
		{nearness.Public, "203.0.113.7", true},
		{nearness.Public, "2001:db8::1", true},
		{nearness.Public, "127.0.0.1", false},
		{nearness.Public, "::1", false},
		{nearness.Public, "::ffff:127.0.0.1", false},
		{nearness.Public, "0.0.0.0", false},
		{nearness.Public, "169.254.169.254", false},
		{nearness.Public, "fe80::1", false},
		{nearness.Public, "10.96.0.1", false},
		{nearness.Public, "100.64.1.1", false},
		{nearness.Public, "192.0.0.192", false},
		{nearness.Private, "100.100.100.200", false},
		{nearness.Public, "fd00::1", false},
		{nearness.Private, "192.168.1.1", true},
		{nearness.Private, "203.0.113.7", true},
		{nearness.Private, "169.254.169.254", false},
		{nearness.Private, "127.0.0.1", false},
		{nearness.Local, "127.0.0.1", true},
	} {
		r := &reach{origin: "git.example.com", nearest: test.origin}
		if err := r.check("elsewhere.example.com", netip.MustParseAddr(test.address)); (err == nil) != test.allowed {
			t.Errorf("from nearness %d to %s: %v", test.origin, test.address, err)
		}
	}
}

// behindProxy serves a repository under a name that only a proxy resolves, so that its address is not this machine's.
func behindProxy(t *testing.T, to *url.URL) func(*Config) {
	t.Helper()
	proxy := &http.Server{Handler: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}}
	address := serve(t, proxy)
	return func(c *Config) {
		c.URL = "http://git.example.com/acme/posts.git"
		c.Proxy = func(r *http.Request) (*url.URL, error) {
			if r.URL.Hostname() != "git.example.com" {
				return nil, nil
			}
			return address, nil
		}
	}
}

func TestRedirectsToThisMachine(t *testing.T) {
	o := newOrigin(t)
	o.commit(map[string]string{"f": "1"})
	to, err := url.Parse(o.server.URL())
	must(t, err)
	r := o.open(behindProxy(t, to))
	_, err = r.List(soon(t), nil)
	must(t, err) // the administrator's own address may be anywhere
	inside := newOrigin(t)
	inside.commit(map[string]string{"f": "inside"})
	for _, address := range []string{inside.server.URL(), strings.Replace(inside.server.URL(), "127.0.0.1", "localhost", 1), "http://169.254.169.254", "http://[::1]:1", "http://0.0.0.0:1"} {
		o.server.Misbehave(gittest.Only(gittest.Discovery, gittest.Redirect(address)))
		_, err := o.open(behindProxy(t, to)).List(soon(t), nil)
		wantReason(t, err, Refused, "the server redirects to", "nearer to the agent", "put the address that it redirects to into the Repository")
	}
	if n := inside.server.Count(); n > 0 {
		t.Errorf("%d requests went where a redirect led", n)
	}
}

// TestARepositoryThatWasRenamed has a server answer 301 to the request that follows a remembered greeting.
func TestARepositoryThatWasRenamed(t *testing.T) {
	o := newOrigin(t)
	head := o.commit(map[string]string{"f": "1"})
	r := o.open(func(c *Config) { c.URL = o.server.URL() + "/acme/old.git" })
	at := "/acme/old.git"
	o.server.Misbehave(func(e *gittest.Exchange) {
		rest, found := strings.CutPrefix(e.HTTP.URL.Path, at)
		switch {
		case found && at == "/acme/old.git":
			e.HTTP.URL.Path = "/acme/posts.git" + rest
			e.Answer()
		case found:
			e.Answer()
		default:
			http.Redirect(e.Writer, e.HTTP, o.server.URL()+strings.Replace(e.HTTP.URL.RequestURI(), "/acme/old.git", at, 1), http.StatusMovedPermanently)
		}
	})
	_, err := r.List(soon(t), nil)
	must(t, err)
	at = "/acme/posts.git"
	o.server.Forget()
	listing, err := r.List(soon(t), nil)
	must(t, err)
	if listing.Heads["main"] != head {
		t.Errorf("%v", listing.Heads)
	}
	o.wantRequests(gittest.ListRefs, gittest.Discovery, gittest.Discovery, gittest.ListRefs)
	must(t, r.Fetch(soon(t), head))
}
