package source

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
)

// sshPassword is the password of the user "reader".
const sshPassword = "pl4nted of the reader"

// sshServer lets one key run git-upload-pack, as a Git host does.
type sshServer struct {
	t       testing.TB
	address string
	hostKey ssh.PublicKey
	config  ssh.ServerConfig
	env     bool // whether clients may choose the protocol's version
}

// protocolChoice reports whether an SSH server passes GIT_PROTOCOL on.
type protocolChoice bool

func newSSHServer(t testing.TB, client ssh.PublicKey, choice protocolChoice) *sshServer {
	t.Helper()
	host, _ := newKey(t)
	s := &sshServer{t: t, hostKey: host.PublicKey(), env: bool(choice)}
	s.config.PublicKeyCallback = func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if string(key.Marshal()) != string(client.Marshal()) {
			return nil, ssh.ErrNoAuth
		}
		return nil, nil
	}
	s.config.PasswordCallback = func(c ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
		if c.User() != "reader" || string(password) != sshPassword {
			return nil, ssh.ErrNoAuth
		}
		return nil, nil
	}
	s.config.AddHostKey(host)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	s.address = listener.Addr().String()
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go s.serve(connection)
		}
	}()
	return s
}

func (s *sshServer) serve(connection net.Conn) {
	defer connection.Close()
	_, channels, requests, err := ssh.NewServerConn(connection, &s.config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		channel, requests, err := offered.Accept()
		if err != nil {
			return
		}
		go s.session(channel, requests)
	}
}

func (s *sshServer) session(channel ssh.Channel, requests <-chan *ssh.Request) {
	defer channel.Close()
	var environment []string
	for request := range requests {
		switch {
		case request.Type == "env" && s.env:
			var variable struct{ Name, Value string }
			_ = ssh.Unmarshal(request.Payload, &variable)
			environment = append(environment, variable.Name+"="+variable.Value)
			_ = request.Reply(true, nil)
		case request.Type == "exec":
			var line struct{ Command string }
			_ = ssh.Unmarshal(request.Payload, &line)
			_ = request.Reply(true, nil)
			command := exec.Command("sh", "-c", line.Command)
			command.Env = append(command.Environ(), environment...)
			command.Stdout, command.Stderr = channel, channel.Stderr()
			in, _ := command.StdinPipe() // unlike Stdin, it does not keep a command that has ended
			go func() { _, _ = io.Copy(in, channel) }()
			_ = command.Run()
			_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{0}))
			return
		default:
			_ = request.Reply(false, nil)
		}
	}
}

func (s *sshServer) knownHosts() []byte {
	return []byte(knownhosts.Line([]string{s.address}, s.hostKey) + "\n")
}

func newKey(t testing.TB) (ssh.Signer, []byte) {
	t.Helper()
	signer, identity, _ := newKeys(t, "")
	return signer, identity
}

// newKeys returns a new key, its PEM form, and its PEM form with a passphrase.
func newKeys(t testing.TB, passphrase string) (signer ssh.Signer, identity, locked []byte) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	signer, err = ssh.NewSignerFromKey(private)
	must(t, err)
	block, err := ssh.MarshalPrivateKey(private, "")
	must(t, err)
	if passphrase == "" {
		return signer, pem.EncodeToMemory(block), nil
	}
	sealed, err := ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte(passphrase))
	must(t, err)
	return signer, pem.EncodeToMemory(block), pem.EncodeToMemory(sealed)
}

func TestSSH(t *testing.T) {
	for name, choice := range map[string]protocolChoice{"version 2": true, "version 0": false} {
		t.Run(name, func(t *testing.T) {
			o := newOrigin(t)
			first := o.commit(map[string]string{"f": "1"})
			signer, identity := newKey(t)
			server := newSSHServer(t, signer.PublicKey(), choice)
			t.Setenv("TMPDIR", o.Dir()+"/none") // in a pod, only the folder of the stores is writable
			r := o.open(func(c *Config) {
				c.URL = "ssh://git@" + server.address + o.Dir()
				c.Credentials = Credentials{Identity: identity, KnownHosts: server.knownHosts()}
			})
			wantHead(t, r, "main", first)
			wantFile(t, snapshot(t, r, first), "f", "1")
			second := o.commit(map[string]string{"f": "2"})
			wantHead(t, r, "main", second)
			wantFile(t, snapshot(t, r, second), "f", "2")
		})
	}
}

