package webhook_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// These tests speak HTTP over a connection, where bodies arrive in pieces and senders go away.

// serve serves a desk to senders with a limited time to send a delivery; 0 is no limit.
func serve(t *testing.T, d *desk, patience time.Duration) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(d.handler)
	server.Config.ReadTimeout = patience
	server.Start()
	t.Cleanup(server.Close)
	return server
}

func TestManyAtOnce(t *testing.T) {
	d := newDesk(t, 0)
	server := serve(t, d, 0)
	var all sync.WaitGroup
	for n := range 100 {
		all.Go(func() {
			send := push(strings.Repeat("x", 1000*n)).fromGitHub("push", token)
			if n%2 == 0 {
				send = push("{}").signed(fmt.Sprint(n/20), noon, signing)
			}
			request, err := http.NewRequestWithContext(t.Context(), send.method, server.URL+send.path, strings.NewReader(send.body))
			if err != nil {
				t.Error(err)
				return
			}
			request.Header = send.header
			answer, err := server.Client().Do(request)
			if err != nil || answer.StatusCode != http.StatusAccepted {
				t.Errorf("%v %v", answer, err)
				return
			}
			answer.Body.Close()
		})
	}
	all.Wait()
	if want := 50 + 5; len(d.told) != want {
		t.Errorf("told of %d deliveries, want %d: 50, and 5 that were each repeated", len(d.told), want)
	}
}

func TestABodyThatNeverEnds(t *testing.T) {
	for _, test := range []struct {
		name, header, want string
	}{
		{"a signature proves nothing of half a body", "X-Hub-Signature-256: sha256=" + push("{}").digest(token), "400"},
		{"a token proves itself", "X-Gitlab-Token: " + token, "202"},
		{"a wrong token is answered at once", "X-Gitlab-Token: guess", "401"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDesk(t, 0)
			connection, err := net.Dial("tcp", serve(t, d, 2*time.Second).Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer connection.Close()
			fmt.Fprintf(connection, "POST /hooks/posts HTTP/1.1\r\nHost: berth\r\n%s\r\nContent-Length: 100\r\n\r\n{}", test.header)
			status, err := bufio.NewReader(connection).ReadString('\n')
			if err != nil || !strings.Contains(status, test.want) {
				t.Errorf("answered %q %v, want %s", status, err, test.want)
			}
		})
	}
}

// A sender whose connection is closed while it still writes counts its delivery as failed.
func TestALargeDeliveryWithATokenIsReadToItsEnd(t *testing.T) {
	d := newDesk(t, 0)
	server := serve(t, d, 0)
	const size = 8 << 20
	body := &countingReader{Reader: io.LimitReader(zeros{}, size)}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/hooks/posts", body)
	if err != nil {
		t.Fatal(err)
	}
	request.ContentLength = size
	request.Header.Set("X-Gitlab-Token", token)
	answer, err := server.Client().Do(request)
	if err != nil || answer.StatusCode != http.StatusAccepted || body.read != size {
		t.Errorf("%v %v after %d bytes, want all %d to be taken", answer, err, body.read, size)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type countingReader struct {
	io.Reader
	read int
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.read += n
	return n, err
}

// A second request hidden in the body of the first is part of that body, or both are refused. Even if a proxy before
// the agent reads the lengths differently, no delivery counts without a credential of its own.
func TestSmuggledDeliveries(t *testing.T) {
	hidden := "POST /hooks/only-token HTTP/1.1\r\nHost: berth\r\nContent-Length: 0\r\n\r\n"
	first := "POST /hooks/posts HTTP/1.1\r\nHost: berth\r\nConnection: close\r\nX-Gitlab-Token: " + token + "\r\n"
	for name, request := range map[string]string{
		"two lengths":                      first + "Content-Length: 0\r\nContent-Length: " + fmt.Sprint(len(hidden)) + "\r\n\r\n" + hidden,
		"a length beside chunks":           first + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"chunks that are none":             first + "Transfer-Encoding: identity, chunked\r\nContent-Length: 0\r\n\r\n" + hidden,
		"a token in two headers":           strings.Replace(first, token, "guess\r\nX-Gitlab-Token: "+token, 1) + "Content-Length: 0\r\n\r\n",
		"a token behind an underscore":     strings.Replace(first, "X-Gitlab-Token", "X_Gitlab_Token", 1) + "Content-Length: 0\r\n\r\n",
		"a token in a folded header":       strings.Replace(first, token, "\r\n "+token, 1) + "Content-Length: 0\r\n\r\n",
		"a token in a trailer":             "POST /hooks/posts HTTP/1.1\r\nHost: berth\r\nConnection: close\r\nTrailer: X-Gitlab-Token\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Gitlab-Token: " + token + "\r\n\r\n",
		"a path that leads back to others": strings.Replace(first, "/hooks/posts", "/hooks/posts/../only-token", 1) + "Content-Length: 0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, 0)
			server := serve(t, d, 200*time.Millisecond)
			connection, err := net.Dial("tcp", server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer connection.Close()
			fmt.Fprint(connection, request)
			_, _ = io.Copy(io.Discard, connection)
			server.Close()
			if len(d.told) > 1 || len(d.told) == 1 && d.told[0] != "posts " {
				t.Errorf("told %q", d.told)
			}
		})
	}
}
