package forge_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"berth.dev/berth/source/forge"
)

var noon = time.Date(2026, time.March, 4, 12, 0, 0, 0, time.UTC)

var head = strings.Repeat("a", 40)

func client(t *testing.T, c forge.Config) *forge.Client {
	t.Helper()
	c.Now = func() time.Time { return noon }
	made, err := forge.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(made.Close)
	return made
}

func (s *gitlabServer) client(t *testing.T) *forge.Client {
	t.Helper()
	return client(t, forge.Config{Provider: forge.GitLab, URL: s.URL, RepositoryURL: s.URL + "/acme/posts.git", Credentials: forge.Credentials{Token: "glpat-right"}})
}

// set sends statuses, each for the pipeline of its predecessor.
func set(t *testing.T, c *forge.Client, statuses ...forge.Status) {
	t.Helper()
	pipeline := int64(0)
	for _, s := range statuses {
		s.Commit, s.Branch, s.Name, s.Pipeline = head, "side", "berth/review", pipeline
		var err error
		if pipeline, err = c.SetStatus(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s.State, err)
		}
	}
}

func (s *gitlabServer) wants(want ...string) {
	s.t.Helper()
	got := []string{}
	for _, status := range s.statuses {
		got = append(got, fmt.Sprintf("%d %s %s %q", status.Pipeline, status.Ref, status.State, status.Description))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("statuses (-want +got):\n%s", diff)
	}
}

func status(state forge.State, weight forge.Weight, text string) forge.Status {
	return forge.Status{State: state, Weight: weight, Description: text}
}

func TestGitLabStatuses(t *testing.T) {
	running, success := status(forge.Running, forge.Blocking, "Syncing"), status(forge.Success, forge.Blocking, "Healthy")
	for _, test := range []struct {
		rule  string
		given func(s *gitlabServer)
		send  []forge.Status
		want  []string
	}{
		{"a status without a pipeline makes an external one", nil, []forge.Status{running, success}, []string{`101 side success "Healthy"`}},
		{"a status joins the pipeline of the branch", func(s *gitlabServer) { s.begin(head, "other"); s.begin(head, "side") }, []forge.Status{running, success}, []string{`102 side success "Healthy"`}},
		{"a status joins the pipeline of the merge request", func(s *gitlabServer) { s.begin(head, "refs/merge-requests/7/head") }, []forge.Status{success}, []string{`101 refs/merge-requests/7/head success "Healthy"`}},
		{"the same state again is no error", nil, []forge.Status{running, running, success}, []string{`101 side success "Healthy"`}},
		{"a finished status has a successor", nil, []forge.Status{success, running}, []string{`101 side success "Healthy"`, `101 side running "Syncing"`}},
		{"a failure that is informative blocks nothing", nil, []forge.Status{status(forge.Failed, forge.Informative, "Failed: no image")}, []string{`101 side success "Failed, not blocking: Failed: no image"`}},
		{"a queue that is informative blocks nothing", nil, []forge.Status{status(forge.Pending, forge.Informative, "Queued: place 3")}, []string{`101 side success "Not yet: Queued: place 3"`}},
		{"a failure that blocks fails", nil, []forge.Status{status(forge.Pending, forge.Blocking, "Queued"), running, status(forge.Failed, forge.Blocking, "Failed")}, []string{`101 side failed "Failed"`}},
		{"what a newer commit superseded is canceled", nil, []forge.Status{running, {State: forge.Canceled, Weight: forge.Informative, Superseded: true, Description: "superseded"}}, []string{`101 side canceled "superseded"`}},
		{"the end of a sync of the newest commit blocks nothing", nil, []forge.Status{running, status(forge.Canceled, forge.Informative, "the environment is removed")}, []string{`101 side success "Canceled: the environment is removed"`}},
		{"the end of a sync that blocks is canceled", nil, []forge.Status{running, status(forge.Canceled, forge.Blocking, "the environment is removed")}, []string{`101 side canceled "the environment is removed"`}},
		{"texts have 255 bytes at most", nil, []forge.Status{status(forge.Failed, forge.Blocking, strings.Repeat("é", 200))}, []string{`101 side failed "` + strings.Repeat("é", 126) + `…"`}},
	} {
		t.Run(test.rule, func(t *testing.T) {
			s := serveGitLab(t)
			if test.given != nil {
				test.given(s)
			}
			set(t, s.client(t), test.send...)
			s.wants(test.want...)
		})
	}
}

