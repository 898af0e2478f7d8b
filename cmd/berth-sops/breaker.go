package main

import (
	"errors"
	"net/http"
	"sync"
	"time"
)

// outagePause is how long no call goes to a host that did not answer.
const outagePause = 15 * time.Second

// breaker keeps an unresponsive host from delaying all environments. Many environments need the same key, each for
// several files. Without a breaker each of them would wait until the deadline, and delay the others.
type breaker struct {
	base http.RoundTripper
	now  func() time.Time

	mu      sync.Mutex
	outages map[string]*outage // by host
}

// outage is the time from the first call without an answer to the next answer.
type outage struct {
	err error
	// until is when the host may be tried again; trying reports whether a call is doing so.
	until  time.Time
	trying bool
}

func newBreaker(base http.RoundTripper) *breaker {
	return &breaker{base: base, now: time.Now, outages: map[string]*outage{}}
}

// RoundTrip calls the host, or returns the error of the last call at once.
func (b *breaker) RoundTrip(request *http.Request) (*http.Response, error) {
	host := request.URL.Host
	if err := b.enter(host); err != nil {
		return nil, err
	}
	answered := false
	defer func() { // a panic is no answer either
		if !answered {
			b.leave(host, errors.New("it could not be asked"))
		}
	}()
	response, err := b.base.RoundTrip(request)
	answered = true
	b.leave(host, err)
	return response, err
}

func (b *breaker) enter(host string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.outages[host]
	if out == nil {
		return nil
	}
	if out.trying || b.now().Before(out.until) {
		return out.err
	}
	out.trying = true
	return nil
}

func (b *breaker) leave(host string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil {
		delete(b.outages, host)
		return
	}
	b.outages[host] = &outage{err: err, until: b.now().Add(outagePause)}
}
