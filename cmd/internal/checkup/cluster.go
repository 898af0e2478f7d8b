package checkup

import (
	"context"
	"errors"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/kubernetes"

	"berth.dev/berth/reconciler/remote"
)

// newest is the minor version of Kubernetes 1 that the tests run.
const newest = 36

// Cluster judges the version of the API server.
func Cluster(server *version.Info) Finding {
	f := Finding{Result: OK, About: "installation", Check: "cluster", Message: "Kubernetes " + server.GitVersion}
	minor, known := remote.Minor(server)
	switch {
	case !known:
		f.Result, f.Message = Unknown, fmt.Sprintf("Kubernetes %s; Berth needs 1.%d or newer", server.GitVersion, remote.OldestMinor)
	case minor < remote.OldestMinor:
		f.Result, f.Message = Problem, fmt.Sprintf("Kubernetes %s is too old: Berth needs 1.%d or newer; upgrade the cluster", server.GitVersion, remote.OldestMinor)
	case minor > newest:
		f.Message += fmt.Sprintf(", which is newer than the one that this version was tested with (1.%d)", newest)
	}
	return f
}

// clockPatience is the largest difference of clocks that is not reported. Signed webhooks contain a time, and the agent
// refuses those that differ by more than five minutes.
const clockPatience = 30 * time.Second

// ServerTime asks the API server for its time, in whole seconds. Every user may do that.
func ServerTime(client kubernetes.Interface) func(context.Context) (time.Time, error) {
	return func(ctx context.Context) (time.Time, error) {
		review, err := client.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
		if err == nil && review.CreationTimestamp.IsZero() {
			err = errors.New("it does not say")
		}
		if err != nil {
			return time.Time{}, err
		}
		return review.CreationTimestamp.Time, nil
	}
}

// clock compares this computer's clock with the API server's. All later checks use the API server's.
func (c *Checker) clock(ctx context.Context, f *findings) {
	if c.ServerTime == nil {
		return
	}
	before := c.Now()
	server, err := c.ServerTime(ctx)
	if err != nil {
		f.unseen("clock", "the API server's clock", err)
		return
	}
	after := c.Now()
	ahead := before.Add(after.Sub(before) / 2).Sub(server).Round(time.Second)
	if ahead.Abs() <= clockPatience {
		f.add(OK, "clock", "this computer and the API server have the same time")
		return
	}
	now := c.Now
	c.Now = func() time.Time { return now().Add(-ahead) }
	f.add(Warning, "clock", "this computer's clock is %s the API server's by %s; synchronize both clocks", aheadOrBehind(ahead), ahead.Abs())
}

func aheadOrBehind(ahead time.Duration) string {
	if ahead < 0 {
		return "behind"
	}
	return "ahead of"
}

// endpoint checks that webhooks reach the agent. It sends one without a credential through the API server, which the agent
// refuses with 401.
func (c *Checker) endpoint(ctx context.Context, f *findings, repository string) {
	const service = "berth:webhooks"
	err := c.Kubernetes.CoreV1().RESTClient().Post().Namespace(c.Namespace).Resource("services").Name(service).
		SubResource("proxy").Suffix("hooks", repository).Body([]byte("{}")).Do(ctx).Error()
	switch {
	case err == nil:
		f.add(Warning, "endpoint", "Service/berth accepts webhooks without a credential, so something other than the agent answers; check its selector: kubectl describe service berth -n %s", c.Namespace)
	case apierrors.IsUnauthorized(err):
		f.add(OK, "endpoint", "the agent answers at Service/berth, port webhooks, path /hooks/%s", repository)
	case apierrors.IsForbidden(err):
		f.add(Unknown, "endpoint", "you are not allowed to try Service/berth (services/proxy)")
	default:
		f.add(Warning, "endpoint", "the agent does not answer at Service/berth, port webhooks: %v; check that its pods are ready: kubectl get pods -n %s -l %s", err, c.Namespace, agentLabel)
	}
}
