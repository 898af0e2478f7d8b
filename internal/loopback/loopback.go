// Package loopback finds addresses of this machine for servers that tests start as child processes.
package loopback

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Ports outside the ranges from which kernels choose ports themselves, for listeners and for outgoing connections: Linux
// begins at 32768, others at 49152.
const (
	firstPort = 15000
	lastPort  = 30000
)

// tries is how many ports are tried. Nearly all of them are unused.
const tries = 100

// claims holds a UDP socket for each claimed port until the process ends.
var claims struct {
	mu      sync.Mutex
	sockets []net.PacketConn
}

// Claim returns an address at which a child process can listen for TCP connections. It stays claimed until this process
// ends: the kernel gives its port to no other process, and concurrent tests of other packages cannot claim it. Asking the kernel for
// a port and closing its listener would leave a moment in which another process gets the same port.
func Claim() (string, error) {
	for range tries {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(firstPort+rand.IntN(lastPort-firstPort)))
		socket, err := net.ListenPacket("udp", address)
		if err != nil {
			continue // another process has claimed it
		}
		listener, err := net.Listen("tcp", address)
		if err != nil {
			_ = socket.Close() // a server of another kind listens there
			continue
		}
		claims.mu.Lock()
		claims.sockets = append(claims.sockets, socket)
		claims.mu.Unlock()
		return address, listener.Close()
	}
	return "", fmt.Errorf("cannot find an unused port from %d to %d in %d tries", firstPort, lastPort, tries)
}
