package source

import (
	"context"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"berth.dev/berth/internal/gittest"
)

// A clock goes when it is told to.
type clock struct{ after atomic.Int64 }

func (c *clock) now() time.Time {
	return time.Unix(1_800_000_000, 0).Add(time.Duration(c.after.Load()))
}
func (c *clock) pass(d time.Duration) { c.after.Add(int64(d)) }

func TestACommitThatIsTooLargeIsNotFetchedAtEveryPoll(t *testing.T) {
	o, c := newOrigin(t), &clock{}
	good := o.commit(map[string]string{"f": "good"})
	large := o.CommitFrom("main", "large", map[string]string{"f": randomText(20_000)}, "large")
	limits := Limits{FetchBytes: 10_000}
	r := o.open(func(config *Config) { config.Limits, config.Now = limits, c.now })
	wantReason(t, r.Fetch(soon(t), large, good), TooLarge, "commit "+large[:10], "larger than 10000 bytes", "limits.fetchBytes")
	wantFile(t, snapshot(t, r, good), "f", "good")

	o.server.Forget()
	for range 3 {
		wantReason(t, r.Fetch(soon(t), good, large), TooLarge, "commit "+large[:10])
		_, err := r.Snapshot(soon(t), large)
		wantReason(t, err, TooLarge, "larger than 10000 bytes")
	}
	o.wantRequests()

	c.pass(excessPause)
	wantReason(t, r.Fetch(soon(t), good, large), TooLarge, "commit "+large[:10])
	o.wantRequests(gittest.Fetch)

	raised := o.open(func(config *Config) { config.Dir = r.dir }) // as it is opened when the limit is raised
	must(t, raised.Fetch(soon(t), good, large))
}

func TestAFetchThatTakesTooLong(t *testing.T) {
	for name, test := range map[string]struct {
		sent   string
		reason Reason
		text   string
	}{
		"and still goes on":        {packets("packfile", "\x01PACK"), TooLarge, "took longer than 5m0s; raise limits.fetchTimeout"},
		"without having begun":     {"", Unreachable, "the server took too long"},
		"and is still being asked": {packets("shallow-info"), TooLarge, "limits.fetchTimeout"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := &expiring{Context: t.Context(), done: make(chan struct{})}
			r := &remote{transport: &stalling{answer: strings.NewReader(test.sent), expire: func() { close(ctx.done) }}}
			err := r.fetch(ctx, wanted{}, Limits{}.withDefaults(), func(pack io.Reader) error {
				_, err := io.Copy(io.Discard, pack)
				return err
			})
			wantReason(t, classify("fetch", Credentials{}, err), test.reason, test.text)
		})
	}
}

// expiring is a context whose deadline passes when a test says so.
type expiring struct {
	context.Context
	done chan struct{}
}

func (c *expiring) Done() <-chan struct{} { return c.done }

func (c *expiring) Err() error {
	select {
	case <-c.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// stalling is a server that sends a part of its answer and then lets the time run out.
type stalling struct {
	answer io.Reader
	expire func()
}

func (s *stalling) connect(context.Context) (exchange, error) { return s, nil }
func (s *stalling) stateless() bool                           { return false }
func (s *stalling) close()                                    {}
func (s *stalling) Close() error                              { return nil }
func (s *stalling) request([]byte) (io.Reader, error)         { return s, nil }

func (s *stalling) greet() (io.Reader, error) {
	return strings.NewReader(packets("version 2", "ls-refs", "fetch", "0000")), nil
}

func (s *stalling) Read(buf []byte) (int, error) {
	n, err := s.answer.Read(buf)
	if err != nil {
		s.expire()
		return n, context.DeadlineExceeded
	}
	return n, nil
}
