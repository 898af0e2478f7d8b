package forge_test

import (
	stdcmp "cmp"
	"context"
	"fmt"
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
