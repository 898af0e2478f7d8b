package web

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/inspect"
	"berth.dev/berth/cmd/internal/output"
)

// maxDiffLines is how many lines of one object are shown.
const maxDiffLines = 400

// diffPage is the content of a comparison.
type diffPage struct {
	environmentPage
	// From is a commit, or empty for the cluster. To is a commit.
	From, To string
	Commits  []commitChoice
	// Compared reads both, which takes longer than the rest.
	Compared func() compared
	// Choosable means that something depends on the choice of commits.
	Choosable bool
	// Link is the page of the Git server that compares the files of both commits.
	Link string
	// Command compares, where the page cannot.
	Command string
}

// commitChoice is a commit that can be compared.
type commitChoice struct{ ID, Title string }

// compared is what differs.
type compared struct {
	Steps   []stepRow
	Summary string
	Notes   []string
	// Error is why nothing could be compared.
	Error string
}

// stepRow is a step as it is shown.
type stepRow struct {
	inspect.Step
	Tone  tone
	Link  string // its file on the Git server
	Lines []diffLine
	// More is how many lines are not shown.
	More int
}

// diffLine is a changed field, or a line of one.
type diffLine struct {
	Tone tone
	Text string
}

// actionTones are those of the actions of a plan.
var actionTones = map[string]tone{"create": toneGood, "change": toneBusy, "correct": toneWarn, "replace": toneWarn, "delete": toneBad}

func (s *Server) diff(w http.ResponseWriter, r *http.Request) {
	env := s.found(w, r)
	if env == nil {
		return
	}
	page := diffPage{environmentPage: s.pageOf(r, env, "diff"), From: r.FormValue("from"), To: r.FormValue("to"), Commits: commitsOf(env)}
	if page.To == "" {
		page.To = inspect.Target(env)
	}
	for _, id := range []string{page.From, page.To} {
		switch {
		case id == "":
		case !fullID.MatchString(id):
			s.problem(w, r, http.StatusBadRequest, "This is not a commit", "Only the full ids of commits can be compared.")
			return
		case !slices.ContainsFunc(page.Commits, func(c commitChoice) bool { return c.ID == id }):
			page.Commits = append(page.Commits, commitChoice{id, output.ShortCommit(id)})
		}
	}
	page.Choosable = s.Differ != nil || page.Forge.paths.compare != ""
	page.Link = page.Forge.compare(cmp.Or(page.From, env.Status.AppliedCommit), page.To)
	if s.Differ == nil {
		page.Command = "berth diff " + env.Name + " --commit " + output.ShortCommit(page.To)
	}
	page.Compared = sync.OnceValue(func() compared { return s.compare(r, page) })
	s.show(w, r, http.StatusOK, frame{Title: "Diff of " + env.Spec.Branch, Screen: "diff", Name: env.Name, Content: page, Banners: s.connection()})
}

// commitsOf returns the commits of an environment that are worth comparing, the newest first.
func commitsOf(env *v1alpha1.Environment) []commitChoice {
	var list []commitChoice
	seen := map[string]bool{"": true}
	add := func(id, what string) {
		if !seen[id] {
			seen[id] = true
			list = append(list, commitChoice{id, output.ShortCommit(id) + ", " + what})
		}
	}
	add(env.Spec.Commit, "head of "+env.Spec.Branch)
	add(env.Spec.Pin, "pinned")
	add(env.Status.AppliedCommit, "applied")
	for _, sync := range env.Status.History {
		add(sync.Commit, sync.Outcome+" "+sync.Time.UTC().Format("2006-01-02 15:04"))
	}
	add(env.Status.HealthyCommit, "last healthy")
	return list
}

func (s *Server) compare(r *http.Request, page diffPage) compared {
	var c compared
	var steps []inspect.Step
	var err error
	env := page.Env.DeepCopy()
	if page.From == "" {
		steps, c.Notes, err = s.Differ.Prospect(r.Context(), env, page.To)
	} else {
		steps, c.Notes, err = s.Differ.Compare(r.Context(), env, page.From, page.To)
	}
	if err != nil {
		c.Error = err.Error()
		return c
	}
	for _, step := range steps {
		c.Steps = append(c.Steps, page.rowOf(step))
	}
	c.Summary = summaryOf(steps)
	return c
}

func (p diffPage) rowOf(step inspect.Step) stepRow {
	row := stepRow{Step: step, Tone: actionTones[step.Action]}
	if row.Tone == "" {
		row.Tone = toneIdle
	}
	if step.Action != "delete" { // that is no longer in the commit
		row.Link = p.Forge.origin(p.To, step.Origin)
	}
	for _, change := range step.Fields {
		for _, text := range change.Lines() {
			if len(row.Lines) == maxDiffLines {
				row.More++
				continue
			}
			row.Lines = append(row.Lines, diffLine{toneOfLine(text), clip(text)})
		}
	}
	return row
}

// toneOfLine returns the tone of a printed line by its mark.
func toneOfLine(text string) tone {
	switch text = strings.TrimLeft(text, " "); {
	case strings.HasPrefix(text, "+"):
		return toneGood
	case strings.HasPrefix(text, "-"):
		return toneBad
	case strings.HasPrefix(text, "~"):
		return toneBusy
	}
	return toneIdle
}

// words are what happens to how many objects, in the order of a summary.
var words = []struct{ action, one, many string }{
	{"create", "1 is created", " are created"}, {"change", "1 is changed", " are changed"}, {"correct", "1 drifted", " drifted"},
	{"replace", "1 is replaced", " are replaced"}, {"delete", "1 is deleted", " are deleted"},
}

// summaryOf counts the steps, and the Jobs that run.
func summaryOf(steps []inspect.Step) string {
	count, jobs := map[string]int{}, 0
	for _, step := range steps {
		count[step.Action]++
		if strings.HasPrefix(step.Object, "Job/") && (step.Action == "create" || step.Action == "replace") {
			jobs++
		}
	}
	var parts []string
	for _, w := range words {
		switch n := count[w.action]; {
		case n == 1:
			parts = append(parts, w.one)
		case n > 1:
			parts = append(parts, strconv.Itoa(n)+w.many)
		}
	}
	if jobs > 0 {
		parts = append(parts, output.Count(jobs, "Job")+" will run")
	}
	return strings.Join(parts, ", ")
}
