package forge

import (
	"context"
	"fmt"
	"net/http"
	"strings"
)

// hub is the API of GitHub, and of Gitea, which has the same paths and almost the same bodies.
//   - https://docs.github.com/en/rest/commits/statuses
//   - https://docs.github.com/en/rest/pulls/pulls
//   - https://docs.github.com/en/rest/issues/comments
//   - https://docs.gitea.com/api/
type hub struct {
	*connection
	project string
	dialect
}

// dialect is where the two differ.
type dialect struct {
	pulls          string // the query of the list of open pull requests
	perPage        string // the query of a page of notes; empty: there is one page, with all of them
	maxDescription int    // in bytes, which are at least as many as characters
	writeStatus    string // the permissions
	writeNote      string
	readPulls      string
}

var githubDialect = dialect{
	pulls: "state=open&sort=updated&direction=desc&per_page=100", perPage: "per_page=100",
	maxDescription: 140, // https://docs.github.com/en/rest/commits/statuses#create-a-commit-status
	writeStatus:    "the permission Commit statuses: write",
	writeNote:      "the permission Pull requests: write",
	readPulls:      "the permission Pull requests: read",
}

var giteaDialect = dialect{
	pulls:          "state=open&sort=recentupdate&limit=50",
	maxDescription: 255, // the database has no limit, but pages show it on one line
	writeStatus:    "the scope write:repository, and its user the right to write code",
	writeNote:      "the scope write:issue, and its user the right to read the repository",
	readPulls:      "the scope read:repository",
}

// hubStates maps states. GitHub has no state for what was canceled: error is "for another reason than a failure". Gitea
// has warning, too, but counts it as a failure of the commit.
var hubStates = map[State]string{Pending: "pending", Running: "pending", Success: "success", Failed: "failure", Canceled: "error"}

func (h *hub) setStatus(ctx context.Context, s Status) (int64, error) {
	if s.Weight == Informative && (s.State == Failed || s.State == Canceled) {
		s.Description, s.State = notBlocking(s), Success
	}
	body := map[string]string{"state": hubStates[s.State], "context": s.Name, "description": clean(s.Description, h.maxDescription)}
	if s.Link != "" {
		body["target_url"] = s.Link
	}
	_, err := h.send(ctx, operation{"set the commit status", h.writeStatus}, request{method: http.MethodPost, path: h.project + "/statuses/" + s.Commit, body: body})
	return 0, err
}

// notBlocking returns the text of a status that is not a success, but reported as one so that it blocks nothing.
func notBlocking(s Status) string {
	return map[State]string{Failed: "Failed, not blocking: ", Canceled: "Canceled: ", Pending: "Not yet: "}[s.State] + s.Description
}

// pull is a pull request. The repository of a deleted fork is null.
type pull struct {
	Number int64    `json:"number"`
	Head   pullSide `json:"head"`
	Base   pullSide `json:"base"`
	// Began is Gitea's, the other two are GitHub's: null means that it has not found out yet.
	Began     string `json:"merge_base"`
	Mergeable *bool  `json:"mergeable"`
	Merged    string `json:"merge_commit_sha"`
}

type pullSide struct {
	Ref  string `json:"ref"`
	SHA  string `json:"sha"`
	Repo *struct {
		FullName string `json:"full_name"`
	} `json:"repo"`
}

func (h *hub) mergeRequests(ctx context.Context, page int) ([]MergeRequest, bool, error) {
	var pulls []pull
	header, err := h.send(ctx, operation{"list the pull requests", h.readPulls}, request{method: http.MethodGet, path: fmt.Sprintf("%s/pulls?%s&page=%d", h.project, h.pulls, page), into: &pulls})
	var list []MergeRequest
	for _, p := range pulls {
		own := p.Head.Repo != nil && p.Base.Repo != nil && strings.EqualFold(p.Head.Repo.FullName, p.Base.Repo.FullName)
		list = append(list, MergeRequest{Number: p.Number, Branch: p.Head.Ref, Target: p.Base.Ref, Head: p.Head.SHA, Fork: !own, Base: p.Began})
	}
	return list, err == nil && hasNext(header), err
}

// merge asks GitHub for the commit of refs/pull/N/merge, which it makes when it is asked for the pull request:
// https://docs.github.com/en/rest/pulls/pulls#get-a-pull-request. Gitea and Forgejo have no such commit.
func (h *hub) merge(ctx context.Context, m MergeRequest) (Merge, error) {
	if h.Provider == Gitea {
		return Merge{Commit: m.Head, Base: m.Base, State: Mergeable}, nil
	}
	var p pull
	_, err := h.send(ctx, operation{"read a pull request", h.readPulls}, request{method: http.MethodGet, path: fmt.Sprintf("%s/pulls/%d", h.project, m.Number), into: &p})
	switch {
	case err != nil:
		return Merge{}, err
	case p.Mergeable == nil:
		return Merge{State: Computing}, nil
	case !*p.Mergeable || p.Merged == "":
		return Merge{State: Conflicting}, nil
	}
	return Merge{Commit: p.Merged, Parent: m.Head, State: Mergeable}, nil // shortly after a push, it may be of the earlier head
}

// comment is a note.
type comment struct {
	ID   int64  `json:"id,omitempty"`
	Body string `json:"body"`
}

func (h *hub) notes(ctx context.Context, number int64, page int) ([]Note, bool, error) {
	var comments []comment
	path := fmt.Sprintf("%s/issues/%d/comments", h.project, number)
	if h.perPage != "" {
		path += fmt.Sprintf("?%s&page=%d", h.perPage, page)
	}
	header, err := h.send(ctx, operation{"list the comments of a pull request", h.writeNote}, request{method: http.MethodGet, path: path, into: &comments})
	var list []Note
	for _, c := range comments {
		list = append(list, Note(c))
	}
	return list, err == nil && hasNext(header), err
}

func (h *hub) createNote(ctx context.Context, number int64, body string) (int64, error) {
	var created comment
	_, err := h.send(ctx, operation{"comment on a pull request", h.writeNote}, request{method: http.MethodPost, path: fmt.Sprintf("%s/issues/%d/comments", h.project, number), body: comment{Body: body}, into: &created})
	return created.ID, err
}

func (h *hub) editNote(ctx context.Context, _, id int64, body string) error {
	_, err := h.send(ctx, operation{"edit a comment of a pull request", h.writeNote}, request{method: http.MethodPatch, path: fmt.Sprintf("%s/issues/comments/%d", h.project, id), body: comment{Body: body}})
	return err
}
