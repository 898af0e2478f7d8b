package agent

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"
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
	sender := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // the server may just be closing a kept connection
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
		answer, err := sender.Post("http://"+address+"/hooks/posts", "application/json", strings.NewReader("{}"))
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

// Whoever reaches the page's port can open connections, but only viewers get event streams.
func TestStrangersDoNotEndEventStreams(t *testing.T) {
	all := newCrowd(8)
	server := httptest.NewUnstartedServer(all.serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = fmt.Fprint(w, "data: first\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})))
	server.Config.ConnState, server.Config.ConnContext = all.watch, remember
	server.Start()
	t.Cleanup(server.Close)
	var streams []*http.Response
	for range 4 {
		stream, err := http.Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Body.Close()
		if line, err := bufio.NewReader(stream.Body).ReadString('\n'); err != nil || line != "data: first\n" {
			t.Fatalf("the stream begins with %q, %v", line, err)
		}
		streams = append(streams, stream)
	}
	for range 100 {
		connection, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = connection.Close() })
		fmt.Fprint(connection, "GET / HTTP/1.1\r\nX-Slow: ")
	}
	for deadline := time.Now().Add(time.Minute); ; {
		all.mu.Lock()
		waiting, kept := all.waiting.Len(), all.streams.Len()
		all.mu.Unlock()
		if kept != len(streams) {
			t.Fatalf("%d of %d streams are left", kept, len(streams))
		}
		if waiting == 4 || time.Now().After(deadline) {
			break
		}
		runtime.Gosched()
	}
}

func TestManyEventStreamsLeaveRoom(t *testing.T) {
	c := newCrowd(4)
	connection := func(name string) net.Conn { return stranger{name: name} }
	for _, name := range []string{"one", "two", "three"} {
		c.note(connection(name), http.StateNew)
		c.stream(connection(name))
	}
	c.note(connection("four"), http.StateNew)
	if got := c.note(connection("five"), http.StateNew); got != connection("one") {
		t.Errorf("%v is displaced, want the oldest of too many streams", got)
	}
	if got := c.note(connection("six"), http.StateNew); got != connection("four") {
		t.Errorf("%v is displaced, want who waits", got)
	}
	c.stream(connection("gone"))
	if len(c.places) != 4 {
		t.Errorf("%d are open", len(c.places))
	}
}

// stranger is a connection with only a name.
type stranger struct {
	net.Conn
	name string
}
