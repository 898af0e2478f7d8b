package faulttest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"time"
)

// certificates are an authority, and two certificates that it signed for 127.0.0.1: a valid one, and one that has expired.
type certificates struct {
	authority      []byte // PEM
	valid, expired tls.Certificate
}

func newCertificates(now time.Time) (*certificates, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "faulttest"}, NotBefore: now.Add(-48 * time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key)
	if err != nil {
		return nil, err
	}
	c := &certificates{authority: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
	if c.valid, err = signed(ca, key, now.Add(24*time.Hour)); err != nil {
		return nil, err
	}
	c.expired, err = signed(ca, key, now.Add(-time.Hour))
	return c, err
}

// signed returns a server's certificate that ends then. The server has the key of its authority, which only tests do.
func signed(ca *x509.Certificate, key *ecdsa.PrivateKey, ends time.Time) (tls.Certificate, error) {
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(ends.Unix()), Subject: pkix.Name{CommonName: "kube-apiserver"}, NotBefore: ca.NotBefore, NotAfter: ends,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// config returns a TLS configuration that presents the expired certificate while a condition holds.
func (c *certificates) config(expired func() bool) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		if expired() {
			return &c.expired, nil
		}
		return &c.valid, nil
	}}
}

// quiet drops what a server says of clients that reject its certificate.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }
