package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/source/forge"
)

// The forge of the demo answers as Berth expects of GitLab, and shows what it was told.
func TestTheForgeShowsWhatItIsTold(t *testing.T) {
	server := httptest.NewServer((&forgeServer{}).handler())
	t.Cleanup(server.Close)
	s := &stage{forge: server.URL}
	number := s.openMergeRequest(t, "Add a login")
	client, err := forge.New(forge.Config{Provider: forge.GitLab, URL: server.URL, RepositoryURL: "http://127.0.0.1:1/" + project + ".git", Credentials: forge.Credentials{Token: forgeToken}, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	for _, use := range []forge.Use{forge.UseStatuses, forge.UseNotes} {
		if err := client.Probe(t.Context(), use); err != nil {
			t.Errorf("%s: %v", use, err)
		}
	}
	pipeline := int64(0)
	for _, state := range []forge.State{forge.Running, forge.Running, forge.Success} {
		status := forge.Status{Commit: strings.Repeat("a", 40), Branch: branch, Name: "berth/review", State: state, Description: string(state), Pipeline: pipeline}
		if pipeline, err = client.SetStatus(t.Context(), status); err != nil {
			t.Fatal(err)
		}
	}
	open, err := client.MergeRequests(t.Context())
	if err != nil || len(open) != 1 || open[0].Branch != branch || open[0].Fork {
		t.Fatalf("the merge requests are %v (%v)", open, err)
	}
	id := int64(0)
	for _, body := range []string{"first", "second"} {
		if id, err = client.PutNote(t.Context(), open[0].Number, id, "<!-- m -->", "<!-- m -->\n"+body+"\n"); err != nil {
			t.Fatal(err)
		}
	}
	want := "!1 Add a login: feature/login into main\n" +
		"status  aaaaaaaa  berth/review  running  Running\n" +
		"status  aaaaaaaa  berth/review  success  Success\n" +
		"\nsecond\n"
	if got := s.readMergeRequest(t, number); got != want {
		t.Errorf("the page is\n%s\nwant\n%s", got, want)
	}
	response, err := http.Get(server.URL + "/api/v4/projects/acme%2Fposts/merge_requests")
	if err != nil {
		t.Fatal(err)
	}
	if response.Body.Close(); response.StatusCode != http.StatusUnauthorized {
		t.Errorf("without the token, it answers %s", response.Status)
	}
}
