// Package faulttest is, for tests, a network to an API server that breaks when a test says so.
package faulttest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

// kind is the kind of a fault.
type kind int

const (
	none   kind = iota
	cut         // connections are closed, and new ones at once
	hung        // connections are accepted, and nothing passes
	slow        // everything passes later
	answer      // another server answers each request with a status
	stale       // the server's certificate has expired
)

type fault struct {
	kind   kind
	delay  time.Duration
	status int
}

// Link is a network to one API server. Clients use the configuration of Config. What it carries is not changed: TLS ends at the
// API server, except during Answer and Expire.
type Link struct {
	target   string
	listener net.Listener
	broken   *gateway

	mu      sync.Mutex
	fault   fault
	changed chan struct{} // closed with the next change of fault
	open    map[net.Conn]struct{}
}

// To returns a link to the API server of a configuration, until the test ends.
func To(t testing.TB, config *rest.Config) *Link {
	t.Helper()
	l, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// New returns a link to the API server of a configuration, until Close.
func New(config *rest.Config) (*Link, error) {
	server, err := url.Parse(config.Host)
	if err != nil {
		return nil, fmt.Errorf("reading the address of the API server: %w", err)
	}
	l := &Link{target: server.Host, changed: make(chan struct{}), open: map[net.Conn]struct{}{}}
	if l.broken, err = newGateway(l.now); err != nil {
		return nil, err
	}
	if l.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	go l.accept()
	go l.broken.serve()
	return l, nil
}

// Config returns a configuration that uses the link: another address, and one more authority, that of the servers of Answer.
func (l *Link) Config(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.Host = "https://" + l.listener.Addr().String()
	config.CAData = slices.Concat(config.CAData, []byte("\n"), l.broken.authority)
	return config
}

// Cut closes all connections, and new ones at once, until Mend.
func (l *Link) Cut() { l.set(fault{kind: cut}); l.closeAll() }

// Break closes all connections. New ones work.
func (l *Link) Break() { l.closeAll() }

// Hang lets nothing pass, until Mend: connections stay open, new ones are accepted, and nothing arrives.
func (l *Link) Hang() { l.set(fault{kind: hung}) }

// Delay delays what passes in each direction by a time, until Mend.
func (l *Link) Delay(by time.Duration) { l.set(fault{kind: slow, delay: by}) }

// Answer answers all requests with a status, as a load balancer without an API server behind it, until Mend.
func (l *Link) Answer(status int) { l.set(fault{kind: answer, status: status}); l.closeAll() }

// Expire presents a server certificate that has expired, until Mend.
func (l *Link) Expire() { l.set(fault{kind: stale}); l.closeAll() }

// Mend ends the fault. Connections that a fault did not close continue.
func (l *Link) Mend() {
	before := l.now().kind
	l.set(fault{})
	if before == answer || before == stale {
		l.closeAll() // those of the other server
	}
}

// Close ends the link and its connections.
func (l *Link) Close() {
	_ = l.listener.Close()
	l.Cut()
	l.broken.close()
}

func (l *Link) now() fault {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fault
}

func (l *Link) set(f fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault = f
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *Link) closeAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for conn := range l.open {
		_ = conn.Close()
	}
	clear(l.open)
}

func (l *Link) accept() {
	for {
		conn, err := l.listener.Accept()
		if err != nil {
			return
		}
		switch l.now().kind {
		case cut:
			_ = conn.Close()
		case answer, stale:
			if l.hold(conn) {
				l.broken.take(conn)
			}
		default:
			go l.carry(conn)
		}
	}
}

// carry connects a client with the API server.
func (l *Link) carry(client net.Conn) {
	server, err := net.Dial("tcp", l.target)
	if err != nil {
		_ = client.Close()
		return
	}
	if !l.hold(client, server) {
		return
	}
	go l.pump(server, client)
	l.pump(client, server)
}

// hold keeps connections for closeAll. If the link is cut, it closes them and returns false.
func (l *Link) hold(conns ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, conn := range conns {
		if l.fault.kind == cut {
			_ = conn.Close()
			continue
		}
		l.open[conn] = struct{}{}
	}
	return l.fault.kind != cut
}

func (l *Link) drop(conns ...net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, conn := range conns {
		_ = conn.Close()
		delete(l.open, conn)
	}
}

// pump carries what arrives on one connection to the other, until one of them ends.
func (l *Link) pump(to, from net.Conn) {
	defer l.drop(to, from)
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			l.pass()
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// pass returns when data may pass.
func (l *Link) pass() {
	for {
		l.mu.Lock()
		f, changed := l.fault, l.changed
		l.mu.Unlock()
		switch f.kind {
		case hung:
			<-changed
		case slow:
			late := time.NewTimer(f.delay)
			select {
			case <-late.C:
				return
			case <-changed:
				late.Stop()
			}
		default:
			return
		}
	}
}

// gateway is the server that answers during Answer and Expire.
type gateway struct {
	authority   []byte // PEM
	connections chan net.Conn
	ended       chan struct{}
	end         func()
	server      *http.Server
}

func newGateway(now func() fault) (*gateway, error) {
	certificates, err := newCertificates(time.Now())
	if err != nil {
		return nil, err
	}
	g := &gateway{authority: certificates.authority, connections: make(chan net.Conn), ended: make(chan struct{})}
	g.end = sync.OnceFunc(func() { close(g.ended) })
	g.server = &http.Server{
		TLSConfig:         certificates.config(func() bool { return now().kind == stale }),
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          quiet(),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			f := now()
			if f.kind != answer {
				panic(http.ErrAbortHandler) // the fault has just ended
			}
			http.Error(w, "no healthy upstream", f.status)
		}),
	}
	return g, nil
}

func (g *gateway) serve() { _ = g.server.ServeTLS(g, "", "") } // it ends with close

func (g *gateway) take(conn net.Conn) {
	select {
	case g.connections <- conn:
	case <-g.ended:
		_ = conn.Close()
	}
}

// Accept returns the next connection.
func (g *gateway) Accept() (net.Conn, error) {
	select {
	case conn := <-g.connections:
		return conn, nil
	case <-g.ended:
		return nil, io.EOF
	}
}

// Close ends Accept.
func (g *gateway) Close() error { g.end(); return nil }

// Addr is an address without a meaning.
func (g *gateway) Addr() net.Addr { return &net.TCPAddr{} }

func (g *gateway) close() {
	g.end()
	_ = g.server.Close()
}
