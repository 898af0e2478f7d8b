package node_test

import (
	"archive/zip"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/e2e/node"
)

// system returns what the base image of the Dockerfile has: an account, certificate authorities and time zones. The only
// authority is the one that signed the certificate.
func system(trusted tls.Certificate) (map[string]string, error) {
	files, err := timeZones()
	if err != nil {
		return nil, err
	}
	files["etc/passwd"] = "nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n"
	files["etc/group"] = "nonroot:x:65532:\n"
	files["etc/ssl/certs/ca-certificates.crt"] = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: trusted.Certificate[0]}))
	return files, nil
}

// timeZones returns the time zones of Go's distribution, by their paths in an image.
func timeZones() (map[string]string, error) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("cannot find Go's time zones: %w", err)
	}
	archive, err := zip.OpenReader(filepath.Join(strings.TrimSpace(string(root)), "lib", "time", "zoneinfo.zip"))
	if err != nil {
		return nil, err
	}
	defer archive.Close()
	files := map[string]string{}
	for _, file := range archive.File {
		if strings.HasSuffix(file.Name, "/") {
			continue
		}
		content, err := file.Open()
		if err != nil {
			return nil, err
		}
		var zone bytes.Buffer
		if _, err := io.Copy(&zone, content); err != nil {
			return nil, err
		}
		files["usr/share/zoneinfo/"+file.Name] = zone.String()
	}
	return files, nil
}

// newCertificate returns a certificate of this machine that signs itself.
func newCertificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.ParseIP(node.Address)}, IsCA: true, BasicConstraintsValid: true,
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{signed}, PrivateKey: key}, err
}

// overTLS serves a Git server with HTTPS too, and returns the address there of one of its repositories.
func overTLS(t *testing.T, address string) string {
	t.Helper()
	plain, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := tls.Listen("tcp", node.Address+":0", &tls.Config{Certificates: []tls.Certificate{trusted}})
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: httputil.NewSingleHostReverseProxy(&url.URL{Scheme: plain.Scheme, Host: plain.Host})}
	go server.Serve(listener)
	t.Cleanup(func() { _ = server.Close() })
	plain.Scheme, plain.Host = "https", listener.Addr().String()
	return plain.String()
}
