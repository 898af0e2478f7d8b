package web_test

import (
	"context"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/inspect"
	"berth.dev/berth/cmd/internal/output"
	"berth.dev/berth/health"
)

// talking is a page about pods that write logs.
func talking(t *testing.T, lines ...inspect.Line) *site {
	t.Helper()
	api, migrate := deployment("api", health.Healthy, ""), inspect.Object{Kind: "Job", Name: "migrate", Health: health.Healthy}
	api.Pods = []inspect.Pod{{Name: "api-1", Containers: []string{"main", "proxy"}}, {Name: "api-2", Containers: []string{"main", "proxy"}}}
	migrate.Pods = []inspect.Pod{{Name: "migrate-1", Containers: []string{"main"}}}
	s := &site{lines: lines, unread: []string{"api-2, proxy: it cannot be read, because you lack the right"}}
	s.description = inspect.Description{Objects: []inspect.Object{api, migrate}}
	return open(t, s, environment("a", v1alpha1.ReasonHealthy, ""))
}

func said(pod, container, text string) inspect.Line {
	return inspect.Line{Source: inspect.Source{Pod: pod, Container: container}, Time: now, Text: text}
}

func TestLogsShowWhatIsChosen(t *testing.T) {
	all := []inspect.Line{
		said("api-1", "main", "one of main"), said("api-1", "proxy", "two of proxy"), said("api-2", "main", `{"level":"error","msg":"three failed","user":{"id":7}}`),
		said("api-2", "main", `{"severity":"INFO","message":"four is fine","time":"2026"}`), said("migrate-1", "main", "five of a job"),
	}
	for query, want := range map[string]string{
		"":                            "one two three four",
		"workload=Deployment/api":     "one two three four",
		"workload=Job/migrate":        "five",
		"workload=Deployment/unknown": "",
		"container=proxy":             "two",
		"q=MAIN":                      "one",
		"level=error":                 "three",
		"level=info":                  "three four",
		"level=info&q=fine":           "four",
		"previous=yes":                "",
		"q=api-2":                     "three four",
	} {
		t.Run(query, func(t *testing.T) {
			s := talking(t, all...)
			body := s.get("/env/posts.review.a/logs?" + query)
			file := s.get("/env/posts.review.a/logs/file?" + query)
			var shown, saved []string
			for _, word := range []string{"one", "two", "three", "four", "five"} {
				if strings.Contains(body, ">"+word+" ") {
					shown = append(shown, word)
				}
				if strings.Contains(file, " "+word+" ") {
					saved = append(saved, word)
				}
			}
			if got := strings.Join(shown, " "); got != want {
				t.Errorf("it shows %q, want %q", got, want)
			}
			if got := strings.Join(saved, " "); got != want {
				t.Errorf("the file has %q, want %q", got, want)
			}
		})
	}
}

func TestLogsExplainJSONLines(t *testing.T) {
	s := talking(t, said("api-1", "main", `{"level":"error","msg":"three failed","user":{"id":7},"ts":1}`), said("api-1", "main", `{"broken`), said("api-1", "main", `{"a":1} {"b":2}`))
	s.shows("/env/posts.review.a/logs", `class="level bad">error<`, "three failed", `user={&#34;id&#34;:7}`, `{&#34;broken`, `{&#34;a&#34;:1} {&#34;b&#34;:2}`)
	s.hides("/env/posts.review.a/logs", "ts=1")
}

func TestLogsAreMaskedAndShownAsText(t *testing.T) {
	s := talking(t, said("api-1", "main", "the password is hunter2"), said("api-1", "main", "<script>evil()</script>\x1b[31m\u202e"), said("api-1", "main", strings.Repeat("x", 9000)+"end"))
	for _, path := range []string{"/env/posts.review.a/logs", "/env/posts.review.a/logs/file"} {
		s.shows(path, "the password is "+output.Hidden, "it cannot be read, because you lack the right")
		s.hides(path, "hunter2", "\x1b", "\u202e", "xend")
	}
	s.hides("/env/posts.review.a/logs", "<script>evil")
}

// The values are escaped twice, so that they are legible only once the line is decoded.
func TestDecodedFieldsAreMasked(t *testing.T) {
	s := talking(t, said("api-1", "main", `{"msg":"with {\"p\":\"hunt\\u0065r2\"}","to":"{\"p\":\"hunter\\u0032\"}"}`))
	for _, path := range []string{"/env/posts.review.a/logs", "/env/posts.review.a/logs/file"} {
		s.shows(path, "with {")
		s.hides(path, "hunt")
	}
}

func TestLogsAreFollowed(t *testing.T) {
	old, fresh := said("api-1", "main", "before"), said("api-2", "main", "<b>after</b> with hunter2")
	fresh.Time = now.Add(time.Second)
	s := talking(t, old, fresh)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	lines := s.listen(server, "/env/posts.review.a/logs/live?since="+url.QueryEscape(now.Format(time.RFC3339Nano)))
	if got := <-lines; !strings.Contains(got, `after`) || strings.Contains(got, "before") || strings.Contains(got, "<b>") || strings.Contains(got, "hunter2") {
		t.Errorf("the stream says %s", got)
	}
}

func TestTheDownloadHasTheSameChoice(t *testing.T) {
	s := talking(t, said("api-1", "main", "one"), said("api-1", "proxy", "two & more"))
	body := html.UnescapeString(s.get("/env/posts.review.a/logs?container=proxy&q=two+%26"))
	_, rest, _ := strings.Cut(body, `href="/env/posts.review.a/logs/file`)
	query, _, _ := strings.Cut(rest, `"`)
	path := "/env/posts.review.a/logs/file" + query
	s.shows(path, "two & more")
	s.hides(path, "one")
	if !strings.Contains(body, `data-live="/env/posts.review.a/logs/live?container=proxy&q=two+%26"`) {
		t.Errorf("the followed lines have another choice: %s", body)
	}
}

// The environment is read again while its containers are followed: the race detector finds a shared write.
func TestFollowingReadsTheEnvironmentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := talking(t, said("api-1", "main", "one"))
		if got := s.followed("/env/posts.review.a/logs/live?", 11*time.Second); strings.Count(got, "alive") != 2 {
			t.Errorf("the stream says %s", got)
		}
	})
}

// rotation is after the mask was renewed.
const rotation = 70 * time.Second

// Secrets that are created or changed while a log is followed are masked too, and their former values as well.
func TestAFollowedLogMasksNewSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := talking(t)
		s.rotates = true
		late := said("api-1", "main", "has secret-1 and secret-2")
		late.Time = time.Now()
		s.lines = []inspect.Line{late}
		got := s.followed("/env/posts.review.a/logs/live?", rotation+time.Second)
		if !strings.Contains(got, "has ") || strings.Contains(got, "secret-") || s.masks != 2 {
			t.Errorf("with %d masks the stream says %s", s.masks, got)
		}
	})
}

// followed returns what a stream says for a time.
func (s *site) followed(path string, d time.Duration) string {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), d)
	defer cancel()
	answer := httptest.NewRecorder()
	s.ServeHTTP(answer, httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil))
	return answer.Body.String()
}