func TestSSHCredentials(t *testing.T) {
	o := newOrigin(t)
	commit := o.commit(map[string]string{"f": "1"})
	signer, identity, locked := newKeys(t, "pl4nted")
	server := newSSHServer(t, signer.PublicKey(), true)
	for _, test := range []struct {
		name, user  string
		credentials Credentials
	}{
		{"a key with a passphrase", "git@", Credentials{Identity: locked, Password: "pl4nted"}},
		{"a passphrase that the key does not have", "git@", Credentials{Identity: identity, Password: "pl4nted"}},
		{"the user of the Secret", "", Credentials{Username: "reader", Password: sshPassword}},
		{"the user of the URL", "reader@", Credentials{Username: "another", Password: sshPassword}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := o.open(func(c *Config) {
				c.URL, c.Credentials = "ssh://"+test.user+server.address+o.Dir(), test.credentials
				c.Credentials.KnownHosts = server.knownHosts()
			})
			wantHead(t, r, "main", commit)
		})
	}
}

func TestSSHErrors(t *testing.T) {
	o := newOrigin(t)
	o.commit(map[string]string{"f": "1"})
	signer, identity, locked := newKeys(t, "secret")
	_, stranger := newKey(t)
	server := newSSHServer(t, signer.PublicKey(), true)
	other, _ := newKey(t)
	imposter := []byte(knownhosts.Line([]string{server.address}, other.PublicKey()) + "\n")
	elsewhere := []byte(knownhosts.Line([]string{"git.example.com"}, server.hostKey) + "\n")
	dir := o.Dir()
	tests := []struct {
		name        string
		path        string
		credentials Credentials
		reason      Reason
		text        string
	}{
		{"another key", dir, Credentials{Identity: stranger, KnownHosts: server.knownHosts()}, Unauthorized, "does not accept the SSH key; add its public half to the server, with the right to read, and check the user in the URL"},
		{"no key", dir, Credentials{KnownHosts: server.knownHosts()}, Unauthorized, "there is no SSH key"},
		{"not a key", dir, Credentials{Identity: []byte("planted"), KnownHosts: server.knownHosts()}, Invalid, "private key in PEM"},
		{"another passphrase", dir, Credentials{Identity: locked, Password: "planted", KnownHosts: server.knownHosts()}, Invalid, "password its passphrase"},
		{"no passphrase", dir, Credentials{Identity: locked, KnownHosts: server.knownHosts()}, Invalid, "password its passphrase"},
		{"another password", dir, Credentials{Username: "reader", Password: "planted", KnownHosts: server.knownHosts()}, Unauthorized, "does not accept the user name and password"},
		{"no host keys", dir, Credentials{Identity: identity}, Invalid, "ssh-keyscan"},
		{"broken host keys", dir, Credentials{Identity: identity, KnownHosts: []byte("a b c\n")}, Invalid, "known_hosts cannot be read"},
		{"unknown host", dir, Credentials{Identity: identity, KnownHosts: elsewhere}, Unauthorized, "does not have the server's host key: SHA256:"},
		{"changed host", dir, Credentials{Identity: identity, KnownHosts: imposter}, Unauthorized, "host key differs"},
		{"no repository", dir + "/it's none", Credentials{Identity: identity, KnownHosts: server.knownHosts()}, NotFound, "does not appear to be a git repository"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, err := Open(Config{Dir: t.TempDir(), URL: "ssh://git@" + server.address + test.path, Credentials: test.credentials})
			if err == nil {
				defer r.Close()
				_, err = r.List(soon(t), nil)
			}
			wantReason(t, err, test.reason, test.text)
			if strings.Contains(err.Error(), "planted") {
				t.Errorf("%q holds the key", err)
			}
		})
	}
}

func TestASilentSSHServerIsLeft(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer listener.Close()
	_, identity := newKey(t)
	host, _ := newKey(t)
	r := mustOpen(t, Config{Dir: t.TempDir(), URL: "ssh://" + listener.Addr().String() + "/a", Limits: Limits{FetchTimeout: 50e6},
		Credentials: Credentials{Identity: identity, KnownHosts: []byte(knownhosts.Line([]string{listener.Addr().String()}, host.PublicKey()))}})
	_, err = r.List(soon(t), nil)
	wantReason(t, err, Unreachable, "took too long")
}
