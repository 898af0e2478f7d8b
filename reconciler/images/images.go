// Package images asks registries whether they have the images that commits wait for. It works beside the passes: Ask
// returns at once what is known, and a new answer requeues the environment.
package images

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/internal/panics"
	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/plan"
)

// Registries is what an administrator says about registries.
type Registries struct {
	// Mirrors are the hosts that are asked before a registry, by its host. Their names are those in images: docker.io.
	Mirrors map[string][]string
	// Allowed are the hosts that may be asked: names, or names after "*.". Empty: all.
	Allowed []string
	// Insecure are hosts that may be asked by plain HTTP, and may have an address of this machine.
	Insecure []string
	// Roots are the certificates that are trusted; nil: those of the system.
	Roots *x509.CertPool
}

// Config configures a Checker.
type Config struct {
	Registries Registries
	// Requeue requeues the environment with an id. It does not block.
	Requeue func(environment string)
	// Asked is called with the result of every question: there, missing, refused or unanswered. nil: it is not.
	Asked func(result string)
	// Panicked is called when a question panicked, such as because of an answer. nil: it is not.
	Panicked func(*panics.Error)
	// Proxy returns the proxy of a request; nil: none.
	Proxy     func(*http.Request) (*url.URL, error)
	UserAgent string
	// Now is the clock. Jitter returns a number in [0, 1) that spreads questions.
	Now    func() time.Time
	Jitter func() float64
}

// readTimeout bounds the search for the credentials of one environment.
const readTimeout = 10 * time.Second

// Checker asks registries for images, once for all environments that pull an image with the same credentials.
type Checker struct {
	Config
	transport http.RoundTripper
	pace      pace
	lane      lane // of all questions under way

	mu     sync.Mutex
	agent  context.Context // of the first Ask; nil before
	asks   map[string]*ask // by environment
	probes map[string]*probe
	hosts  map[hostKey]*host
	tidyAt int // with how many hosts unused ones are forgotten
}

// New returns a Checker. It sends nothing before Ask.
func New(c Config) *Checker {
	if c.Asked == nil {
		c.Asked = func(string) {}
	}
	if c.Panicked == nil {
		c.Panicked = func(*panics.Error) {}
	}
	if c.Jitter == nil {
		c.Jitter = func() float64 { return 0 }
	}
	return &Checker{
		Config: c, transport: newTransport(c), pace: usualPace, lane: newLane(atOnce),
		asks: map[string]*ask{}, probes: map[string]*probe{}, hosts: map[hostKey]*host{},
	}
}

// Query is what an environment wants to know.
type Query struct {
	// Environment is its id. User is its account, which reads pull secrets in the cluster.
	Environment, User string
	// Read reads a Secret or a ServiceAccount of the environment's cluster as a user; nil without an error: it does not exist.
	Read func(ctx context.Context, user string, key manifest.Key) (*unstructured.Unstructured, error)
	// Digest identifies the input that names the images. Set has the Secrets and ServiceAccounts of that input, see PulledWith.
	// They come before those of the cluster.
	Digest string
	Images []plan.Image
	Set    manifest.Set
	// Urgent questions have room of their own, which others cannot take.
	Urgent bool
}

// ask is the query of an environment that waits.
type ask struct {
	Query
	began  time.Time
	until  time.Time // when the environment stops waiting; zero: that is not known yet
	probes []*probe  // of the image with the same index; nil while its credentials are being read
	cancel context.CancelFunc
	// slots has one for each of its questions under way, and waiting counts those and the ones that wait for a slot.
	slots   chan struct{}
	waiting int
}

// Ask returns what is known of the images of a query, in its order, without blocking. It goes on asking for those that
// are not there, until the environment is forgotten or asks for something else. The requests end with ctx, the agent's
// context.
func (c *Checker) Ask(ctx context.Context, q Query) []plan.Answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.agent == nil {
		c.agent = ctx
	}
	a := c.asks[q.Environment]
	if a == nil || a.Digest != q.Digest || a.User != q.User || a.Urgent != q.Urgent || !reflect.DeepEqual(a.Images, q.Images) {
		slots := make(chan struct{}, atOncePerOne)
		if a != nil {
			slots = a.slots // its questions go on
		}
		c.leave(q.Environment)
		a = &ask{Query: q, began: c.Now(), probes: make([]*probe, min(maxImages, len(q.Images))), slots: slots}
		ctx, a.cancel = context.WithCancel(ctx)
		c.asks[q.Environment] = a
		go c.resolve(ctx, a)
	}
	return a.answers()
}

// Until says when an environment stops waiting. Missing images are asked for seldom afterwards. Zero: that is not known
// yet.
func (c *Checker) Until(environment string, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.asks[environment]
	if a == nil {
		return
	}
	longer := at.After(a.until)
	a.until = at
	for _, p := range a.probes {
		if longer && p != nil {
			c.hurry(p)
		}
	}
}

// answers returns what is known. c.mu is held.
func (a *ask) answers() []plan.Answer {
	answers := make([]plan.Answer, len(a.Images))
	for i, image := range a.Images {
		switch {
		case i >= maxImages:
			answers[i] = plan.Answer{Trouble: fmt.Sprintf("the commit brings more than %d images", maxImages), Refused: true}
		case a.probes[i] != nil:
			answers[i] = a.probes[i].answer
		}
		if (answers[i] == plan.Answer{}) {
			answers[i].Since = a.began
		}
		answers[i].Image = image.Name
	}
	return answers
}

// Forget ends the questions of an environment.
func (c *Checker) Forget(environment string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leave(environment)
}

// leave ends the questions of an environment. c.mu is held.
func (c *Checker) leave(environment string) {
	a := c.asks[environment]
	if a == nil {
		return
	}
	a.cancel()
	delete(c.asks, environment)
	for _, p := range a.probes {
		if p == nil {
			continue
		}
		if delete(p.asks, a); len(p.asks) == 0 && !p.busy {
			c.abandon(p)
		}
	}
}

// resolve finds the credentials for the images of a query, and joins the environment to the questions about them.
func (c *Checker) resolve(ctx context.Context, a *ask) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	targets := make([]target, len(a.probes))
	if !c.survives(func() {
		purse := newPurse(a.Read, a.User, a.Set)
		for i := range targets {
			targets[i] = c.target(a.Images[i].Name, purse.logins(ctx, a.Images[i]))
		}
	}) {
		return // the images stay unasked, and the environment waits for them briefly only
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asks[a.Environment] != a {
		return // it asks for something else
	}
	answered := false
	for i := range targets {
		p := c.probeOf(a, a.Images[i].Name, targets[i])
		p.asks[a], a.probes[i] = true, p
		c.hurry(p)
		answered = answered || p.answer != plan.Answer{}
	}
	if answered {
		c.Requeue(a.Environment)
	}
}

// survives does work that reads foreign content, and reports whether it ended without a panic.
func (c *Checker) survives(work func()) bool {
	err := panics.Catch(func() error {
		work()
		return nil
	})
	if caught, ok := errors.AsType[*panics.Error](err); ok {
		c.Panicked(caught)
	}
	return err == nil
}
