package images

import (
	"context"
	"time"

	"berth.dev/berth/internal/panics"
	"berth.dev/berth/reconciler/plan"
)

// pace is how often registries are asked.
type pace struct {
	// A missing image is asked for again after a twentieth of the wait so far, within these bounds. After the deadlines of
	// all environments that wait for it, the pause is late.
	shortest, longest, late time.Duration
	// After trouble, the pause is firstTrouble, doubled each time up to lastTrouble.
	firstTrouble, lastTrouble time.Duration
}

var usualPace = pace{shortest: time.Second, longest: 10 * time.Second, late: 5 * time.Minute, firstTrouble: 2 * time.Second, lastTrouble: time.Minute}

const (
	// thereMemory is how long it is remembered that an image is there, for other environments that name it.
	thereMemory = time.Minute
	// troubleMemory is how long the trouble of a registry is remembered that is not asked any more.
	troubleMemory = 5 * time.Minute
	// maxRetryAfter bounds how long a registry may ask to be left alone.
	maxRetryAfter = time.Hour
)

// probe is the question whether an image can be pulled with some credentials.
type probe struct {
	key    string
	target target
	urgent bool
	asks   map[*ask]bool // who wants to know
	answer plan.Answer
	began  time.Time
	// late says that everyone has stopped waiting. troubles counts the troubles in a row.
	late     bool
	troubles int
	timer    *time.Timer
	// busy says that a question is under way, again that another one follows directly.
	busy, again bool
}

// host is what is known of a registry.
type host struct {
	// lane is the same for urgent questions and others.
	lane lane
	// limited is until when it wants no requests. since is when its trouble began, and last its newest trouble.
	limited, since, last time.Time
}

// probeOf returns the question for an image of an environment and its credentials. c.mu is held.
func (c *Checker) probeOf(a *ask, image string, at target) *probe {
	key := image + "\n" + at.digest()
	if a.Urgent {
		key += "\nurgent" // it would otherwise wait for the turn of others
	}
	p := c.probes[key]
	if p == nil {
		p = &probe{key: key, target: at, urgent: a.Urgent, asks: map[*ask]bool{}, began: c.Now()}
		c.probes[key] = p
		c.schedule(p, 0)
	}
	if p.timer != nil && p.answer.Presence == plan.There {
		p.timer.Stop() // it would be forgotten
	}
	return p
}

// hurry makes up for the long pauses of an image that nobody waited for. c.mu is held.
func (c *Checker) hurry(p *probe) {
	if p.late {
		p.late, p.began = false, c.Now()
		c.schedule(p, 0)
	}
}

// schedule asks after a pause. c.mu is held.
func (c *Checker) schedule(p *probe, pause time.Duration) {
	if p.busy {
		p.again = true
		return
	}
	if p.timer != nil {
		p.timer.Stop()
	}
	p.timer = time.AfterFunc(pause, func() { c.inquire(p) })
}

// abandon stops a question that no environment asks any more. c.mu is held.
func (c *Checker) abandon(p *probe) {
	if p.timer != nil {
		p.timer.Stop()
	}
	if p.answer.Presence != plan.There {
		delete(c.probes, p.key)
		return
	}
	p.timer = time.AfterFunc(thereMemory, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(p.asks) == 0 && c.probes[p.key] == p {
			delete(c.probes, p.key)
		}
	})
}

