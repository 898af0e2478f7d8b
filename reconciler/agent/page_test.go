package agent

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"berth.dev/berth/internal/loopback"
)

// streaming is a page with one event stream.
type streaming struct {
	running chan struct{}
	// ended receives why the stream ended.
	ended chan error
}

func newStreaming() streaming { return streaming{make(chan struct{}), make(chan error, 1)} }

// Run runs until the context ends.
func (s streaming) Run(ctx context.Context) {
	close(s.running)
	<-ctx.Done()
}

// ServeHTTP sends one event, and then waits for the end of the request.
func (s streaming) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = w.Write([]byte("open\n"))
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
	s.ended <- context.Cause(r.Context())
}

// An agent ends although browsers follow its page. Otherwise each update would take as long as the kubelet's patience.
func TestEventStreamsOfThePageDoNotHoldTheAgent(t *testing.T) {
	address, err := loopback.Claim()
	if err != nil {
		t.Fatal(err)
	}
	page := newStreaming()
	p := &pageServer{page: page, address: address, log: slog.New(slog.DiscardHandler)}
	if p.ready(nil) == nil {
		t.Error("it is ready before it listens")
	}
	ctx, end := context.WithCancelCause(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Start(ctx) }()
	<-page.running
	if err := p.ready(nil); err != nil {
		t.Error(err)
	}
	answer, err := http.Get("http://" + address)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if line, err := bufio.NewReader(answer.Body).ReadString('\n'); line != "open\n" || err != nil {
		t.Fatalf("got %q, %v", line, err)
	}
	updated := errors.New("the agent is updated")
	end(updated)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if why := <-page.ended; !errors.Is(why, updated) {
		t.Errorf("the stream ended because of %v: it was cut off", why)
	}
}

func TestAPageThatCannotListenNamesTheFlag(t *testing.T) {
	p := &pageServer{page: newStreaming(), address: "192.0.2.1:1", log: slog.New(slog.DiscardHandler)}
	if err := p.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "choose another --page-address") {
		t.Errorf("got %v", err)
	}
}
