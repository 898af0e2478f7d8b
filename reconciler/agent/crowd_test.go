package agent

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// slowSenders is more than the maximum number of open connections.
const slowSenders = 3000

func TestSlowSendersKeepNobodyOut(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }))
	all := newCrowd(64)
	server.Config.ConnState = all.watch
	server.Start()
	t.Cleanup(server.Close)
	address := server.Listener.Addr().String()
	for n := range slowSenders {
		connection, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = connection.Close() })
		fmt.Fprintf(connection, "POST /hooks/posts HTTP/1.1\r\nHost: berth\r\nX-Slow: %d", n)
		if n%500 != 0 {
			continue
		}
		answer, err := http.Post("http://"+address+"/hooks/posts", "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatalf("with %d slow senders: %v", n, err)
		}
		_ = answer.Body.Close()
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	if len(all.places) > 64 {
		t.Errorf("%d connections are open", len(all.places))
	}
}

func TestWhoIsDisplaced(t *testing.T) {
	c := newCrowd(2)
	connection := func(name string) net.Conn { return stranger{name: name} }
	one, two, three, four := connection("one"), connection("two"), connection("three"), connection("four")
	expect := func(what string, got, want net.Conn) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %v is displaced, want %v", what, got, want)
		}
	}
	expect("the first", c.note(one, http.StateNew), nil)
	c.note(one, http.StateActive)
	expect("the second", c.note(two, http.StateNew), nil)
	c.note(two, http.StateActive)
	c.note(two, http.StateIdle)
	expect("an idle one goes first", c.note(three, http.StateNew), two)
	expect("then the oldest", c.note(four, http.StateNew), one)
	c.note(three, http.StateClosed)
	expect("who has left takes no place", c.note(one, http.StateNew), nil)
}

// stranger is a connection with only a name.
type stranger struct {
	net.Conn
	name string
}