// CI often creates its pipeline after the first status. The external pipeline would run for ever, and the merge request
// shows only the newest.
func TestAPipelineThatBeginsAfterTheFirstStatus(t *testing.T) {
	s := serveGitLab(t)
	c := s.client(t)
	send := func(state forge.State, pipeline int64) int64 {
		pipeline, err := c.SetStatus(t.Context(), forge.Status{Commit: head, Branch: "side", Name: "berth/review", State: state, Description: string(state), Pipeline: pipeline})
		if err != nil {
			t.Fatal(err)
		}
		return pipeline
	}
	first := send(forge.Running, 0)
	s.begin(head, "side")
	send(forge.Success, first)
	s.wants(`101 side success "Success"`, `102 side success "Success"`)
}

// A link that is too long would make GitLab refuse the status.
func TestALinkThatGitLabDoesNotTake(t *testing.T) {
	s := serveGitLab(t)
	set(t, s.client(t), forge.Status{State: forge.Success, Link: "https://example.com/" + strings.Repeat("a", 255)}, forge.Status{State: forge.Success, Link: "https://example.com"})
	if s.statuses[0].Address != "" || s.statuses[1].Address != "https://example.com" {
		t.Errorf("the links are %v", s.statuses)
	}
}

func TestGitLabNotes(t *testing.T) {
	const marker = "<!-- berth 1 -->"
	fill := func(s *gitlabServer, n int) {
		for range n {
			s.nextID++
			s.notes = append(s.notes, gitlabNote{s.nextID, "LGTM"})
		}
	}
	ours := func(s *gitlabServer) int64 {
		s.nextID++
		s.notes = append(s.notes, gitlabNote{s.nextID, marker + "\nold"})
		return s.nextID
	}
	for _, test := range []struct {
		rule  string
		given func(s *gitlabServer) (id int64)
		want  int64
		asked int
	}{
		{"the first note is created, after a look for an earlier one", func(*gitlabServer) int64 { return 0 }, 101, 2},
		{"a known note is edited, and none are listed", func(s *gitlabServer) int64 { fill(s, 250); return ours(s) }, 351, 1},
		{"a note without a known id is found again, on any page", func(s *gitlabServer) int64 { fill(s, 250); ours(s); return 0 }, 351, 4},
		{"a deleted note is created again", func(*gitlabServer) int64 { return 5 }, 101, 3},
		{"a note of an earlier token's user is left alone", func(s *gitlabServer) int64 { id := ours(s); s.foreign[id] = true; return id }, 102, 3},
		{"a later note of this token's user is found", func(s *gitlabServer) int64 { id := ours(s); s.foreign[id] = true; ours(s); return id }, 102, 3},
		{"a copy by another user is left alone", func(s *gitlabServer) int64 { s.foreign[ours(s)] = true; return 0 }, 102, 3},
	} {
		t.Run(test.rule, func(t *testing.T) {
			s := serveGitLab(t)
			id := test.given(s)
			got, err := s.client(t).PutNote(t.Context(), 7, id, marker, marker+"\nnew")
			if err != nil || got != test.want || len(s.asked) != test.asked {
				t.Errorf("the note is %d after %d requests (%v), want %d after %d: %q", got, len(s.asked), err, test.want, test.asked, s.asked)
			}
			for _, note := range s.notes {
				if note.ID == got && note.Body != marker+"\nnew" {
					t.Errorf("the note says %q", note.Body)
				}
			}
		})
	}
}

