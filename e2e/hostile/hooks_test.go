package hostile

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/gittest"
)

// delivery is a signed webhook of a push, as GitLab sends it. A test may send it late, and more than once.
type delivery struct {
	body   string
	header http.Header
}

// signs creates the delivery of a push.
func signs(key []byte, at time.Time, before, after string) delivery {
	id, timestamp := rand.Text(), strconv.FormatInt(at.Unix(), 10)
	d := delivery{
		body:   fmt.Sprintf(`{"object_kind":"push","ref":"refs/heads/main","before":%q,"after":%q}`, before, after),
		header: http.Header{},
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, timestamp, d.body)
	d.header.Set("X-Gitlab-Event", "Push Hook")
	d.header.Set("webhook-id", id)
	d.header.Set("webhook-timestamp", timestamp)
	d.header.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	return d
}

// delivers sends a delivery to the Repository, and returns the status of the answer.
func (team *team) delivers(d delivery) int {
	team.t.Helper()
	request, err := http.NewRequestWithContext(team.t.Context(), http.MethodPost, "http://"+hooks+"/hooks/"+team.Name, strings.NewReader(d.body))
	if err != nil {
		team.t.Fatal(err)
	}
	request.Header = d.header
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		team.t.Fatal(err)
	}
	answer.Body.Close()
	return answer.StatusCode
}

// An attacker between the Git server and the agent delays deliveries, reorders them, and repeats them. They are
// authentic, and name an older commit. A delivery only triggers a listing, so no environment returns to an older
// commit.
func TestDeliveriesInAnotherOrder(t *testing.T) {
	t.Parallel()
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	shared.SetSecret(lasting{t}, "reordered-webhook", map[string]string{"signingToken": "whsec_" + base64.StdEncoding.EncodeToString(key)})
	// No poll happens within the test.
	team := begins(t, "reordered", func(r *v1alpha1.Repository) {
		r.Spec.Poll = "@every 1h"
		r.Spec.Webhook = &v1alpha1.Webhook{SecretRef: v1alpha1.SecretReference{Name: "reordered-webhook"}}
	})
	pushes := func(text string) (commit string, push delivery) {
		before := team.git.Head("main")
		commit = team.git.Commit("main", map[string]string{"k8s/app.yaml": strings.Replace(application()["k8s/app.yaml"], "posts.example.com", text, 1)}, text)
		return commit, signs(key, time.Now(), before, commit)
	}
	_, first := pushes("first.example.com")
	second, second2 := pushes("second.example.com")
	if answer := team.delivers(second2); answer != http.StatusAccepted {
		t.Fatalf("a delivery is answered %d", answer)
	}
	team.production.Becomes("Healthy", second)
	team.healthy, team.before = second, team.production.Contents()
	listed := team.listings()

	if answer := team.delivers(first); answer != http.StatusAccepted {
		t.Errorf("the older delivery, which comes later, is answered %d", answer)
	}
	world.Await(t, "the older delivery makes the agent list the repository", func() (string, bool) {
		now := team.listings()
		return fmt.Sprint(now), now == listed+1
	})
	for _, again := range []delivery{first, second2} {
		if answer := team.delivers(again); answer != http.StatusAccepted {
			t.Errorf("a repeated delivery is answered %d", answer)
		}
	}
	old := signs(key, time.Now().Add(-6*time.Minute), second, second)
	if answer := team.delivers(old); answer != http.StatusUnauthorized {
		t.Errorf("a delivery that was held back for 6 minutes is answered %d", answer)
	}
	world.Always(t, 2*time.Second, "production stays at the newest commit, and repeated deliveries list nothing", func() (string, bool) {
		saw, is := team.production.Is("Healthy", second)
		now := team.listings()
		return fmt.Sprintf("%s; %d listings", saw, now-listed), is && now == listed+1
	})
	team.felt()
}

// listings returns how often the repository was listed.
func (team *team) listings() int { return team.server.Count(gittest.ListRefs) }
