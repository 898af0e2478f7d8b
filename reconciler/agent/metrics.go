package agent

import (
	"context"
	"crypto/sha256"
	"net/http"
	"strings"
	"time"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// How long the API server's answer about a token is valid, and how many answers are cached.
const (
	accessMemory  = time.Minute
	maxRemembered = 256
)

// metricsAccess restricts /metrics to accounts that may get that path, by their bearer token: the metrics name branches and
// namespaces.
type metricsAccess struct {
	client kubernetes.Interface
	// known has the API server's answers, by the digest of token and path.
	known *cache.LRUExpireCache
}

// clock makes a Clock of a function.
type clock func() time.Time

// Now returns the time.
func (c clock) Now() time.Time { return c() }

// authorizeMetrics is the FilterProvider of a metrics server.
func authorizeMetrics(config *rest.Config, client *http.Client) (metricsserver.Filter, error) {
	api, err := kubernetes.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, err
	}
	return newMetricsAccess(api, time.Now).filter, nil
}

func newMetricsAccess(client kubernetes.Interface, now func() time.Time) *metricsAccess {
	return &metricsAccess{client: client, known: cache.NewLRUExpireCacheWithClock(maxRemembered, clock(now))}
}

func (m *metricsAccess) filter(_ logr.Logger, next http.Handler) (http.Handler, error) {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status := m.judge(r.Context(), r); status != http.StatusOK {
			http.Error(w, http.StatusText(status), status)
			return
		}
		next.ServeHTTP(w, r)
	}), nil
}

// judge returns the status of the answer; 200: the request may pass.
func (m *metricsAccess) judge(ctx context.Context, r *http.Request) int {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || token == "" {
		return http.StatusUnauthorized
	}
	key := sha256.Sum256([]byte(r.URL.Path + "\x00" + token))
	if known, found := m.known.Get(key); found {
		return known.(int)
	}
	status, err := m.ask(ctx, token, r.URL.Path)
	if err != nil {
		return http.StatusServiceUnavailable
	}
	m.known.Add(key, status, accessMemory)
	return status
}

// ask asks the API server for the account of a token, and whether it may get a path.
func (m *metricsAccess) ask(ctx context.Context, token, path string) (int, error) {
	review, err := m.client.AuthenticationV1().TokenReviews().Create(ctx,
		&authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
	if err != nil {
		return 0, err
	}
	if !review.Status.Authenticated {
		return http.StatusUnauthorized, nil
	}
	user := review.Status.User
	extra := make(map[string]authorizationv1.ExtraValue, len(user.Extra))
	for name, values := range user.Extra {
		extra[name] = authorizationv1.ExtraValue(values)
	}
	answer, err := m.client.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra,
			NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: path, Verb: "get"},
		},
	}, metav1.CreateOptions{})
	switch {
	case err != nil:
		return 0, err
	case !answer.Status.Allowed:
		return http.StatusForbidden, nil
	}
	return http.StatusOK, nil
}
