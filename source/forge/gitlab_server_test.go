package forge_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// gitlabServer answers as GitLab's documentation says. The rules of commit statuses are from
// https://docs.gitlab.com/api/commits/#set-the-pipeline-status-of-a-commit and, where that is silent, from
// https://gitlab.com/gitlab-org/gitlab/-/blob/master/app/services/ci/create_commit_status_service.rb
type gitlabServer struct {
	*httptest.Server
	t         *testing.T
	pipelines []gitlabPipeline // the newest last
	statuses  []gitlabStatus
	notes     []gitlabNote
	merges    []map[string]any
	conflict  bool
	foreign   map[int64]bool // notes that others wrote
	deployed  []gitlabDeployment
	places    []gitlabEnvironment
	nextID    int64
	asked     []string
	answer    func(w http.ResponseWriter, r *http.Request) bool // answers in place of the server
}

type gitlabPipeline struct {
	ID          int64
	SHA, Ref    string
	MergeResult bool
}

type gitlabDeployment struct {
	ID          int64             `json:"id"`
	Status      string            `json:"status"`
	SHA         string            `json:"sha"`
	Environment gitlabEnvironment `json:"environment"`
}

type gitlabEnvironment struct {
	ID    int64  `json:"id"`
	Name  string `json:"name"`
	Link  string `json:"external_url"`
	State string `json:"state"`
	// Agent and Namespace are set by users; an answer about a deployment leaves them out.
	Agent     map[string]any `json:"cluster_agent,omitempty"`
	Namespace string         `json:"kubernetes_namespace,omitempty"`
}

// basic returns what deployments have of an environment.
func (e gitlabEnvironment) basic() gitlabEnvironment {
	e.Agent, e.Namespace = nil, ""
	return e
}

type gitlabStatus struct {
	Pipeline                                    int64
	SHA, Ref, Name, State, Description, Address string
}

type gitlabNote struct {
	ID   int64  `json:"id"`
	Body string `json:"body"`
}

