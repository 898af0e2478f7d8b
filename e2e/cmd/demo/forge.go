package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// project is the path of the repository, as GitLab shows it.
	project = "acme/posts"
	// forgeToken is the token that the forge accepts.
	forgeToken = "demo-token"
)

// A forgeServer holds merge requests, and answers as GitLab's API does to what Berth asks of it:
//   - https://docs.gitlab.com/api/commits/#set-the-pipeline-status-of-a-commit
//   - https://docs.gitlab.com/api/merge_requests/
//   - https://docs.gitlab.com/api/notes/#merge-requests
//
// It keeps everything in memory. People read it at /acme/posts/-/merge_requests/NUMBER.
type forgeServer struct {
	mu       sync.Mutex
	merges   []mergeRequest
	statuses []commitStatus // as they came, the newest last
}

type mergeRequest struct {
	Number int    `json:"iid"`
	Title  string `json:"title"`
	Source string `json:"source_branch"`
	Target string `json:"target_branch"`
	From   int    `json:"source_project_id"`
	Into   int    `json:"target_project_id"`
	notes  []mergeNote
}

type mergeNote struct {
	ID   int    `json:"id"`
	Body string `json:"body"`
}

type commitStatus struct {
	Pipeline    int    `json:"pipeline_id"`
	SHA         string `json:"sha"`
	Ref         string `json:"ref"`
	Name        string `json:"name"`
	State       string `json:"status"`
	Description string `json:"description"`
	Link        string `json:"target_url"`
}

// serveForge serves the merge requests until the context ends, and prints its address.
func serveForge(ctx context.Context, out io.Writer) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: (&forgeServer{}).handler(), ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	fmt.Fprintln(out, "http://"+listener.Addr().String())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (f *forgeServer) handler() http.Handler {
	mux := http.NewServeMux()
	api := func(pattern string, answer func(r *http.Request, body map[string]any) (int, any)) {
		method, path, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(method+" /api/v4/projects/{project}"+path, func(w http.ResponseWriter, r *http.Request) {
			status, content := f.checked(r, answer)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(content)
		})
	}
	api("GET ", func(*http.Request, map[string]any) (int, any) {
		return http.StatusOK, map[string]any{"path_with_namespace": project}
	})
	api("POST /statuses/{sha}", f.setStatus)
	api("GET /pipelines", f.pipelines)
	api("GET /merge_requests", func(*http.Request, map[string]any) (int, any) { return http.StatusOK, f.merges })
	api("POST /merge_requests", f.open)
	api("GET /merge_requests/{number}/notes", f.note)
	api("POST /merge_requests/{number}/notes", f.note)
	api("PUT /merge_requests/{number}/notes/{id}", f.note)
	mux.HandleFunc("GET /"+project+"/-/merge_requests/{number}", f.page)
	return mux
}

// refusal is the body of an answer that is not a success.
func refusal(text string) map[string]string { return map[string]string{"message": text} }

