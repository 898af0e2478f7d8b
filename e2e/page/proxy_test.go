package page

import (
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// network is the way to the control plane. It can be lost, and come back.
type network struct {
	listener net.Listener
	target   string

	mu    sync.Mutex
	lost  bool
	conns map[net.Conn]bool
}

// through returns a network, and a kubeconfig whose server is reached through it.
func through(t *testing.T, kubeconfig string) (n *network, path string) {
	t.Helper()
	server, err := url.Parse(shared.Cluster.RESTConfig().Host)
	if err != nil {
		t.Fatal(err)
	}
	n = &network{target: server.Host, conns: map[net.Conn]bool{}}
	if n.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	go n.serve()
	t.Cleanup(func() {
		_ = n.listener.Close()
		n.loses()
	})
	text, err := os.ReadFile(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.ReplaceAll(string(text), server.Host, n.listener.Addr().String())
	if changed == string(text) {
		t.Fatalf("%s does not name the server %s", kubeconfig, server.Host)
	}
	path = filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	return n, path
}

func (n *network) serve() {
	for {
		near, err := n.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", n.target)
		if err != nil || !n.keeps(near, far) {
			_ = near.Close()
			continue
		}
		for _, pair := range [][2]net.Conn{{near, far}, {far, near}} {
			go func() {
				_, _ = io.Copy(pair[0], pair[1])
				_ = pair[0].Close()
			}()
		}
	}
}

// keeps reports whether connections may exist.
func (n *network) keeps(conns ...net.Conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, conn := range conns {
		if n.lost {
			_ = conn.Close()
		}
		n.conns[conn] = true
	}
	return !n.lost
}

// loses ends all connections, and refuses new ones until the network is back.
func (n *network) loses() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lost = true
	for conn := range n.conns {
		_ = conn.Close()
	}
	n.conns = map[net.Conn]bool{}
}

func (n *network) isBack() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lost = false
}
