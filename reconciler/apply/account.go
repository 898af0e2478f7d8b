package apply

import (
	"context"
	"net/http"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	clienttransport "k8s.io/client-go/transport"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/plan"
)

// Impersonate returns clients for Config.As: they share the connections of one HTTP client, and make requests as another
// user. The API server adds the groups of a service account by itself.
func Impersonate(config *rest.Config, over *http.Client) func(user string) (dynamic.Interface, error) {
	return func(user string) (dynamic.Interface, error) {
		return dynamic.NewForConfigAndClient(config, Acting(over, user))
	}
}

// Acting returns an HTTP client that makes requests as another user, over the connections of the given one.
func Acting(over *http.Client, user string) *http.Client {
	as := *over
	as.Transport = clienttransport.NewImpersonatingRoundTripper(clienttransport.ImpersonationConfig{UserName: user}, over.Transport)
	return &as
}

// clientOf returns the client for the object of a step. The environment's account writes all that comes from Git.
// The agent itself writes the environment's namespace and its own objects there.
func (r *run) clientOf(k manifest.Key) (dynamic.Interface, error) {
	if r.own(k) || r.target.User == "" || r.as == nil {
		return r.dynamic, nil
	}
	return r.asAccount()
}

func (r *run) own(k manifest.Key) bool {
	return manifest.IsOwn(k) || isNamespace(k) && k.Name == r.target.Namespace
}

// A new grant reaches the API server's authorizer a few milliseconds after it was written. The first requests that
// need it are retried for that time, because a retry in a later pass would delay each first sync by a second.
const (
	grantTries = 8
	grantPause = 2 * time.Millisecond // then twice as long, and so on: half a second in all
)

// granted reports whether to retry a request that was refused although this run has written the grant. The grant
// may not be effective yet. If so, granted waits for a moment.
func (r *run) granted(ctx context.Context, s plan.Step, try int, err error) bool {
	if err == nil || try >= grantTries || r.own(s.Key) || !r.awaitsGrant() || !isRights(err) {
		return false
	}
	pause := time.NewTimer(grantPause << try)
	defer pause.Stop()
	select {
	case <-pause.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (r *run) awaitsGrant() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.granting
}