// A fork may have a branch of the same name.
func TestMergeRequestsOfForksAreNotOurs(t *testing.T) {
	s := serveGitLab(t)
	for range 150 {
		s.merges = append(s.merges, map[string]any{"iid": 1, "sha": head, "source_branch": "main", "target_branch": "main", "source_project_id": 2, "target_project_id": 1})
	}
	s.merges = append(s.merges, map[string]any{"iid": 151, "sha": head, "source_branch": "side", "target_branch": "main", "source_project_id": 1, "target_project_id": 1},
		map[string]any{"iid": 152, "sha": nil, "source_branch": "gone", "target_branch": "main", "source_project_id": nil, "target_project_id": 1})
	list, err := s.client(t).MergeRequests(t.Context())
	want := []forge.MergeRequest{{Number: 1, Branch: "main", Target: "main", Head: head, Fork: true}, {Number: 151, Branch: "side", Target: "main", Head: head}, {Number: 152, Branch: "gone", Target: "main", Fork: true}}
	if diff := cmp.Diff(want, slices.Compact(list)); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// GitLab brings the merge ref up to date when it is asked for it. A conflict is no error of the token or the forge.
func TestMergesOfGitLab(t *testing.T) {
	s := serveGitLab(t)
	c := s.client(t)
	if got, err := c.Merge(t.Context(), forge.MergeRequest{Number: 7}); err != nil || got != (forge.Merge{Commit: "merge-of-7", State: forge.Mergeable}) {
		t.Errorf("%v %v", got, err)
	}
	s.conflict = true
	if got, err := c.Merge(t.Context(), forge.MergeRequest{Number: 7}); err != nil || got != (forge.Merge{State: forge.Conflicting}) {
		t.Errorf("with a conflict: %v %v", got, err)
	}
	s.answer = func(w http.ResponseWriter, _ *http.Request) bool {
		refuse(w, http.StatusForbidden, `{"message": "403 Forbidden"}`)
		return true
	}
	if _, err := c.Merge(t.Context(), forge.MergeRequest{Number: 7}); forge.ReasonOf(err) != forge.Forbidden {
		t.Errorf("without the scope: %v", err)
	}
}

// The texts are from https://docs.gitlab.com/api/rest/troubleshooting/ and https://docs.gitlab.com/security/rate_limits/
func TestErrorsOfGitLab(t *testing.T) {
	for _, test := range []struct {
		status       int
		header, text string
		reason       forge.Reason
		wait         time.Duration
		want         string
	}{
		{401, "", `{"message":"401 Unauthorized"}`, forge.Unauthorized, 0, "the forge answers 401 Unauthorized; check the Secret"},
		{403, "", `{"error":"insufficient_scope","error_description":"The request requires higher privileges than provided by the access token.","scope":"api"}`, forge.Forbidden, 0,
			"cannot write a note in a merge request: the forge answers 403 Forbidden: insufficient_scope: The request requires higher privileges than provided by the access token.; the token needs the scope api, and the role Developer or higher"},
		{403, "", `{"error":"insufficient_granular_scope","error_description":"Access denied: This operation requires a fine-grained personal access token with the following project permissions: [Merge Request: Update]."}`, forge.Forbidden, 0,
			"[Merge Request: Update].; give the fine-grained token the permissions that GitLab names, or use a token with the scope api"},
		{404, "", `{"message":"404 Project Not Found"}`, forge.NotFound, 0, "cannot write a note in a merge request: the forge answers 404 Not Found: 404 Project Not Found; check spec.url, and that"},
		{405, "", "", forge.NotFound, 0, "405 Method Not Allowed; this may be another forge: check spec.feedback.provider"},
		{409, "", `{"message":"Another update to this commit status is in progress"}`, forge.Unreachable, 0, "409 Conflict: Another update"},
		{400, "", `{"message":{"note":["is too long"]}}`, forge.Refused, 0, `400 Bad Request: {"note":["is too long"]}`},
		{429, "120", "Retry later\n", forge.RateLimited, 2 * time.Minute, "429 Too Many Requests; reports continue"},
		{429, noon.Add(time.Minute).Format(http.TimeFormat), "", forge.RateLimited, time.Minute, "429 Too Many Requests"},
		{500, "", "<html>glpat-right</html>", forge.Unreachable, 0, "500 Internal Server Error"},
		{502, "", `{"message":"the token glpat-right is odd\u202e\n/close"}`, forge.Unreachable, 0, "502 Bad Gateway: the token [redacted] is odd /close"},
	} {
		t.Run(fmt.Sprint(test.status), func(t *testing.T) {
			s := serveGitLab(t)
			s.answer = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodGet {
					return false
				}
				w.Header().Set("Retry-After", test.header)
				refuse(w, test.status, test.text)
				return true
			}
			_, err := s.client(t).PutNote(t.Context(), 7, 0, "x", "y")
			if forge.ReasonOf(err) != test.reason || forge.WaitOf(err) != test.wait || err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "glpat-right") {
				t.Errorf("%s %s %v, want %s %s %q", forge.ReasonOf(err), forge.WaitOf(err), err, test.reason, test.wait, test.want)
			}
		})
	}
}

func TestProbesOfGitLab(t *testing.T) {
	s := serveGitLab(t)
	for _, use := range []forge.Use{forge.UseStatuses, forge.UseNotes, forge.UseDeployments} {
		if err := s.client(t).Probe(t.Context(), use); err != nil {
			t.Errorf("%s: %v", use, err)
		}
	}
	if len(s.statuses)+len(s.notes)+len(s.deployed)+len(s.places) > 0 {
		t.Errorf("the probes left %v %v %v %v", s.statuses, s.notes, s.deployed, s.places)
	}
	s.answer = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet {
			refuse(w, http.StatusForbidden, `{"error":"insufficient_scope"}`)
		}
		return r.Method != http.MethodGet
	}
	if err := s.client(t).Probe(t.Context(), forge.UseNotes); forge.ReasonOf(err) != forge.Forbidden {
		t.Errorf("a token that may only read: %v", err)
	}
}
