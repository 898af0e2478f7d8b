package web

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/inspect"
	"berth.dev/berth/reconciler/naming"
)

// row is an environment in the list of branches.
type row struct {
	Name, Branch, Repository, Entry string
	Cluster                         string // empty: the agent's own
	State                           state
	Commit, Subject, Author         string
	CommitLink                      string
	Since                           time.Time
	Link                            string
	Expires                         string
	Pinned, Suspended               bool
	Production                      bool
	// Hidden means that the filter leaves it out.
	Hidden bool
	// Alone means that the row replaces its earlier state in a page.
	Alone bool
}

// filter selects rows. The browser filters in the same way while a user types.
type filter struct {
	Text, Author string
	// Show is "", "failing", "moving" or "mine".
	Show string
}

// branchesPage is the content of the list of branches.
type branchesPage struct {
	Filter              filter
	Me                  string
	Production, Preview []row
	// All, Failing, Moving and Mine count the rows of each filter.
	All, Failing, Moving, Mine int
	Shown                      int
	// Denied is why there is no list.
	Denied string
}

func (s *Server) branches(w http.ResponseWriter, r *http.Request) {
	f := filterOf(r)
	page := branchesPage{Filter: f, Me: s.Author}
	envs, err := s.board.list(r.Context())
	if err != nil {
		page.Denied = s.Explain(err).Error()
		s.show(w, r, http.StatusOK, frame{Title: "Branches", Screen: "branches", Content: page})
		return
	}
	repos, reposErr := s.board.repos(r.Context())
	page.fill(s.rowsOf(envs, repos), f, s.Author)
	s.show(w, r, http.StatusOK, frame{
		Title: "Branches", Screen: "branches", Content: page,
		Banners: slices.Concat(s.connection(), s.banners(r.Context(), repos, reposErr), blocked(envs), keyless(envs)),
	})
}

// rows serves the named rows alone, for a browser that shows their earlier state.
func (s *Server) rows(w http.ResponseWriter, r *http.Request) {
	envs, err := s.board.list(r.Context())
	if err != nil {
		http.Error(w, s.Explain(err).Error(), http.StatusServiceUnavailable)
		return
	}
	repos, _ := s.board.repos(r.Context()) // the list has a banner about it
	names := r.URL.Query()["name"]
	wanted := make([]*v1alpha1.Environment, 0, len(names))
	for _, env := range envs {
		if slices.Contains(names, env.Name) {
			wanted = append(wanted, env)
		}
	}
	rows := s.rowsOf(wanted, repos)
	for n := range rows {
		rows[n].Alone = true
	}
	s.write(w, r, "rows", frame{Screen: "branches", Content: rows})
}

func filterOf(r *http.Request) filter {
	q := r.URL.Query()
	return filter{Text: strings.TrimSpace(q.Get("q")), Author: q.Get("author"), Show: q.Get("show")}
}

// WithoutAuthor is the address of the same list without the filter by author.
func (f filter) WithoutAuthor() string {
	q := url.Values{}
	for key, value := range map[string]string{"q": f.Text, "show": f.Show} {
		if value != "" {
			q.Set(key, value)
		}
	}
	return "/?" + q.Encode()
}

// rowsOf returns the rows of environments, in the order of the list.
func (s *Server) rowsOf(envs []*v1alpha1.Environment, repos map[string]*v1alpha1.Repository) []row {
	sorted := slices.Clone(envs)
	slices.SortFunc(sorted, func(a, b *v1alpha1.Environment) int {
		return cmp.Or(lastMoved(b).Compare(lastMoved(a)), cmp.Compare(b.Name, a.Name))
	})
	literal := map[string]bool{}
	for name, repo := range repos {
		for _, entry := range repo.Spec.Environments {
			patterns, err := naming.CompilePatterns(entry.Branches)
			literal[name+"/"+entry.Name] = err == nil && patterns.Literal()
		}
	}
	rows := make([]row, 0, len(sorted))
	for _, env := range sorted {
		r := rowOf(env, repos[env.Spec.Repository], s.Now())
		isLiteral, known := literal[env.Spec.Repository+"/"+env.Spec.Entry]
		r.Production = isLiteral || !known && env.Spec.OnRemoval == v1alpha1.RemovalOrphan
		rows = append(rows, r)
	}
	return rows
}

func rowOf(env *v1alpha1.Environment, repo *v1alpha1.Repository, now time.Time) row {
	r := row{
		Name: env.Name, Branch: env.Spec.Branch, Repository: env.Spec.Repository, Entry: env.Spec.Entry, Cluster: env.Spec.Cluster,
		State:  stateOf(env),
		Commit: env.Status.ShortCommit, Subject: env.Status.CommitSubject, Author: env.Status.CommitAuthor,
		Since:  inspect.Ready(env.Status.Conditions).LastTransitionTime.Time,
		Link:   webAddress(env.Status.Link),
		Pinned: env.Spec.Pin != "", Suspended: env.Spec.Suspend,
	}
	if r.Since.IsZero() {
		r.Since = env.CreationTimestamp.Time
	}
	if e := env.Status.ExpiresAt; e != nil {
		r.Expires = age(e.Sub(now))
	}
	r.CommitLink = pagesOf(repo).commit(fullCommit(env))
	return r
}

// lastMoved orders the list: what moved last comes first.
func lastMoved(env *v1alpha1.Environment) time.Time {
	if t := env.Status.LastActivityTime; t != nil {
		return t.Time
	}
	return env.CreationTimestamp.Time
}

// fill sorts rows into sections, counts them, and hides those that the filter leaves out.
func (p *branchesPage) fill(rows []row, f filter, me string) {
	for _, r := range rows {
		p.All++
		if r.failing() {
			p.Failing++
		}
		if r.State.Tone == toneBusy {
			p.Moving++
		}
		if r.isOf(me) {
			p.Mine++
		}
		if r.Hidden = !f.shows(r, me); !r.Hidden {
			p.Shown++
		}
		if r.Production {
			p.Production = append(p.Production, r)
		} else {
			p.Preview = append(p.Preview, r)
		}
	}
}

func (r row) failing() bool { return r.State.Tone == toneBad || r.State.Tone == toneWarn }

func (r row) isOf(author string) bool { return author != "" && strings.EqualFold(r.Author, author) }

func (f filter) shows(r row, me string) bool {
	switch {
	case f.Show == "failing" && !r.failing(), f.Show == "moving" && r.State.Tone != toneBusy, f.Show == "mine" && !r.isOf(me):
		return false
	case f.Author != "" && !r.isOf(f.Author):
		return false
	}
	text := strings.ToLower(strings.Join([]string{r.Branch, r.Repository, r.Entry, r.Cluster, r.State.Word, r.State.Reason, r.Commit, r.Subject, r.Author}, " "))
	for word := range strings.FieldsSeq(strings.ToLower(f.Text)) {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}
