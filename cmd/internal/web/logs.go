package web

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/inspect"
	"berth.dev/berth/health"
)

// The limits of logs: lines of each container on the page and in a download.
const (
	shownLines = 200
	savedLines = 20000
)

// logChoice is which lines of an environment's logs are shown.
type logChoice struct {
	Workload, Container, Text, Level string
	Previous                         bool
}

// logsPage is the content of the logs.
type logsPage struct {
	environmentPage
	Choice                logChoice
	Workloads, Containers []string
	Lines                 []line
	Leveled               bool // some lines say their level
	// LevelWords are the levels to choose from.
	LevelWords []string
	Chosen     bool // some lines may be left out
	// File and Live are the addresses of the download and of the stream, and Since is the time of the last line.
	File, Live, Since string
}

func choiceOf(r *http.Request) logChoice {
	q := r.URL.Query()
	return logChoice{Workload: q.Get("workload"), Container: q.Get("container"), Text: strings.TrimSpace(q.Get("q")), Level: q.Get("level"), Previous: q.Get("previous") != ""}
}

// query returns the choice as it is in addresses.
func (c logChoice) query() url.Values {
	q := url.Values{}
	for key, value := range map[string]string{"workload": c.Workload, "container": c.Container, "q": c.Text, "level": c.Level} {
		if value != "" {
			q.Set(key, value)
		}
	}
	if c.Previous {
		q.Set("previous", "yes")
	}
	return q
}

// shows reports whether a line is shown. A line that does not say its level has none that is high enough.
func (c logChoice) shows(l line) bool {
	if c.Level != "" && l.rank < levels[c.Level] {
		return false
	}
	return strings.Contains(strings.ToLower(l.Text+" "+l.Fields+" "+l.Pod), strings.ToLower(c.Text))
}

// sources returns the containers whose logs are chosen, and all workloads and containers to choose from. Pods that have
// ended well, such as those of Jobs, are left out unless their workload is chosen.
func (c logChoice) sources(d inspect.Description) (chosen []inspect.Source, workloads, containers []string) {
	for _, o := range d.Objects {
		name := o.Kind + "/" + o.Name
		if len(o.Pods) == 0 {
			continue
		}
		workloads = append(workloads, name)
		if c.Workload != "" && c.Workload != name || c.Workload == "" && o.Kind == "Job" && o.Health == health.Healthy {
			continue
		}
		for _, pod := range o.Pods {
			for _, container := range pod.Containers {
				containers = append(containers, container)
				if c.Container == "" || c.Container == container {
					chosen = append(chosen, inspect.Source{Pod: pod.Name, Container: container})
				}
			}
		}
	}
	slices.Sort(workloads)
	slices.Sort(containers)
	return chosen, workloads, slices.Compact(containers)
}

func (s *Server) logs(w http.ResponseWriter, r *http.Request) {
	env := s.found(w, r)
	if env == nil {
		return
	}
	page := logsPage{environmentPage: s.pageOf(r, env, "logs"), Choice: choiceOf(r), LevelWords: []string{"debug", "info", "warn", "error"}}
	query := page.Choice.query()
	page.Chosen = len(query) > 0
	page.File, page.Live = logsPath(env, "file", query), logsPath(env, "live", query)
	var chosen []inspect.Source
	d := s.described.describe(r.Context(), env)
	chosen, page.Workloads, page.Containers = page.Choice.sources(d)
	page.Lines, page.Notes = s.tail(r, env, chosen, page.Choice, shownLines)
	if len(page.Workloads) == 0 {
		page.Notes = append(page.Notes, d.Notes...) // such as that pods may not be read
	}
	page.Leveled = slices.ContainsFunc(page.Lines, func(l line) bool { return l.Level != "" })
	if len(page.Lines) > 0 {
		page.Since = page.Lines[len(page.Lines)-1].Exact
	}
	s.show(w, r, http.StatusOK, frame{Title: "Logs of " + env.Spec.Branch, Screen: "logs", Name: env.Name, Content: page, Banners: s.connection()})
}

// logsPath returns the whole address of a part of the logs, to which scripts add more of the query. A template would
// escape a query alone as a single value.
func logsPath(env *v1alpha1.Environment, part string, query url.Values) string {
	return "/env/" + url.PathEscape(env.Name) + "/logs/" + part + "?" + query.Encode()
}

// tail returns the last lines of containers that are chosen, and what could not be read.
func (s *Server) tail(r *http.Request, env *v1alpha1.Environment, sources []inspect.Source, c logChoice, most int64) (lines []line, notes []string) {
	if len(sources) == 0 {
		return nil, nil
	}
	mask, unmasked := s.Logs.Mask(r.Context(), env)
	read, unread := s.Logs.Tail(r.Context(), env, sources, corev1.PodLogOptions{TailLines: &most, Previous: c.Previous})
	for _, l := range read {
		if shown := lineOf(l, mask); c.shows(shown) {
			lines = append(lines, shown)
		}
	}
	return lines, slices.Concat(unread, unmasked)
}

// download sends the chosen lines as a file.
func (s *Server) download(w http.ResponseWriter, r *http.Request) {
	env := s.found(w, r)
	if env == nil {
		return
	}
	c := choiceOf(r)
	chosen, _, _ := c.sources(s.described.describe(r.Context(), env))
	lines, notes := s.tail(r, env, chosen, c, savedLines)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	name := env.Name + "-" + s.Now().UTC().Format("20060102-150405") + ".log"
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	out := visible{w}
	for _, note := range notes {
		_, _ = out.Write([]byte("# " + note + "\n"))
	}
	for _, l := range lines {
		_, _ = out.Write([]byte(l.plain()))
	}
}

// sinceOf returns the time after which lines are new to a browser.
func sinceOf(r *http.Request, now time.Time) time.Time {
	t, err := time.Parse(time.RFC3339Nano, r.URL.Query().Get("since"))
	if err != nil {
		return now.Add(-time.Minute)
	}
	return cmp.Or(t, now)
}
