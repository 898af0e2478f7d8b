package images

import (
	"net/netip"
	"testing"
	"time"
)

func TestWhichRepositoriesAPullSecretIsFor(t *testing.T) {
	for _, row := range []struct {
		key, repository string
		want            bool
	}{
		{"registry.example.com", "registry.example.com/acme/app", true},
		{"https://registry.example.com", "registry.example.com/acme/app", true},
		{"https://registry.example.com/v2/", "registry.example.com/acme/app", true},
		{"registry.example.com/acme", "registry.example.com/acme/app", true},
		{"registry.example.com/other", "registry.example.com/acme/app", false},
		{"*.example.com", "registry.example.com/acme/app", true},
		{"*.example.com", "example.com/acme/app", false},
		{"*.example.com", "a.b.example.com/acme/app", false},
		{"registry.example.com:5000", "registry.example.com:5000/app", true},
		{"registry.example.com", "registry.example.com:5000/app", false},
		{"registry.example.com.evil.net", "registry.example.com/app", false},
		{"https://index.docker.io/v1/", "index.docker.io/library/nginx", true},
		{"docker.io", "index.docker.io/library/nginx", true},
		{"docker.io/acme", "index.docker.io/library/nginx", false},
		{"[", "registry.example.com/app", false},
		{"", "registry.example.com/app", false},
	} {
		if got := fits(normal(row.key), row.repository); got != row.want {
			t.Errorf("%q for %q: %t", row.key, row.repository, got)
		}
	}
}

func TestTheCredentialsForTheLongestPathComeFirst(t *testing.T) {
	keys := logins{{pattern: "r.example.com", secret: "short"}, {pattern: "r.example.com/acme", secret: "long"}, {pattern: "other.example.com", secret: "other"}}
	if got := keys.of("r.example.com/acme/app"); len(got) != 2 || got[0].secret != "long" || got[1].secret != "short" {
		t.Errorf("got %v", got)
	}
}

func TestAddressesThatNoBranchMayReach(t *testing.T) {
	for address, near := range map[string]bool{
		"127.0.0.1": true, "127.8.9.1": true, "::1": true, "::ffff:127.0.0.1": true, "0.0.0.0": true, "::": true, "0.1.2.3": true,
		"169.254.169.254": true, "fe80::1": true, "fe80::1%eth0": true, "fd00:ec2::254": true, "100.100.100.200": true, "192.0.0.192": true,
		"64:ff9b::a9fe:a9fe": true, "64:ff9b::7f00:1": true, "224.0.0.1": true, "ff02::1": true, "255.255.255.255": true,
		"10.96.0.10": false, "192.168.1.5": false, "fd00::1": false, "203.0.113.7": false, "64:ff9b::cb00:7107": false, "2001:db8::1": false,
	} {
		if got := isNear(netip.MustParseAddr(address)); got != near {
			t.Errorf("%s: %t", address, got)
		}
	}
}

func TestHowLongARegistryWantsToBeLeftAlone(t *testing.T) {
	for header, want := range map[string]time.Duration{"": 0, "7": 7 * time.Second, " 7 ": 7 * time.Second, "-1": 0, "99999999999": maxRetryAfter, "9999999": maxRetryAfter, "Wed, 21 Oct 2026 07:28:00 GMT": 0} {
		if header == "99999999999" {
			want = maxRetryAfter
		}
		if got := retryAfter(header); got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
}

func TestWhichRegistriesMayBeAsked(t *testing.T) {
	c := New(Config{Registries: Registries{Allowed: []string{"registry.example.com:5000", "*.corp.example.com", "docker.io"}}, Now: time.Now})
	for image, allowed := range map[string]bool{
		"registry.example.com:5000/app": true, "registry.example.com/app": false, "a.corp.example.com/app": true, "a.b.corp.example.com/app": true,
		"corp.example.com/app": false, "evilcorp.example.com/app": false, "nginx": true, "docker.io/acme/app": true, "index.docker.io/acme/app": true,
	} {
		if got := c.target(image, nil).problem == ""; got != allowed {
			t.Errorf("%s: %t", image, got)
		}
	}
}