// checked answers a request to the API that has the token and names the project.
func (f *forgeServer) checked(r *http.Request, answer func(*http.Request, map[string]any) (int, any)) (int, any) {
	if r.Header.Get("Authorization") != "Bearer "+forgeToken {
		return http.StatusUnauthorized, refusal("401 Unauthorized")
	}
	if r.PathValue("project") != project {
		return http.StatusNotFound, refusal("404 Project Not Found")
	}
	var body map[string]any
	if r.Method != http.MethodGet && json.NewDecoder(r.Body).Decode(&body) != nil {
		return http.StatusBadRequest, refusal("400 Bad request")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return answer(r, body)
}

// text returns a field of a body that is a text.
func text(body map[string]any, key string) string {
	value, _ := body[key].(string)
	return value
}

// setStatus keeps a status. One that is running cannot begin to run, and the pipeline of a commit has all of its statuses.
func (f *forgeServer) setStatus(r *http.Request, body map[string]any) (int, any) {
	s := commitStatus{SHA: r.PathValue("sha"), Ref: text(body, "ref"), Name: text(body, "name"), State: text(body, "state"), Description: text(body, "description"), Link: text(body, "target_url")}
	earlier, known := f.newest(func(e commitStatus) bool { return e.SHA == s.SHA && e.Name == s.Name })
	if known && s.State == "running" && earlier.State == "running" {
		return http.StatusBadRequest, refusal("Cannot transition status via :run from :running")
	}
	if of, known := f.newest(func(e commitStatus) bool { return e.SHA == s.SHA }); known {
		s.Pipeline = of.Pipeline
	} else {
		s.Pipeline = len(f.statuses) + 1
	}
	f.statuses = append(f.statuses, s)
	return http.StatusCreated, s
}

// pipelines lists the pipeline of a commit, which its first status created.
func (f *forgeServer) pipelines(r *http.Request, _ map[string]any) (int, any) {
	list := []map[string]any{}
	if s, ok := f.newest(func(s commitStatus) bool { return s.SHA == r.URL.Query().Get("sha") }); ok {
		list = append(list, map[string]any{"id": s.Pipeline, "ref": s.Ref, "sha": s.SHA})
	}
	return http.StatusOK, list
}

func (f *forgeServer) newest(is func(commitStatus) bool) (commitStatus, bool) {
	for _, s := range slices.Backward(f.statuses) {
		if is(s) {
			return s, true
		}
	}
	return commitStatus{}, false
}

func (f *forgeServer) open(_ *http.Request, body map[string]any) (int, any) {
	m := mergeRequest{Number: len(f.merges) + 1, Title: text(body, "title"), Source: text(body, "source_branch"), Target: text(body, "target_branch"), From: 1, Into: 1}
	f.merges = append(f.merges, m)
	return http.StatusCreated, m
}

// merge returns the merge request that a path names; nil: there is none.
func (f *forgeServer) merge(r *http.Request) *mergeRequest {
	for i := range f.merges {
		if fmt.Sprint(f.merges[i].Number) == r.PathValue("number") {
			return &f.merges[i]
		}
	}
	return nil
}

// note lists, writes and edits notes.
func (f *forgeServer) note(r *http.Request, body map[string]any) (int, any) {
	m := f.merge(r)
	if m == nil {
		return http.StatusNotFound, refusal("404 Not found")
	}
	switch r.Method {
	case http.MethodGet:
		return http.StatusOK, append([]mergeNote{}, m.notes...)
	case http.MethodPost:
		m.notes = append(m.notes, mergeNote{ID: 100*m.Number + len(m.notes), Body: text(body, "body")})
		return http.StatusCreated, m.notes[len(m.notes)-1]
	}
	for i := range m.notes {
		if fmt.Sprint(m.notes[i].ID) == r.PathValue("id") {
			m.notes[i].Body = text(body, "body")
			return http.StatusOK, m.notes[i]
		}
	}
	return http.StatusNotFound, refusal("404 Note Not Found")
}

// page shows a merge request as a text: the statuses of its newest commit, and its notes.
func (f *forgeServer) page(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.merge(r)
	if m == nil {
		http.NotFound(w, r)
		return
	}
	fmt.Fprintf(w, "!%d %s: %s into %s\n", m.Number, m.Title, m.Source, m.Target)
	head, _ := f.newest(func(s commitStatus) bool { return s.Ref == m.Source })
	for _, s := range f.statuses {
		if s.SHA == head.SHA && s.Ref == m.Source {
			fmt.Fprintln(w, strings.TrimSpace(fmt.Sprintf("status  %.8s  %s  %-7s  %s  %s", s.SHA, s.Name, s.State, s.Description, s.Link)))
		}
	}
	for _, n := range m.notes {
		_, shown, _ := strings.Cut(n.Body, "\n") // without the marker, which Markdown does not show
		fmt.Fprintf(w, "\n%s", shown)
	}
}
