package controlplane

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/rest"

	"berth.dev/berth/internal/clustertest"
)

// Every part has its own user, so that the audit log distinguishes them. All but the users of a real node have all
// rights, because none of them is under test.
const (
	adminUser             = "admin"
	controllerManagerUser = "system:kube-controller-manager"
	schedulerUser         = "system:kube-scheduler"
	kwokUser              = "system:kwok"
)

// credentials are the files with which the parts of one control plane authenticate to each other. They are created at
// every start and removed at its end.
type credentials struct {
	dir string
	ca  []byte
	// machine is nil if the node is simulated.
	machine *Machine
	// tokens maps a user to its bearer token.
	tokens map[string]string
}

func (c *credentials) path(name string) string { return filepath.Join(c.dir, name) }

func newCredentials(dir string, machine *Machine) (*credentials, error) {
	c := &credentials{dir: dir, machine: machine, tokens: map[string]string{}}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	for _, make := range []func() error{c.makeCertificates, c.makeServiceAccountKey, c.makeTokens} {
		if err := make(); err != nil {
			return nil, fmt.Errorf("cannot make the credentials in %q: %w", dir, err)
		}
	}
	return c, nil
}

// makeCertificates writes a certificate authority and the certificates that it signed: that of the API server and, for
// a real node, the two for the connections between the API server and the kubelet.
func (c *credentials) makeCertificates() error {
	now := time.Now().Add(-time.Hour)
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "berth local cluster"},
		NotBefore: now, NotAfter: now.AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
	}
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	if c.ca, err = c.sign("ca.crt", authority, authority, authorityKey.Public(), authorityKey); err != nil {
		return err
	}
	certificates := map[string]*x509.Certificate{"apiserver": {
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"},
		IPAddresses: c.machine.addresses(),
	}}
	maps.Copy(certificates, c.machine.certificates())
	serial := int64(1)
	for _, name := range slices.Sorted(maps.Keys(certificates)) {
		serial++
		template := certificates[name]
		template.SerialNumber, template.KeyUsage = big.NewInt(serial), x509.KeyUsageDigitalSignature
		template.NotBefore, template.NotAfter = authority.NotBefore, authority.NotAfter
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		if _, err = c.sign(name+".crt", template, authority, key.Public(), authorityKey); err != nil {
			return err
		}
		if err := c.writeKey(name+".key", key); err != nil {
			return err
		}
	}
	return nil
}

func (c *credentials) sign(name string, template, parent *x509.Certificate, key crypto.PublicKey, signer crypto.Signer) ([]byte, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, signer)
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return text, os.WriteFile(c.path(name), text, 0o600)
}

// makeServiceAccountKey writes the key that signs the tokens of service
// accounts. The API server reads the public half from the same file.
func (c *credentials) makeServiceAccountKey() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	return c.writeKey("service-accounts.key", key)
}

func (c *credentials) writeKey(name string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return os.WriteFile(c.path(name), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600)
}

// makeTokens writes the API server's static token file.
func (c *credentials) makeTokens() error {
	var lines strings.Builder
	for _, user := range append([]string{adminUser, controllerManagerUser, schedulerUser, kwokUser}, c.machine.users()...) {
		random := make([]byte, 24)
		if _, err := rand.Read(random); err != nil {
			return err
		}
		c.tokens[user] = hex.EncodeToString(random)
		fmt.Fprintf(&lines, "%s,%s,%s,%q\n", c.tokens[user], user, user, groupOf(user))
	}
	return os.WriteFile(c.path("tokens.csv"), []byte(lines.String()), 0o600)
}

// writeKubeconfigs writes one kubeconfig per user. The administrator's goes to kubeconfig, the others into the folder
// of the credentials.
func (c *credentials) writeKubeconfigs(host, kubeconfig string) error {
	paths := map[string]string{
		adminUser:             kubeconfig,
		controllerManagerUser: c.path("controller-manager.kubeconfig"),
		schedulerUser:         c.path("scheduler.kubeconfig"),
		kwokUser:              c.path("kwok.kubeconfig"),
	}
	for _, user := range c.machine.users() {
		paths[user] = c.path(kubeconfigOf(user))
	}
	for user, path := range paths {
		if err := clustertest.WriteKubeconfig(path, c.config(host, user)); err != nil {
			return err
		}
	}
	return nil
}

func (c *credentials) config(host, user string) *rest.Config {
	return &rest.Config{
		Host:            host,
		BearerToken:     c.tokens[user],
		TLSClientConfig: rest.TLSClientConfig{CAData: c.ca},
	}
}
