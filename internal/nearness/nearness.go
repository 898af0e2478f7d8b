// Package nearness ranks how close an address is to this machine. A server that the agent asks must not lead it, by a redirect
// or otherwise, nearer than the server itself is.
package nearness

import (
	"net/netip"
	"slices"
	"strings"
)

// Nearness is how close an address is.
type Nearness int

// The ranks, from the farthest.
const (
	Public  Nearness = iota
	Private          // of an organization's own network
	Local            // of this machine, of its link, of no single host, or of a cloud's metadata server
)

// metadata are addresses of metadata servers of clouds that are not link-local.
var metadata = []netip.Addr{netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("100.100.100.200"), netip.MustParseAddr("192.0.0.192")}

var (
	// translated is the prefix of IPv6 addresses that a network translates to IPv4 (RFC 6052).
	translated = netip.MustParsePrefix("64:ff9b::/96")
	// shared is the address space of RFC 6598, which clusters use for pods.
	shared = netip.MustParsePrefix("100.64.0.0/10")
)

// Of returns the nearness of an address.
func Of(address netip.Addr) Nearness {
	address = address.Unmap().WithZone("")
	if translated.Contains(address) {
		bytes := address.As16()
		address = netip.AddrFrom4([4]byte(bytes[12:]))
	}
	switch {
	case address.IsLoopback(), address.IsLinkLocalUnicast(), address.IsUnspecified(), address.IsMulticast(),
		address.Is4() && (address.As4()[0] == 0 || address.As4()[0] >= 240), slices.Contains(metadata, address):
		return Local
	case address.IsPrivate(), shared.Contains(address):
		return Private
	}
	return Public
}

// OfHost returns the nearness of a host in a URL as far as it shows without a resolver: that of an address, or of a name of this
// machine. Other names count as public.
func OfHost(host string) Nearness {
	if address, err := netip.ParseAddr(host); err == nil {
		return Of(address)
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return Local
	}
	return Public
}
