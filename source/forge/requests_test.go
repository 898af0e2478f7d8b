package forge_test

import (
	stdcmp "cmp"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"berth.dev/berth/source/forge"
)

// Every request is counted with its reason, those for the token of an App too. One that the agent cancels is not: the forge
// is not the reason.
func TestRequestsAreCounted(t *testing.T) {
	s := serveGitHub(t)
	var sent []string
	config := s.config(forge.Credentials{Token: "ghp_right"})
	config.Sent = func(reason forge.Reason, took time.Duration) {
		sent = append(sent, fmt.Sprint(stdcmp.Or(string(reason), "done"), " ", took))
	}
	right := client(t, config)
	config.Credentials.Token = "ghp_revoked"
	revoked := client(t, config)
	config.Credentials.Token = ""
	config.Credentials.App = appOf(t, s)
	config.Credentials.App.ID = "8" // another one
	foreign := client(t, config)
	ended, end := context.WithCancel(t.Context())
	end()
	status := forge.Status{Commit: head, State: forge.Success}
	_, _ = right.SetStatus(t.Context(), status)
	_, _ = revoked.SetStatus(t.Context(), status)
	_, _ = foreign.SetStatus(t.Context(), status)
	_, _ = right.SetStatus(ended, status)
	s.Close()
	_, _ = right.SetStatus(t.Context(), status)
	want := []string{"done 0s", "Unauthorized 0s", "Unauthorized 0s", "Unreachable 0s"}
	if diff := cmp.Diff(want, sent); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// Another request may be getting the next token at that time.
func TestAnErrorQuotesNoTokenOfAnApp(t *testing.T) {
	s := serveGitHub(t)
	config := s.config(forge.Credentials{App: appOf(t, s)})
	now, status := noon, forge.Status{Commit: head, State: forge.Success}
	config.Now = func() time.Time { return now }
	c, err := forge.New(config)
	if err != nil {
		t.Fatal(err)
	}
	renews, answered, renewed := make(chan struct{}), make(chan struct{}), make(chan struct{})
	first := true
	s.answer = func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case strings.HasSuffix(r.URL.Path, "/access_tokens") && s.tokens > 0:
			close(renews)
			<-answered
		case strings.HasSuffix(r.URL.Path, "/statuses/"+head) && first:
			first = false
			now = now.Add(56 * time.Minute)
			go func() {
				defer close(renewed)
				_, _ = c.SetStatus(t.Context(), status)
			}()
			<-renews
			refuse(w, http.StatusUnprocessableEntity, `{"message": "odd: `+r.Header.Get("Authorization")+`"}`)
			return true
		}
		return false
	}
	_, err = c.SetStatus(t.Context(), status)
	close(answered)
	<-renewed
	if err == nil || !strings.Contains(err.Error(), "odd: Bearer [redacted]") {
		t.Errorf("it says %v", err)
	}
}
