package main

import (
	"crypto/x509"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"berth.dev/berth/reconciler/images"
)

// registryOptions are the flags about registries, which are asked for images.
type registryOptions struct {
	mirrors  []string
	allowed  []string
	insecure []string
	ca       string

	registries images.Registries // after read
}

func (o *registryOptions) addTo(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVar(&o.mirrors, "registry-mirror", nil, "mirror to ask before a registry whether an image exists, as docker.io=mirror.example.com; may be repeated")
	f.StringSliceVar(&o.allowed, "registry-allow", nil, "registries that may be asked for images: hosts, or *.example.com; without it, all")
	f.StringVar(&o.ca, "registry-ca", "", "file with certificates in PEM that registries may have, in addition to those of the system")
	f.StringSliceVar(&o.insecure, "registry-insecure", nil, "registries that may be asked without TLS and at a loopback address: hosts with port; only for tests")
}

// registryHost is a host of a registry, perhaps with a port.
var registryHost = regexp.MustCompile(`^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9]([-.A-Za-z0-9]*[A-Za-z0-9])?)(:[0-9]{1,5})?$`)

// read checks the flags, and makes registries of them.
func (o *registryOptions) read() error {
	o.registries = images.Registries{Mirrors: map[string][]string{}, Allowed: o.allowed, Insecure: o.insecure}
	for _, pair := range o.mirrors {
		of, mirror, ok := strings.Cut(pair, "=")
		if !ok || !registryHost.MatchString(of) || !registryHost.MatchString(mirror) {
			return fmt.Errorf("--registry-mirror %q is not of the form docker.io=mirror.example.com", pair)
		}
		o.registries.Mirrors[of] = append(o.registries.Mirrors[of], mirror)
	}
	for _, host := range o.allowed {
		if !registryHost.MatchString(strings.TrimPrefix(host, "*.")) {
			return fmt.Errorf("--registry-allow %q is neither a host nor a host after \"*.\"", host)
		}
	}
	for _, host := range o.insecure {
		if !registryHost.MatchString(host) {
			return fmt.Errorf("--registry-insecure %q is not a host, such as 127.0.0.1:5000", host)
		}
	}
	if o.ca == "" {
		return nil
	}
	text, err := os.ReadFile(o.ca)
	if err != nil {
		return fmt.Errorf("reading --registry-ca: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool() // a minimal image has none
	}
	if !roots.AppendCertsFromPEM(text) {
		return fmt.Errorf("--registry-ca %s holds no certificate; it must be PEM", o.ca)
	}
	o.registries.Roots = roots
	return nil
}
