package source

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
)

// sshTransport runs git-upload-pack on the server. Only the given key or password and the given host keys count: no
// agent, no configuration and no known_hosts of the machine.
type sshTransport struct {
	address string
	path    string
	config  ssh.ClientConfig
	refused fault // the error if the server refuses the login
}

func newSSHTransport(config Config, u *url.URL) (*sshTransport, error) {
	t := &sshTransport{address: u.Host, path: u.Path}
	if u.Port() == "" {
		t.address = net.JoinHostPort(u.Hostname(), "22")
	}
	if strings.HasPrefix(t.path, "/~") {
		t.path = t.path[1:]
	}
	t.config.User = config.Credentials.user()
	if u.User != nil {
		t.config.User = u.User.Username()
	}
	t.config.Timeout = 10 * time.Second
	if err := t.trust(config.Credentials.KnownHosts, config.Dir); err != nil {
		return nil, err
	}
	return t, t.identify(config.Credentials)
}

// trust reads the host keys. The library reads only files, so trust writes one; host keys are not secret. It lies
// beside the store, because other folders may be read-only.
func (t *sshTransport) trust(hosts []byte, dir string) error {
	if len(hosts) == 0 {
		return &fault{reason: Invalid, cause: "there are no host keys to recognize the server",
			hint: "put the output of ssh-keyscan, once checked, as known_hosts into the repository's Secret"}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(dir, "known_hosts-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	_, err = file.Write(hosts)
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	known, err := knownhosts.New(file.Name())
	if err != nil {
		return &fault{reason: Invalid, cause: "known_hosts cannot be read", hint: "each line is: host, key type, key", err: err}
	}
	t.config.HostKeyCallback = func(host string, remote net.Addr, key ssh.PublicKey) error {
		err := known.HostKeyCallback()(host, remote, key)
		switch {
		case knownhosts.IsHostKeyChanged(err):
			return &fault{reason: Unauthorized, cause: "the server's host key differs from the one in known_hosts: " + ssh.FingerprintSHA256(key),
				hint: "find out why before changing known_hosts", err: err}
		case err != nil:
			return &fault{reason: Unauthorized, cause: "known_hosts does not have the server's host key: " + ssh.FingerprintSHA256(key),
				hint: "check the fingerprint and add the key to the repository's Secret", err: err}
		}
		return nil
	}
	t.config.HostKeyAlgorithms = known.HostKeyAlgorithms(t.address)
	return nil
}

// identify chooses how to log in.
func (t *sshTransport) identify(c Credentials) error {
	t.refused = fault{reason: Unauthorized, cause: "the server does not accept the SSH key", hint: "add its public half to the server, with the right to read, and check the user in the URL, before the @"}
	if len(c.Identity) == 0 {
		if c.Password != "" {
			t.refused.cause, t.refused.hint = "the server does not accept the user name and password", "check them in the repository's Secret"
			t.config.Auth = []ssh.AuthMethod{ssh.Password(c.Password)}
			return nil
		}
		return &fault{reason: Unauthorized, cause: "there is no SSH key", hint: "put it as identity into the repository's Secret"}
	}
	signer, err := ssh.ParsePrivateKey(c.Identity)
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) && c.Password != "" {
		signer, err = ssh.ParsePrivateKeyWithPassphrase(c.Identity, []byte(c.Password))
	}
	if err != nil {
		// The library's text is left out: it may quote the key.
		return &fault{reason: Invalid, cause: "the SSH key cannot be read", hint: "identity must be a private key in PEM, and password its passphrase if it has one"}
	}
	t.config.Auth = []ssh.AuthMethod{ssh.PublicKeys(signer)}
	return nil
}

func (*sshTransport) stateless() bool { return false }
func (*sshTransport) close()          {}

func (t *sshTransport) connect(ctx context.Context) (exchange, error) {
	dialer := net.Dialer{Timeout: t.config.Timeout}
	connection, err := dialer.DialContext(ctx, "tcp", t.address)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = connection.Close() })
	x, err := t.start(connection)
	if err != nil {
		stop()
		_ = connection.Close()
		return nil, errors.Join(ctx.Err(), err)
	}
	x.kill = func() {
		stop()
		_ = connection.Close()
	}
	return x, nil
}

// start logs in and runs the program. A server that rejects GIT_PROTOCOL answers in version 0.
func (t *sshTransport) start(connection net.Conn) (*streamExchange, error) {
	c, channels, requests, err := ssh.NewClientConn(connection, t.address, &t.config)
	if err != nil {
		if strings.Contains(err.Error(), "unable to authenticate") {
			refused := t.refused
			refused.err = err
			return nil, &refused
		}
		return nil, err
	}
	session, err := ssh.NewClient(c, channels, requests).NewSession()
	if err != nil {
		return nil, err
	}
	x := &streamExchange{complaint: &complaint{}}
	session.Stderr = x.complaint
	if x.in, err = session.StdinPipe(); err != nil {
		return nil, err
	}
	if x.out, err = session.StdoutPipe(); err != nil {
		return nil, err
	}
	x.wait = sync.OnceValue(session.Wait)
	_ = session.Setenv("GIT_PROTOCOL", "version=2")
	return x, session.Start("git-upload-pack '" + strings.ReplaceAll(t.path, "'", `'\''`) + "'")
}
