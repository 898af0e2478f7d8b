package fleet

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/reconciler/remote"
)

// reach asks the cluster for its identity. A connection may be dead although the cluster answers, so a failed request is
// repeated over a new one.
func (l *link) reach(ctx context.Context) (types.UID, error) {
	identity, err := l.line.probe(ctx)
	if err != nil && ctx.Err() == nil && !isAnswer(err) {
		l.line.dialer.CloseAll()
		identity, err = l.line.probe(ctx)
	}
	if apierrors.IsTooManyRequests(err) && l.known() != "" {
		return l.known(), nil // it is there, and only busy
	}
	return identity, err
}

// known returns the identity of the cluster, as far as it was read.
func (l *link) known() types.UID {
	l.member.fleet.mu.Lock()
	defer l.member.fleet.mu.Unlock()
	return l.member.identity
}

// identify records the identity of the cluster, with which it is compared with all others.
func (l *link) identify(ctx context.Context, identity types.UID) error {
	f, m := l.member.fleet, l.member
	f.mu.Lock()
	own, known := f.own, m.identity
	f.mu.Unlock()
	if known != "" && known != identity {
		return errReplaced
	}
	if own == "" {
		asking, cancel := context.WithTimeout(ctx, answerTime)
		defer cancel()
		var err error
		if own, err = remote.Identity(asking, f.Home.Cluster.Core); err != nil {
			return fmt.Errorf("cannot compare it with the agent's own cluster: %w", err)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.own = own
	if !l.current() || known == identity {
		return nil
	}
	m.identity = identity
	for _, other := range f.members {
		if other != m && other.identity == identity && other.link != nil {
			other.link.suspect() // it may have to give way
		}
	}
	return nil
}

// current reports whether this is the member's connection, rather than an earlier one. The Fleet is locked.
func (l *link) current() bool { return l.member.link == l }

// refused reports whether the cluster has another name. Users then see that.
func (l *link) refused(ctx context.Context) bool {
	f, m := l.member.fleet, l.member
	f.mu.Lock()
	text := m.alias()
	f.mu.Unlock()
	if text != "" {
		l.line.shut(errRefused)
		l.become(ctx, text)
	}
	return text != ""
}
