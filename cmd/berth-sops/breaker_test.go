package main

import (
	"errors"
	"net/http"
	"testing"
	"time"
)

// host is a host that answers or does not.
type host struct {
	calls int
	err   error
	// meanwhile runs before the host answers.
	meanwhile func()
}

func (h *host) RoundTrip(*http.Request) (*http.Response, error) {
	h.calls++
	if h.meanwhile != nil {
		h.meanwhile()
	}
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, h.err
}

func TestAHostThatDoesNotAnswerHoldsUpOneCallAtATime(t *testing.T) {
	now := time.Now()
	down := errors.New("no route to host")
	h := &host{err: down}
	b := newBreaker(h)
	b.now = func() time.Time { return now }
	ask := func(address string) error {
		request, err := http.NewRequest(http.MethodPost, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.RoundTrip(request)
		return err
	}
	const kms, other = "https://kms.example.com/", "https://vault.example.com/"
	for range 3 {
		if err := ask(kms); !errors.Is(err, down) {
			t.Errorf("got %v", err)
		}
	}
	if h.calls != 1 {
		t.Errorf("asked %d times while it is known to be down", h.calls)
	}
	if h.err = nil; ask(other) != nil {
		t.Error("another host pays for it")
	}

	now = now.Add(outagePause)
	h.calls, h.err = 0, down
	h.meanwhile = func() {
		h.meanwhile = nil
		if err := ask(kms); !errors.Is(err, down) {
			t.Errorf("while another call tries: got %v", err)
		}
	}
	if err := ask(kms); !errors.Is(err, down) || h.calls != 1 {
		t.Errorf("the one who tries: got %v, %d calls", err, h.calls)
	}

	now = now.Add(outagePause)
	h.err = nil
	for want := 2; want <= 3; want++ {
		if err := ask(kms); err != nil || h.calls != want {
			t.Errorf("once it answers again: %v, %d calls, want %d", err, h.calls, want)
		}
	}
}

func TestAPanicIsNoAnswer(t *testing.T) {
	b := newBreaker(panics{})
	request, err := http.NewRequest(http.MethodGet, "https://kms.example.com/", nil)
	if err != nil {
		t.Fatal(err)
	}
	for want := range 2 { // the second call fails without reaching the host
		panicked := false
		func() {
			defer func() { panicked = recover() != nil }()
			_, err = b.RoundTrip(request)
		}()
		if panicked != (want == 0) {
			t.Errorf("call %d: panicked %t, %v", want, panicked, err)
		}
	}
}

type panics struct{}

func (panics) RoundTrip(*http.Request) (*http.Response, error) { panic("hunter2") }
