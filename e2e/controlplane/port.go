package controlplane

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// A reservedPort is a free TCP port of the loopback address that no other process gets while this one holds it. It is
// bound but does not listen. A server that allows port sharing (SO_REUSEPORT) can listen on it, also after a restart.
// The usual way, to find a free port and close it before the server binds it, is a race between clusters.
type reservedPort struct {
	socket int
	number int
}

func reservePort() (*reservedPort, error) {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot reserve a port: %w", os.NewSyscallError("socket", err))
	}
	port := &reservedPort{socket: socket}
	if err := port.bind(); err != nil {
		port.release()
		return nil, fmt.Errorf("cannot reserve a port: %w", err)
	}
	return port, nil
}

func (p *reservedPort) bind() error {
	unix.CloseOnExec(p.socket)
	if err := unix.SetsockoptInt(p.socket, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	if err := unix.Bind(p.socket, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return os.NewSyscallError("bind", err)
	}
	address, err := unix.Getsockname(p.socket)
	if err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	p.number = address.(*unix.SockaddrInet4).Port
	return nil
}

func (p *reservedPort) release() { _ = unix.Close(p.socket) }