func serveGitLab(t *testing.T) *gitlabServer {
	s := &gitlabServer{t: t, nextID: 100, foreign: map[int64]bool{}}
	mux := http.NewServeMux()
	const project = "/api/v4/projects/acme%2Fposts"
	handle := func(pattern string, h func(http.ResponseWriter, *http.Request, map[string]any)) {
		method, path, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(method+" /api/v4/projects/{project}"+path, func(w http.ResponseWriter, r *http.Request) {
			s.asked = append(s.asked, r.Method+" "+strings.TrimPrefix(r.URL.EscapedPath(), project))
			if r.PathValue("project") != "acme/posts" {
				refuse(w, http.StatusNotFound, `{"message": "404 Project Not Found"}`)
				return
			}
			if r.Header.Get("Authorization") != "Bearer glpat-right" {
				refuse(w, http.StatusUnauthorized, `{"message": "401 Unauthorized"}`)
				return
			}
			if s.answer != nil && s.answer(w, r) {
				return
			}
			body := map[string]any{}
			if r.Method != http.MethodGet {
				if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
					t.Error(err)
				}
			}
			h(w, r, body)
		})
	}
	handle("POST /statuses/{sha}", s.setStatus)
	handle("GET /pipelines", s.listPipelines)
	handle("GET /merge_requests", func(w http.ResponseWriter, r *http.Request, _ map[string]any) {
		if r.URL.Query().Get("state") != "opened" {
			t.Error("all merge requests are listed")
		}
		page(w, r, s.merges)
	})
	handle("GET /merge_requests/{number}/notes", func(w http.ResponseWriter, r *http.Request, _ map[string]any) { page(w, r, s.notes) })
	handle("POST /merge_requests/{number}/notes", func(w http.ResponseWriter, _ *http.Request, body map[string]any) {
		s.nextID++
		s.notes = append(s.notes, gitlabNote{s.nextID, fmt.Sprint(body["body"])})
		reply(w, http.StatusCreated, s.notes[len(s.notes)-1])
	})
	handle("PUT /merge_requests/{number}/notes/{id}", s.editNote)
	// https://docs.gitlab.com/api/merge_requests/#merge-to-default-merge-ref-path
	handle("GET /merge_requests/{number}/merge_ref", func(w http.ResponseWriter, r *http.Request, _ map[string]any) {
		if s.conflict {
			refuse(w, http.StatusBadRequest, `{"message": "Merge request is not mergeable"}`)
			return
		}
		reply(w, http.StatusOK, map[string]any{"commit_id": "merge-of-" + r.PathValue("number")})
	})
	s.serveDeployments(handle)
	handle("GET ", func(w http.ResponseWriter, _ *http.Request, _ map[string]any) {
		reply(w, http.StatusOK, map[string]any{})
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// setStatus follows the state machine: an unfinished status of the same name is changed, a finished one has a successor, and
// a status that has the state already cannot get it again.
func (s *gitlabServer) setStatus(w http.ResponseWriter, r *http.Request, body map[string]any) {
	text := func(key string) string { value, _ := body[key].(string); return value }
	state, sha := text("state"), r.PathValue("sha")
	switch {
	case !slices.Contains([]string{"pending", "running", "success", "failed", "canceled", "skipped"}, state):
		refuse(w, http.StatusBadRequest, `{"error": "state does not have a valid value"}`)
		return
	case strings.Trim(sha, "0") == "":
		refuse(w, http.StatusNotFound, `{"message": "404 Commit Not Found"}`)
		return
	case len(text("description")) > 255, len(text("target_url")) > 255, len(text("name")) > 255:
		refuse(w, http.StatusBadRequest, `{"message": {"description": ["is too long (maximum is 255 characters)"]}}`)
		return
	}
	at := s.pipelineFor(sha, text("ref"), body["pipeline_id"])
	if at == 0 {
		refuse(w, http.StatusNotFound, `{"message": "404 Pipeline for pipeline_id, sha and ref Not Found"}`)
		return
	}
	open := slices.IndexFunc(s.statuses, func(o gitlabStatus) bool {
		return o.Pipeline == at && o.Name == text("name") && o.Ref == text("ref") && (o.State == "pending" || o.State == "running")
	})
	if open >= 0 && (s.statuses[open].State == state || state == "pending") {
		event := map[string]string{"pending": "enqueue", "running": "run"}[state]
		refuse(w, http.StatusBadRequest, fmt.Sprintf(`{"message": "Cannot transition status via :%s from :%s (Reason(s): Status cannot transition via \"%s\")"}`, event, s.statuses[open].State, event))
		return
	}
	set := gitlabStatus{at, sha, text("ref"), text("name"), state, text("description"), text("target_url")}
	if open >= 0 {
		s.statuses[open] = set
	} else {
		s.statuses = append(s.statuses, set)
	}
	reply(w, http.StatusCreated, map[string]any{"status": state, "pipeline_id": at})
}

// pipelineFor returns the pipeline of a status: the named one, else the newest of commit and ref, else a new external one.
func (s *gitlabServer) pipelineFor(sha, ref string, id any) int64 {
	for _, p := range slices.Backward(s.pipelines) {
		if p.SHA == sha && p.Ref == ref && (id == nil || float64(p.ID) == id) {
			return p.ID
		}
	}
	if id != nil {
		return 0
	}
	return s.begin(sha, ref)
}

// begin creates a pipeline.
func (s *gitlabServer) begin(sha, ref string) int64 {
	s.nextID++
	s.pipelines = append(s.pipelines, gitlabPipeline{ID: s.nextID, SHA: sha, Ref: ref})
	return s.nextID
}

func (s *gitlabServer) listPipelines(w http.ResponseWriter, r *http.Request, _ map[string]any) {
	list := []map[string]any{}
	for _, p := range slices.Backward(s.pipelines) {
		if p.SHA == r.URL.Query().Get("sha") {
			list = append(list, map[string]any{"id": p.ID, "ref": p.Ref, "sha": p.SHA})
		}
	}
	reply(w, http.StatusOK, list)
}

// editNote lets only the author edit a note: https://docs.gitlab.com/user/permissions/
func (s *gitlabServer) editNote(w http.ResponseWriter, r *http.Request, body map[string]any) {
	for i := range s.notes {
		if fmt.Sprint(s.notes[i].ID) != r.PathValue("id") {
			continue
		}
		if s.foreign[s.notes[i].ID] {
			refuse(w, http.StatusForbidden, `{"message": "403 Forbidden"}`)
			return
		}
		s.notes[i].Body = fmt.Sprint(body["body"])
		reply(w, http.StatusOK, s.notes[i])
		return
	}
	refuse(w, http.StatusNotFound, `{"message": "404 Note Not Found"}`)
}

// page answers with a page, as https://docs.gitlab.com/api/rest/#pagination says.
func page[T any](w http.ResponseWriter, r *http.Request, all []T) {
	number, _ := strconv.Atoi(r.URL.Query().Get("page"))
	size, _ := strconv.Atoi(r.URL.Query().Get("per_page"))
	from, to := min((number-1)*size, len(all)), min(number*size, len(all))
	w.Header().Set("X-Next-Page", "")
	if to < len(all) {
		w.Header().Set("X-Next-Page", strconv.Itoa(number+1))
	}
	reply(w, http.StatusOK, append([]T{}, all[from:to]...))
}

func reply(w http.ResponseWriter, status int, content any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(content)
}

func refuse(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text))
}

