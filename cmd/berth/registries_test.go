package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFlagsAboutRegistries(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(empty, []byte("no certificate\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		rule    string
		options registryOptions
		problem string // empty: none
	}{
		{rule: "none is needed"},
		{rule: "hosts, with and without port", options: registryOptions{
			mirrors: []string{"docker.io=mirror.example.com:5000"}, allowed: []string{"docker.io", "*.corp.example.com"}, insecure: []string{"127.0.0.1:5000", "[::1]:5000"},
		}},
		{rule: "a mirror belongs to a registry", options: registryOptions{mirrors: []string{"mirror.example.com"}}, problem: `--registry-mirror "mirror.example.com" is not of the form docker.io=mirror.example.com`},
		{rule: "a mirror is a host", options: registryOptions{mirrors: []string{"docker.io=https://mirror.example.com"}}, problem: "--registry-mirror"},
		{rule: "an allowed registry is a host", options: registryOptions{allowed: []string{"registry.example.com/acme"}}, problem: `--registry-allow "registry.example.com/acme" is neither a host nor a host after "*."`},
		{rule: "an insecure registry is a host", options: registryOptions{insecure: []string{"http://127.0.0.1:5000"}}, problem: `--registry-insecure "http://127.0.0.1:5000" is not a host, such as 127.0.0.1:5000`},
		{rule: "the file of certificates exists", options: registryOptions{ca: empty + ".missing"}, problem: "reading --registry-ca: open "},
		{rule: "and holds some", options: registryOptions{ca: empty}, problem: "holds no certificate; it must be PEM"},
	} {
		t.Run(row.rule, func(t *testing.T) {
			err := row.options.read()
			if (err == nil) != (row.problem == "") || err != nil && !strings.Contains(err.Error(), row.problem) {
				t.Errorf("got %v, want %q", err, row.problem)
			}
		})
	}
	o := registryOptions{mirrors: []string{"docker.io=one.example.com", "docker.io=two.example.com"}}
	if err := o.read(); err != nil || len(o.registries.Mirrors["docker.io"]) != 2 {
		t.Errorf("the mirrors are %v, %v", o.registries.Mirrors, err)
	}
}
