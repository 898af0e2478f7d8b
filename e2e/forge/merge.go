package forge

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// A Status is a commit status, as Gitea shows it.
type Status struct {
	Context, Status, Description string
	Link                         string `json:"target_url"`
}

// A Note is a comment of a merge request.
type Note struct {
	ID   int64
	Body string
}

// Open opens a merge request from a branch into the default branch, and returns its number.
func (r *Repository) Open(branch string) int64 {
	r.t.Helper()
	return r.OpenInto(branch, r.main)
}

// OpenInto opens a merge request from a branch into another one, and returns its number.
func (r *Repository) OpenInto(branch, base string) int64 {
	r.t.Helper()
	var opened struct{ Number int64 }
	r.reads(http.MethodPost, r.path("/pulls"), map[string]string{"head": branch, "base": base, "title": "Merge " + branch}, &opened)
	return opened.Number
}

// OpenFromFork lets another user, who may only read the repository, fork it, push a branch there, and open a merge request. It
// returns the number.
func (r *Repository) OpenFromFork(user, branch string, files map[string]string) int64 {
	r.t.Helper()
	r.asks(http.MethodPost, "/admin/users", map[string]any{"username": user, "password": password, "email": user + "@example.com", "must_change_password": false})
	r.asks(http.MethodPut, r.path("/collaborators/"+user), map[string]string{"permission": "read"})
	r.asks(http.MethodPost, r.path("/forks?sudo="+user), map[string]string{})
	r.commit(branch, "a push to a fork", files)
	r.push(r.gitea.URL+"/"+user+"/"+r.Name+".git", user, branch)
	var opened struct{ Number int64 }
	r.reads(http.MethodPost, r.path("/pulls?sudo="+user), map[string]string{"head": user + ":" + branch, "base": r.main, "title": "A fork"}, &opened)
	return opened.Number
}

// Merge merges a merge request into the default branch, and returns the commit. After a push, Gitea first checks whether it can
// be merged, and refuses meanwhile.
func (r *Repository) Merge(number int64) string {
	r.t.Helper()
	merge := func() error {
		return r.gitea.call(r.t.Context(), http.MethodPost, r.path(fmt.Sprintf("/pulls/%d/merge", number)), map[string]any{"Do": "merge"}, nil)
	}
	err := merge()
	for began := time.Now(); err != nil && strings.Contains(err.Error(), "try again later") && time.Since(began) < time.Minute; err = merge() {
		time.Sleep(100 * time.Millisecond)
	}
	if err != nil {
		r.t.Fatalf("%v", err)
	}
	var merged struct {
		Commit string `json:"merge_commit_sha"`
	}
	r.reads(http.MethodGet, r.path(fmt.Sprintf("/pulls/%d", number)), nil, &merged)
	return merged.Commit
}

// SetState closes or reopens a merge request: closed or open.
func (r *Repository) SetState(number int64, state string) {
	r.t.Helper()
	r.asks(http.MethodPatch, r.path(fmt.Sprintf("/pulls/%d", number)), map[string]string{"state": state})
}

// Status returns the newest status of a commit with a name; zero if there is none.
func (r *Repository) Status(commit, name string) Status {
	r.t.Helper()
	var combined struct{ Statuses []Status }
	r.reads(http.MethodGet, r.path("/commits/"+commit+"/status"), nil, &combined)
	for _, s := range combined.Statuses {
		if s.Context == name {
			return s
		}
	}
	return Status{}
}

// Notes returns the comments of a merge request.
func (r *Repository) Notes(number int64) []Note {
	r.t.Helper()
	var notes []Note
	r.reads(http.MethodGet, r.path(fmt.Sprintf("/issues/%d/comments", number)), nil, &notes)
	return notes
}

// Events returns the kinds of what happened to a merge request, such as comment and commit_ref.
func (r *Repository) Events(number int64) (kinds []string) {
	r.t.Helper()
	var events []struct{ Type string }
	r.reads(http.MethodGet, r.path(fmt.Sprintf("/issues/%d/timeline", number)), nil, &events)
	for _, e := range events {
		kinds = append(kinds, e.Type)
	}
	return kinds
}

// DeleteNote deletes a comment.
func (r *Repository) DeleteNote(id int64) {
	r.t.Helper()
	r.asks(http.MethodDelete, r.path(fmt.Sprintf("/issues/comments/%d", id)), nil)
}

// Rendered returns the HTML that Gitea shows for the text of a comment.
func (r *Repository) Rendered(text string) string {
	r.t.Helper()
	var html []byte
	r.reads(http.MethodPost, "/markdown", map[string]any{"Context": "/" + owner + "/" + r.Name, "Mode": "comment", "Text": text}, &html)
	return string(html)
}

func (r *Repository) reads(method, path string, body, into any) {
	r.t.Helper()
	if err := r.gitea.call(r.t.Context(), method, path, body, into); err != nil {
		r.t.Fatalf("%v", err)
	}
}
