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

// clock returns the time that the test sets.
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
	greets := packets("version 2", "ls-refs", "fetch", "0000")
	for name, test := range map[string]struct {
		greeting, sent string
		reason         Reason
		text           string
	}{
		"and still goes on":        {greets, packets("packfile", "\x01PACK"), TooLarge, "took longer than 1ms; raise limits.fetchTimeout"},
		"without having begun":     {greets, "", TooLarge, "limits.fetchTimeout"},
		"and is still being asked": {greets, packets("shallow-info"), TooLarge, "limits.fetchTimeout"},
		"of a server that is away": {"", "", Unreachable, "the server took too long"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &remote{transport: &stalling{greeting: test.greeting, answer: test.sent}}
			fetch := func(ctx context.Context) error {
				return classify("fetch", Credentials{}, r.fetch(ctx, wanted{}, Limits{FetchTimeout: time.Millisecond}.withDefaults(), func(pack io.Reader) error {
					_, err := io.Copy(io.Discard, pack)
					return err
				}))
			}
			wantReason(t, fetch(t.Context()), test.reason, test.text)
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			wantReason(t, fetch(ended), Unreachable, "interrupted") // an interruption says nothing about the commit
		})
	}
}

// stalling is a server that sends a part of its greeting or answer, and then nothing until the time has run out.
type stalling struct {
	greeting, answer string
	ctx              context.Context
}

func (s *stalling) connect(ctx context.Context) (exchange, error) {
	return &stalling{s.greeting, s.answer, ctx}, nil
}
func (s *stalling) stateless() bool { return false }
func (s *stalling) close()          {}
func (s *stalling) Close() error    { return nil }

func (s *stalling) greet() (io.Reader, error) {
	return io.MultiReader(strings.NewReader(s.greeting), s), nil
}

func (s *stalling) request([]byte) (io.Reader, error) {
	return io.MultiReader(strings.NewReader(s.answer), s), nil
}

func (s *stalling) Read([]byte) (int, error) {
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}
