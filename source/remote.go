package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"sync"
)

// transport reaches one repository's upload-pack.
type transport interface {
	// connect prepares one exchange. The exchange ends with ctx.
	connect(ctx context.Context) (exchange, error)
	// stateless reports whether a request works without a greeting on the same exchange before it.
	stateless() bool
	close()
}

// exchange is one conversation with upload-pack.
type exchange interface {
	greet() (io.Reader, error)              // what the server says first; once, before any request
	request(body []byte) (io.Reader, error) // sends, and returns the answer
	io.Closer
}

// remote speaks the protocol over a transport. It remembers, where that is useful, that the server speaks version 2.
type remote struct {
	transport transport

	mu    sync.Mutex
	known *greeting
}

func newRemote(config Config, u *url.URL) (*remote, error) {
	var t transport
	var err error
	switch u.Scheme {
	case "http", "https":
		t, err = newHTTPTransport(config, u)
	case "ssh":
		t, err = newSSHTransport(config, u)
	default:
		t = localTransport{path: u.Path}
	}
	if err != nil {
		return nil, err
	}
	return &remote{transport: t}, nil
}

// list asks for branches: one small request once the server is known to speak version 2.
func (r *remote) list(ctx context.Context, q query, limits Limits) (Listing, error) {
	var listing Listing
	err := r.talk(ctx, conversation{query: q, limits: limits}, func(x exchange, g *greeting) error {
		if g.version != 2 {
			listing = g.listing
			return nil
		}
		answer, err := x.request(g.lsRefs(q))
		if err != nil {
			return err
		}
		listing, err = readListing(boundedListing(answer, limits.ListingBytes), q)
		return err
	})
	return listing, err
}

// conversation is the purpose of an exchange, as far as its greeting depends on it.
type conversation struct {
	query  query // selects the references to keep from a greeting of version 0
	limits Limits
}

// fetch requests commits and passes their pack to take.
func (r *remote) fetch(ctx context.Context, w wanted, limits Limits, take func(io.Reader) error) error {
	within, cancel := context.WithTimeout(ctx, limits.FetchTimeout)
	defer cancel()
	asked := false
	err := r.talk(within, conversation{limits: limits}, func(x exchange, g *greeting) error {
		asked = true
		body, err := g.request(w)
		if err != nil {
			return err
		}
		answer, err := x.request(body)
		if err != nil {
			return err
		}
		pack, err := newPackStream(g, boundedFetch(answer, limits.FetchBytes))
		if err != nil {
			return err
		}
		return take(pack)
	})
	var known *fault
	if asked && ctx.Err() == nil && !errors.As(err, &known) && errors.Is(err, context.DeadlineExceeded) {
		// Another fetch of the same commits would end in the same way. A server begins to send when it has packed most
		// of the objects, and a proxy may delay that, so a missing answer means little. A server that sends no greeting
		// is unreachable instead.
		return &fault{reason: TooLarge, cause: fmt.Sprintf("the fetch took longer than %s", limits.FetchTimeout),
			hint: "raise limits.fetchTimeout if the repository is that large", err: err}
	}
	return err
}

// talk runs one exchange. If the repository has moved since the remembered greeting, it requests a new one, which
// follows redirects.
func (r *remote) talk(ctx context.Context, c conversation, say func(exchange, *greeting) error) error {
	greeted := r.recall() == nil
	err := r.exchange(ctx, c, say)
	if !greeted && errors.Is(err, errMoved) {
		return r.exchange(ctx, c, say)
	}
	return err
}

// exchange talks to the server once. After any error, the next exchange starts with a new greeting.
func (r *remote) exchange(ctx context.Context, c conversation, say func(exchange, *greeting) error) (err error) {
	x, err := r.transport.connect(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := x.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			r.remember(nil)
		}
		if ctx.Err() != nil && err != nil {
			err = errors.Join(ctx.Err(), err) // a reader's own error would hide an expired deadline
		}
	}()
	g := r.recall()
	if g == nil {
		answer, err := x.greet()
		if err != nil {
			return err
		}
		if g, err = readGreeting(boundedListing(answer, c.limits.ListingBytes), c.query); err != nil {
			return err
		}
		r.remember(g)
	}
	return say(x, g)
}

func (r *remote) recall() *greeting {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.known
}

func (r *remote) remember(g *greeting) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known = nil
	if g != nil && g.version == 2 && r.transport.stateless() {
		r.known = g
	}
}

// boundedReader fails, unlike an io.LimitedReader, if there is more than it may read.
type boundedReader struct {
	r     io.Reader
	left  int64
	limit int64
	what  string
	hint  string
}

// boundedListing bounds an answer that lists references, and boundedFetch one that brings a pack.
func boundedListing(r io.Reader, limit int64) *boundedReader {
	return &boundedReader{r: r, left: limit, limit: limit, what: "the list of references",
		hint: "delete unused references, let the server speak protocol version 2, or raise limits.listingBytes of the Repository"}
}

func boundedFetch(r io.Reader, limit int64) *boundedReader {
	return &boundedReader{r: r, left: limit, limit: limit, what: "the fetch", hint: "raise limits.fetchBytes if that is meant"}
}

func (b *boundedReader) Read(buf []byte) (int, error) {
	if b.left < 0 {
		return 0, &fault{reason: TooLarge, cause: fmt.Sprintf("%s is larger than %s", b.what, byteSize(b.limit)), hint: b.hint}
	}
	if int64(len(buf)) > b.left+1 {
		buf = buf[:b.left+1]
	}
	n, err := b.r.Read(buf)
	b.left -= int64(n)
	if b.left < 0 {
		return b.Read(nil)
	}
	return n, err
}

// byteSize prints a size as people write limits.
func byteSize(n int64) string {
	for _, unit := range []struct {
		size int64
		name string
	}{{1 << 30, "Gi"}, {1 << 20, "Mi"}, {1 << 10, "Ki"}} {
		if n >= unit.size && n%unit.size == 0 {
			return fmt.Sprintf("%d %sB", n/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}