// serveDeployments answers as https://docs.gitlab.com/api/deployments/ and https://docs.gitlab.com/api/environments/ say.
func (s *gitlabServer) serveDeployments(handle func(string, func(http.ResponseWriter, *http.Request, map[string]any))) {
	place := func(match func(gitlabEnvironment) bool) *gitlabEnvironment {
		if i := slices.IndexFunc(s.places, match); i >= 0 {
			return &s.places[i]
		}
		return nil
	}
	named := func(name any) *gitlabEnvironment {
		return place(func(e gitlabEnvironment) bool { return e.Name == name })
	}
	numbered := func(r *http.Request) *gitlabEnvironment {
		return place(func(e gitlabEnvironment) bool { return fmt.Sprint(e.ID) == r.PathValue("id") })
	}
	states := []any{"running", "success", "failed", "canceled"}
	handle("POST /deployments", func(w http.ResponseWriter, _ *http.Request, body map[string]any) {
		if !slices.Contains(states, body["status"]) || body["sha"] == nil || body["ref"] == nil || body["tag"] != false {
			refuse(w, http.StatusBadRequest, `{"error": "status does not have a valid value"}`)
			return
		}
		if named(body["environment"]) == nil {
			s.nextID++
			s.places = append(s.places, gitlabEnvironment{ID: s.nextID, Name: fmt.Sprint(body["environment"]), State: "available"})
		}
		s.nextID++
		s.deployed = append(s.deployed, gitlabDeployment{s.nextID, fmt.Sprint(body["status"]), fmt.Sprint(body["sha"]), named(body["environment"]).basic()})
		reply(w, http.StatusCreated, s.deployed[len(s.deployed)-1])
	})
	handle("PUT /deployments/{id}", func(w http.ResponseWriter, r *http.Request, body map[string]any) {
		i := slices.IndexFunc(s.deployed, func(d gitlabDeployment) bool { return fmt.Sprint(d.ID) == r.PathValue("id") })
		switch {
		case i < 0:
			refuse(w, http.StatusNotFound, `{"message": "404 Not found"}`)
		case !slices.Contains(states, body["status"]) || s.deployed[i].Status != "running":
			refuse(w, http.StatusBadRequest, `{"message": {"status": ["Cannot transition status"]}}`)
		default:
			s.deployed[i].Status = fmt.Sprint(body["status"])
			s.deployed[i].Environment = named(s.deployed[i].Environment.Name).basic()
			reply(w, http.StatusOK, s.deployed[i])
		}
	})
	handle("GET /deployments/{id}", func(w http.ResponseWriter, _ *http.Request, _ map[string]any) { reply(w, http.StatusOK, s.deployed[0]) })
	handle("GET /environments", func(w http.ResponseWriter, r *http.Request, _ map[string]any) {
		list := []gitlabEnvironment{}
		if e := named(r.URL.Query().Get("name")); e != nil && e.State == r.URL.Query().Get("states") {
			list = append(list, *e)
		}
		reply(w, http.StatusOK, list)
	})
	handle("GET /environments/{id}", func(w http.ResponseWriter, r *http.Request, _ map[string]any) { reply(w, http.StatusOK, numbered(r)) })
	handle("PUT /environments/{id}", func(w http.ResponseWriter, r *http.Request, body map[string]any) {
		e := numbered(r)
		if link, set := body["external_url"]; set {
			e.Link = fmt.Sprint(link)
		}
		if namespace, set := body["kubernetes_namespace"]; set && e.Agent == nil {
			refuse(w, http.StatusBadRequest, `{"message": {"kubernetes_namespace": ["cannot be set without a cluster agent"]}}`)
			return
		} else if set {
			e.Namespace = fmt.Sprint(namespace)
		}
		reply(w, http.StatusOK, e)
	})
	handle("POST /environments/{id}/stop", func(w http.ResponseWriter, r *http.Request, body map[string]any) {
		if body["force"] != true {
			s.t.Error("jobs of CI would run")
		}
		numbered(r).State = "stopped"
		reply(w, http.StatusOK, numbered(r))
	})
}
