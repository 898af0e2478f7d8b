package hostile

import (
	"crypto/rand"
	"encoding/base64"
	"flag"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/e2e/world"
)

var latency = flag.Int("latency", 0, "number of quiet deployments that TestTimeOfAPushBesideTheAttempts times, before it times those beside the attempts")

// attacking is how many teams exist at the moment.
var attacking atomic.Int64

// How long it takes from a webhook to the first write for production depends on the machine, so it is measured on request and not
// asserted.
func TestTimeOfAPushBesideTheAttempts(t *testing.T) {
	if *latency == 0 {
		t.Skip("measured by go test ./hostile -latency 20 -v")
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	shared.SetSecret(lasting{t}, "timed-webhook", map[string]string{"signingToken": "whsec_" + base64.StdEncoding.EncodeToString(key)})
	team := begins(t, "timed", func(r *v1alpha1.Repository) {
		r.Spec.Poll = "@every 1h"
		r.Spec.Webhook = &v1alpha1.Webhook{SecretRef: v1alpha1.SecretReference{Name: "timed-webhook"}}
	})
	began := time.Now()
	var sent []time.Time
	deploys := func() {
		text, before := fmt.Sprintf("%d.example.com", len(sent)), team.git.Head("main")
		commit := team.git.Commit("main", map[string]string{"k8s/app.yaml": strings.Replace(application()["k8s/app.yaml"], "posts.example.com", text, 1)}, text)
		sent = append(sent, time.Now())
		if answer := team.delivers(signs(key, time.Now(), before, commit)); answer != http.StatusAccepted {
			t.Fatalf("a delivery is answered %d", answer)
		}
		team.production.Becomes("Healthy", commit)
	}
	for range *latency {
		deploys()
	}
	t.Parallel()
	world.Await(t, "attempts run (do not select this test alone)", func() (string, bool) { return "", attacking.Load() > 1 })
	for attacking.Load() > 1 {
		deploys()
	}
	times := team.timesOf(sent, began)
	quiet, beside := times[:*latency], times[*latency:]
	slices.Sort(quiet)
	slices.Sort(beside)
	half, last := quiet[len(quiet)/2], beside[len(beside)/2]
	t.Logf("webhook to first write: median %s of %d in quiet, and %s of %d beside all attempts: %.2f times as long; the slowest took %s",
		half, len(quiet), last, len(beside), float64(last)/float64(half), beside[len(beside)-1])
}

// timesOf returns how long it took from each delivery to the first write for production, by the audit log of the API server.
func (team *team) timesOf(sent []time.Time, began time.Time) (times []time.Duration) {
	team.t.Helper()
	traffic, err := shared.Since(began, team.server)
	if err != nil {
		team.t.Fatal(err)
	}
	var writes []time.Time
	for _, r := range traffic.API {
		if r.Namespace == team.Name && r.Verb == "patch" && r.Resource == "configmaps" && r.Status == http.StatusOK {
			writes = append(writes, r.Received)
		}
	}
	slices.SortFunc(writes, time.Time.Compare)
	for _, at := range sent {
		i := slices.IndexFunc(writes, func(write time.Time) bool { return write.After(at) })
		if i < 0 {
			team.t.Fatalf("no write followed the delivery of %s", at)
		}
		times = append(times, writes[i].Sub(at).Round(time.Millisecond))
	}
	return times
}