// inquire asks once, and notes the answer.
func (c *Checker) inquire(p *probe) {
	c.mu.Lock()
	if p.busy || len(p.asks) == 0 {
		c.mu.Unlock()
		return
	}
	ctx, h, a := c.agent, c.host(p.host()), p.turn()
	p.busy, p.again = true, false
	a.waiting++
	c.mu.Unlock()
	r := c.question(ctx, p, h, a)
	if ctx.Err() != nil {
		return
	}
	if r.kind != unasked {
		c.Asked(string(r.kind))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p.busy = false
	a.waiting--
	if r.kind != unasked && c.note(p, h, r) {
		for a := range p.asks {
			c.Requeue(a.Environment)
		}
	}
	switch pause, more := c.pause(p, h, r); {
	case len(p.asks) == 0:
		c.abandon(p)
	case p.again:
		c.schedule(p, 0)
	case more:
		c.schedule(p, pause)
	}
}

// question asks a registry, when it is the turn of an environment.
func (c *Checker) question(ctx context.Context, p *probe, h *host, a *ask) (r result) {
	if p.target.problem != "" {
		return result{kind: refused, text: p.target.problem}
	}
	for _, at := range []lane{{all: a.slots}, h.lane, c.lane} {
		leave := at.enter(ctx, a)
		if leave == nil {
			return result{kind: unasked}
		}
		defer leave()
	}
	c.mu.Lock()
	limited, wanted := c.Now().Before(h.limited), len(p.asks) > 0
	c.mu.Unlock()
	switch {
	case !wanted:
		return result{kind: unasked}
	case limited:
		return result{kind: unanswered, text: p.target.registry + rateLimited}
	}
	if !c.survives(func() { r = p.target.ask(ctx) }) {
		return result{kind: unanswered, text: p.target.registry + ": cannot ask: " + (&panics.Error{}).Error()}
	}
	return r
}

// note records an answer, and reports whether it is new. c.mu is held.
func (c *Checker) note(p *probe, h *host, r result) (changed bool) {
	before, now := p.answer, c.Now()
	switch r.kind {
	case there:
		p.answer = plan.Answer{Presence: plan.There}
	case missing:
		p.answer = plan.Answer{Presence: plan.Missing}
	case refused:
		p.answer.Trouble, p.answer.Refused = r.text, true
	case unanswered:
		if h.since.IsZero() || now.Sub(h.last) > troubleMemory {
			h.since = now
		}
		h.last = now
		if r.retryAfter > 0 {
			h.limited = now.Add(min(r.retryAfter, maxRetryAfter))
		}
		p.answer.Trouble, p.answer.Refused, p.answer.Since = r.text, false, h.since
	}
	if r.kind == unanswered {
		p.troubles++
	} else {
		p.troubles = 0
		h.since, h.last, h.limited = time.Time{}, time.Time{}, time.Time{}
	}
	return p.answer != before
}

// pause returns after what time to ask again, and whether to ask at all. c.mu is held.
func (c *Checker) pause(p *probe, h *host, r result) (pause time.Duration, more bool) {
	now := c.Now()
	p.late = p.answer.Presence == plan.Missing
	for a := range p.asks {
		p.late = p.late && !a.until.IsZero() && !now.Before(a.until)
	}
	switch {
	case r.kind == unasked:
		return 0, true
	case p.answer.Presence == plan.There, p.answer.Presence == "" && r.kind == refused:
		return 0, false
	case p.late:
		pause = c.pace.late
	case r.kind == missing:
		pause = min(max(now.Sub(p.began)/20, c.pace.shortest), c.pace.longest)
	case r.kind == refused:
		pause = c.pace.lastTrouble
	default:
		pause = max(min(c.pace.firstTrouble<<min(p.troubles-1, 10), c.pace.lastTrouble), h.limited.Sub(now))
	}
	return pause + time.Duration(float64(pause)*c.Jitter()/10), true
}

// hostKey identifies what is known of a registry. Urgent questions know it for themselves: the trouble that previews cause there,
// such as by pulls without credentials, does not count for production.
type hostKey struct {
	registry string
	urgent   bool
}

func (p *probe) host() hostKey { return hostKey{p.target.registry, p.urgent} }

// host returns what is known of a registry. c.mu is held.
func (c *Checker) host(key hostKey) *host {
	h := c.hosts[key]
	if h == nil {
		if len(c.hosts) >= c.tidyAt {
			c.tidy()
			c.tidyAt = 2*len(c.hosts) + tidyFrom
		}
		h = &host{lane: newLane(atOncePerOne)}
		if other := c.hosts[hostKey{key.registry, !key.urgent}]; other != nil {
			h.lane = other.lane
		}
		c.hosts[key] = h
	}
	return h
}

// tidy forgets the registries that nothing asks and that are in no trouble. c.mu is held.
func (c *Checker) tidy() {
	used := map[hostKey]bool{}
	for _, p := range c.probes {
		used[p.host()] = true
	}
	now := c.Now()
	for key, h := range c.hosts {
		if !used[key] && now.Sub(h.last) > troubleMemory && !now.Before(h.limited) {
			delete(c.hosts, key)
		}
	}
}
