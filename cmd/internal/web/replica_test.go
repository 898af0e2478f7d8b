package web_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
)

// asks requests a row with the versions that the browser has heard of, and returns where the answer arrives.
func (s *site) asks(versions string) <-chan string {
	request := httptest.NewRequestWithContext(s.Context(), http.MethodGet, "/rows?name=posts.review.a", nil)
	request.Header.Set("Berth-Versions", versions)
	answered := make(chan string, 1)
	go func() {
		answer := httptest.NewRecorder()
		s.ServeHTTP(answer, request)
		answered <- answer.Body.String()
	}()
	return answered
}

// A browser hears of a change from one replica, and asks another one. An old answer would stay until the next change.
func TestAReplicaThatIsBehindWaitsForItsWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := environment("a", v1alpha1.ReasonSyncing, "")
		s := open(t, &site{}, env)
		s.shows("/", "Syncing")
		if err := s.Get(t.Context(), client.ObjectKeyFromObject(env), env); err != nil {
			t.Fatal(err)
		}
		next := "1000." // fake objects begin with version 999
		if env.ResourceVersion != "999" {
			t.Fatalf("the object has version %s", env.ResourceVersion)
		}
		answered := s.asks(next)
		synctest.Wait()
		select {
		case saw := <-answered:
			t.Fatalf("the replica does not wait: %s", saw)
		default:
		}
		env.Status.Conditions[0].Reason = v1alpha1.ReasonHealthy
		if err := s.Update(t.Context(), env); err != nil {
			t.Fatal(err)
		}
		if saw := <-answered; !strings.Contains(saw, "Healthy") {
			t.Errorf("it answers %s", saw)
		}
	})
}

// The pages of two replicas may have seen equally many changes.
func TestAPageOfAnotherReplicaIsLoadedAgain(t *testing.T) {
	here, there := open(t, &site{}, environment("a", v1alpha1.ReasonHealthy, "")), open(t, &site{rotates: true}, environment("a", v1alpha1.ReasonHealthy, ""))
	there.get("/") // until it is listed
	server := httptest.NewServer(there)
	t.Cleanup(server.Close)
	if got := <-there.listen(server, "/live?shown="+here.version("/")); !strings.Contains(got, `"whole":true`) {
		t.Errorf("the first event is %s", got)
	}
}

func TestAReplicaDoesNotWaitForLong(t *testing.T) {
	for versions, most := range map[string]time.Duration{"999999999.": 10 * time.Second, ".999999999": 10 * time.Second, "999.": 0, "999": 0, ".": 0, "x.<script>": 0, "-1.1e9": 0} {
		t.Run(versions, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := open(t, &site{}, environment("a", v1alpha1.ReasonHealthy, ""))
				s.shows("/", "Healthy")
				began := time.Now()
				if saw := <-s.asks(versions); !strings.Contains(saw, "Healthy") || time.Since(began) > most {
					t.Errorf("after %s it answers %s", time.Since(began), saw)
				}
			})
		})
	}
}
