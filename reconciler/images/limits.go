package images

import (
	"cmp"
	"context"
	"strings"
)

// Questions under way: to all registries; to one, and of one environment. A slow registry delays only its own images, and
// an environment with many images delays no other.
const (
	atOnce       = 64
	atOncePerOne = 4
)

// The limits of what an environment can make the agent do. A branch may name any number of images and credentials.
const (
	// maxImages is how many images of one input are asked for.
	maxImages = 1000
	// maxLogins is how many credentials count, of all pull secrets of an environment, and maxTried how many are tried for
	// one repository at one host.
	maxLogins, maxTried = 1000, 5
)

// tidyFrom is how many hosts are kept before unused ones are forgotten.
const tidyFrom = 100

// lane is room for questions. A quarter is for urgent ones only, so that what previews ask does not delay production.
type lane struct{ all, urgent chan struct{} }

func newLane(most int) lane {
	return lane{all: make(chan struct{}, most-most/4), urgent: make(chan struct{}, most/4)}
}

// enter waits for room for a question of an environment, and returns what makes it free again; nil: the context ended before.
func (l lane) enter(ctx context.Context, a *ask) (leave func()) {
	var reserved chan struct{} // nil: never
	if a.Urgent {
		reserved = l.urgent
	}
	select {
	case l.all <- struct{}{}:
		return func() { <-l.all }
	case reserved <- struct{}{}:
		return func() { <-reserved }
	case <-ctx.Done():
		return nil
	}
}

// turn returns the environment whose turn a question takes: of those that want to know, the one with the fewest questions.
// The Checker's mutex is held.
func (p *probe) turn() (least *ask) {
	for a := range p.asks {
		if least == nil || cmp.Or(cmp.Compare(a.waiting, least.waiting), strings.Compare(a.Environment, least.Environment)) < 0 {
			least = a
		}
	}
	return least
}
