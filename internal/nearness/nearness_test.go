package nearness

import (
	"net/netip"
	"testing"
)

func TestOf(t *testing.T) {
	for want, addresses := range map[Nearness][]string{
		Local: {"127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::", "0.1.2.3", "169.254.169.254", "fe80::1", "fe80::1%eth0",
			"fd00:ec2::254", "100.100.100.200", "192.0.0.192", "64:ff9b::a9fe:a9fe", "64:ff9b::7f00:1", "224.0.0.1", "ff02::1", "255.255.255.255"},
		Private: {"10.96.0.10", "192.168.1.5", "::ffff:192.168.1.5", "172.16.0.1", "100.64.1.1", "fd00::1", "64:ff9b::a00:1"},
		Public:  {"203.0.113.7", "64:ff9b::cb00:7107", "2001:db8::1", "172.32.0.1"},
	} {
		for _, address := range addresses {
			if got := Of(netip.MustParseAddr(address)); got != want {
				t.Errorf("%s: %d, want %d", address, got, want)
			}
			if got := OfHost(address); got != want {
				t.Errorf("the host %s: %d, want %d", address, got, want)
			}
		}
	}
	for host, want := range map[string]Nearness{"localhost": Local, "LOCALHOST.": Local, "a.localhost": Local, "registry.example.com": Public, "notlocalhost": Public} {
		if got := OfHost(host); got != want {
			t.Errorf("the host %s: %d, want %d", host, got, want)
		}
	}
}
