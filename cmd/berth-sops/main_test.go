package main

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"berth.dev/berth/cmd/berth-sops/closed"
	"berth.dev/berth/secrets"
)

// TestMain lets this binary be the worker, with a network in which all hosts lead to a test's servers.
func TestMain(m *testing.M) {
	if err := closed.Open(); err != nil {
		panic(err)
	}
	if len(os.Args) == 5 && os.Args[1] == "serve" {
		n := newNetwork(detour(os.Args[2], os.Args[3]))
		n.timeout, _ = time.ParseDuration(os.Args[4])
		os.Exit(serve(n))
	}
	if len(os.Args) == 2 && os.Args[1] == "serve" {
		os.Exit(serve(newNetwork(dial())))
	}
	os.Exit(m.Run())
}

// detour leads all hosts to two addresses: one for HTTP, and one for HTTPS.
func detour(plain, secret string) http.RoundTripper {
	return &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, plain)
		},
		DialTLSContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			insecure := &tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} // the certificate has the test server's name
			return insecure.DialContext(ctx, network, secret)
		},
	}
}

// workersTo returns workers in such a network.
func workersTo(t *testing.T, plain, secret string) *secrets.Workers {
	t.Helper()
	return patientWorkers(t, plain, secret, secrets.RemoteTimeout)
}

// patientWorkers returns workers with a timeout for answers.
func patientWorkers(t *testing.T, plain, secret string, timeout time.Duration) *secrets.Workers {
	t.Helper()
	w := secrets.NewWorkers(secrets.WorkersConfig{Command: []string{os.Args[0], "serve", plain, secret, timeout.String()}})
	t.Cleanup(w.Close)
	return w
}

func keysOf(t *testing.T, entries map[string]string) *secrets.Keys {
	t.Helper()
	data := map[string][]byte{}
	for name, text := range entries {
		data[name] = []byte(text)
	}
	keys, err := secrets.ParseKeys(data)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}
