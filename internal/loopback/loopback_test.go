package loopback

import (
	"net"
	"testing"
)

func TestAClaimedAddressIsClaimedOnce(t *testing.T) {
	claimed := map[string]bool{}
	for range 50 {
		address, err := Claim()
		if err != nil {
			t.Fatal(err)
		}
		if claimed[address] {
			t.Errorf("%s was claimed twice", address)
		}
		claimed[address] = true
	}
}

func TestAServerCanListenAtAClaimedAddress(t *testing.T) {
	address, err := Claim()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // a server may be restarted
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
