package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"berth.dev/berth/e2e/world"
)

// forgeSecret is the Secret with the token of the forge.
const forgeSecret = "posts-forge"

// mergeRequest returns the address at which people read a merge request.
func (s *stage) mergeRequest(number int) string {
	return fmt.Sprintf("%s/%s/-/merge_requests/%d", s.forge, project, number)
}

// openMergeRequest opens a merge request from the branch into main, as a developer would, and returns its number.
func (s *stage) openMergeRequest(t world.Reporter, title string) int {
	body, err := json.Marshal(map[string]string{"source_branch": branch, "target_branch": "main", "title": title})
	if err != nil {
		t.Fatalf("%v", err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.forge+"/api/v4/projects/"+url.PathEscape(project)+"/merge_requests", bytes.NewReader(body))
	if err != nil {
		t.Fatalf("%v", err)
	}
	request.Header.Set("Authorization", "Bearer "+forgeToken)
	var opened mergeRequest
	if err := json.Unmarshal([]byte(s.asks(t, request, http.StatusCreated)), &opened); err != nil {
		t.Fatalf("%v", err)
	}
	return opened.Number
}

// readMergeRequest returns what the forge shows of a merge request.
func (s *stage) readMergeRequest(t world.Reporter, number int) string {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.mergeRequest(number), nil)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return s.asks(t, request, http.StatusOK)
}

func (s *stage) asks(t world.Reporter, request *http.Request, want int) string {
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatalf("cannot ask the forge: %v", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != want {
		t.Fatalf("the forge answers %s: %v: %s", response.Status, err, text)
	}
	return string(text)
}
