package forge

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// gitlab is GitLab's API.
//   - https://docs.gitlab.com/api/commits/#set-the-pipeline-status-of-a-commit
//   - https://docs.gitlab.com/api/merge_requests/#list-project-merge-requests
//   - https://docs.gitlab.com/api/notes/#merge-requests
type gitlab struct {
	*connection
	project string
}

// The permissions. A role is needed beside the scope: Developer sets statuses, and Reporter writes notes.
const (
	gitlabWrite = "the scope api, and the role Developer or higher"
	gitlabRead  = "the scope api or read_api, and the role Reporter or higher"
)

// GitLab's limits of a status: https://docs.gitlab.com/api/commits/#set-the-pipeline-status-of-a-commit
const gitlabMaxText = 255

var gitlabStates = map[State]string{Pending: "pending", Running: "running", Success: "success", Failed: "failed", Canceled: "canceled"}

// setStatus sets a status in a pipeline of the commit. Without one, GitLab creates an external pipeline, and CI may create
// another one afterwards. So a status that was begun in a pipeline is also ended there, and a final one is shown in the
// newest pipeline too: the merge request shows only that.
func (g *gitlab) setStatus(ctx context.Context, s Status) (int64, error) {
	if s.Weight == Informative && blocksOnGitLab(s) {
		s.Description, s.State = notBlocking(s), Success
	}
	if s.Pipeline == 0 {
		newest, err := g.newestPipeline(ctx, s)
		if err != nil {
			return 0, err
		}
		return g.postStatus(ctx, s, newest)
	}
	begun, err := g.postStatus(ctx, s, pipeline{ID: s.Pipeline, Ref: s.Branch})
	if ReasonOf(err) == NotFound { // the pipeline was deleted, or belongs to a merge request
		begun, err = 0, nil
	}
	if err != nil || begun != 0 && !s.State.Final() {
		return begun, err
	}
	newest, err := g.newestPipeline(ctx, s)
	if err != nil || newest.ID == begun && begun != 0 {
		return begun, err
	}
	return g.postStatus(ctx, s, newest)
}

// blocksOnGitLab reports whether a status could block a merge: with "Pipelines must succeed", a pipeline that waits, failed or was
// canceled does. Only the pipeline of the branch's newest commit counts.
func blocksOnGitLab(s Status) bool {
	return s.State == Failed || s.State == Pending || s.State == Canceled && !s.Superseded
}

// postStatus sends a status for a pipeline, or without one if it has no id. GitLab answers 400 if the status has that
// state already, which also happens if the answer to an earlier request was lost:
// https://gitlab.com/gitlab-org/gitlab/-/issues/25807
func (g *gitlab) postStatus(ctx context.Context, s Status, in pipeline) (int64, error) {
	body := map[string]any{"state": gitlabStates[s.State], "name": clean(s.Name, gitlabMaxText), "ref": s.Branch, "description": clean(s.Description, gitlabMaxText)}
	if len(s.Link) <= gitlabMaxText && s.Link != "" {
		body["target_url"] = s.Link
	}
	if in.ID != 0 {
		body["pipeline_id"], body["ref"] = in.ID, in.Ref
	}
	var answer struct {
		Pipeline int64 `json:"pipeline_id"`
	}
	_, err := g.send(ctx, operation{"set the commit status", gitlabWrite}, request{method: http.MethodPost, path: g.project + "/statuses/" + s.Commit, body: body, into: &answer})
	if ReasonOf(err) == Refused && strings.Contains(err.Error(), "Cannot transition status via") {
		return in.ID, nil
	}
	return answer.Pipeline, err
}

// pipeline is a pipeline of a commit.
type pipeline struct {
	ID  int64  `json:"id"`
	Ref string `json:"ref"`
}

// newestPipeline returns the newest pipeline of the commit that belongs to the branch or to a merge request; zero if there
// is none.
func (g *gitlab) newestPipeline(ctx context.Context, s Status) (pipeline, error) {
	var list []pipeline
	_, err := g.send(ctx, operation{"list the pipelines of a commit", gitlabWrite}, request{method: http.MethodGet, path: g.project + "/pipelines?order_by=id&sort=desc&per_page=20&sha=" + url.QueryEscape(s.Commit), into: &list})
	for _, p := range list {
		if p.Ref == s.Branch || strings.HasPrefix(p.Ref, "refs/merge-requests/") {
			return p, err
		}
	}
	return pipeline{}, err
}

func (g *gitlab) mergeRequests(ctx context.Context, page int) ([]MergeRequest, bool, error) {
	var answer []struct {
		Number int64  `json:"iid"`
		Branch string `json:"source_branch"`
		Onto   string `json:"target_branch"`
		Head   string `json:"sha"`
		Source int64  `json:"source_project_id"`
		Target int64  `json:"target_project_id"`
	}
	path := fmt.Sprintf("%s/merge_requests?state=opened&order_by=updated_at&sort=desc&per_page=100&page=%d", g.project, page)
	header, err := g.send(ctx, operation{"list the merge requests", gitlabRead}, request{method: http.MethodGet, path: path, into: &answer})
	var list []MergeRequest
	for _, m := range answer {
		list = append(list, MergeRequest{Number: m.Number, Branch: m.Branch, Target: m.Onto, Head: m.Head, Fork: m.Source != m.Target})
	}
	return list, err == nil && hasNext(header), err
}

// merge lets GitLab bring refs/merge-requests/N/merge up to date, which changes no branch. It answers 400 if the merge request
// cannot be merged. It merges when it is asked, so the answer is not of an earlier push. Its second parent need not be the head
// of the source: some versions merge a squash commit. https://docs.gitlab.com/api/merge_requests/#merge-to-default-merge-ref-path
func (g *gitlab) merge(ctx context.Context, m MergeRequest) (Merge, error) {
	var answer struct {
		Commit string `json:"commit_id"`
	}
	_, err := g.send(ctx, operation{"merge a merge request beforehand", gitlabRead}, request{method: http.MethodGet, path: fmt.Sprintf("%s/merge_requests/%d/merge_ref", g.project, m.Number), into: &answer})
	if ReasonOf(err) == Refused {
		return Merge{State: Conflicting}, nil
	}
	return Merge{Commit: answer.Commit, State: Mergeable}, err
}

func (g *gitlab) notes(ctx context.Context, number int64, page int) ([]Note, bool, error) {
	var answer []comment
	path := fmt.Sprintf("%s/merge_requests/%d/notes?order_by=created_at&sort=asc&per_page=100&page=%d", g.project, number, page)
	header, err := g.send(ctx, operation{"list the notes of a merge request", gitlabRead}, request{method: http.MethodGet, path: path, into: &answer})
	var list []Note
	for _, c := range answer {
		list = append(list, Note(c))
	}
	return list, err == nil && hasNext(header), err
}

func (g *gitlab) createNote(ctx context.Context, number int64, body string) (int64, error) {
	var created comment
	_, err := g.send(ctx, operation{"write a note in a merge request", gitlabWrite}, request{method: http.MethodPost, path: fmt.Sprintf("%s/merge_requests/%d/notes", g.project, number), body: comment{Body: body}, into: &created})
	return created.ID, err
}

func (g *gitlab) editNote(ctx context.Context, number, id int64, body string) error {
	_, err := g.send(ctx, operation{"edit a note of a merge request", gitlabWrite}, request{method: http.MethodPut, path: fmt.Sprintf("%s/merge_requests/%d/notes/%d", g.project, number, id), body: comment{Body: body}})
	return err
}
