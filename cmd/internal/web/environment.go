package web

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/inspect"
	"berth.dev/berth/cmd/internal/output"
	"berth.dev/berth/health"
	"berth.dev/berth/reconciler/manifest"
)

// environmentPage is the content of the screens of one environment.
type environmentPage struct {
	Tabs  []tab
	Env   *v1alpha1.Environment
	State state
	Row   row
	// Head is the commit that should run, and Healthy the last healthy one, if they differ from the current one.
	Head, Healthy string
	Forge         pages
	Places        []place // at the Git server
	// Buttons are the actions that the viewer may take; Denied is why there are none.
	Buttons []button
	Denied  string
	// Detail reads the objects, which takes longer than the rest.
	Detail func() detail
	Syncs  []syncRow
	Events []inspect.Event
	Notes  []string
}

// tab is a screen of an environment.
type tab struct {
	Title, Path string
	Current     bool
}

func tabsOf(name, current string) []tab {
	path := "/env/" + url.PathEscape(name)
	return []tab{
		{"Overview", path, current == "overview"},
		{"Diff", path + "/diff", current == "diff"},
		{"Logs", path + "/logs", current == "logs"},
		{"History", path + "/history", current == "history"},
	}
}

// detail is what is read from the cluster for one page.
type detail struct {
	inspect.Description
	Strip  []step
	Groups []group
}

// group are the objects of one step of a sync.
type group struct {
	Title          string
	Healthy, Total int
	Tone           tone
	Objects        []object
	// Open means that the objects are shown at once.
	Open bool
}

// object is an object with what belongs to it.
type object struct {
	inspect.Object
	Tone tone
	// Where is the namespace, if it is another than the environment's.
	Where string
	// Origin is its file and line in Git, and OriginLink the page of that.
	Origin, OriginLink string
	Job                *v1alpha1.JobStatus
	Logs               []inspect.Log
	// Drift are the events about changes by others.
	Drift []inspect.Event
	// LogsLink is the screen with the logs of its pods.
	LogsLink string
	Open     bool
}

// found returns the environment that a request names, or answers the request with what is wrong.
func (s *Server) found(w http.ResponseWriter, r *http.Request) *v1alpha1.Environment {
	name := r.PathValue("name")
	env, err := s.board.environment(r.Context(), name)
	switch {
	case err != nil:
		s.problem(w, r, http.StatusOK, "Environments cannot be read", s.Explain(err).Error())
	case env == nil:
		s.problem(w, r, http.StatusNotFound, "There is no environment "+name,
			"It may have been deleted, with its branch or because it expired. The list of branches shows those that exist.")
	}
	return env
}

func (s *Server) environment(w http.ResponseWriter, r *http.Request) {
	env := s.found(w, r)
	if env == nil {
		return
	}
	page := s.pageOf(r, env, "overview")
	page.Detail = sync.OnceValue(func() detail { return s.detail(r.Context(), env, page.Forge) })
	s.showEnvironment(w, r, page, "environment")
}

// head serves only the head of a screen, with which the script replaces an older one.
func (s *Server) head(w http.ResponseWriter, r *http.Request) {
	if env := s.found(w, r); env != nil {
		s.write(w, r, "head", frame{Screen: "environment", Content: s.pageOf(r, env, r.FormValue("tab"))})
	}
}

func (s *Server) showEnvironment(w http.ResponseWriter, r *http.Request, page environmentPage, screen string) {
	banners := slices.Concat(s.connection(), s.progress(r, page.Env))
	if isBlocked(page.Env) {
		banners = append(banners, blockedBanner(page.Env))
	}
	s.show(w, r, http.StatusOK, frame{
		Title: page.Env.Spec.Branch, Screen: screen, Name: page.Env.Name, Moving: page.State.Tone == toneBusy,
		Content: page, Banners: banners,
	})
}

// pageOf returns what all screens of an environment show.
func (s *Server) pageOf(r *http.Request, env *v1alpha1.Environment, tab string) environmentPage {
	repos, _ := s.board.repos(r.Context()) // without them there are no links to the Git server
	at := pagesOf(repos[env.Spec.Repository])
	page := environmentPage{
		Tabs: tabsOf(env.Name, tab), Env: env, State: stateOf(env), Row: rowOf(env, repos[env.Spec.Repository], s.Now()),
		Places: at.places(env), Forge: at,
	}
	if healthy := output.ShortCommit(env.Status.HealthyCommit); healthy != env.Status.ShortCommit {
		page.Healthy = healthy
	}
	if target := output.ShortCommit(inspect.Target(env)); target != env.Status.ShortCommit {
		page.Head = target
	}
	page.Buttons, page.Denied = s.buttons(r, env)
	return page
}

// detail reads the objects, and where they are in Git.
func (s *Server) detail(ctx context.Context, env *v1alpha1.Environment, p pages) detail {
	d := detailOf(s.described.describe(ctx, env))
	commit := fullCommit(env)
	places := s.origins.of(ctx, s.Differ, env, commit, s.Now())
	for _, g := range d.Groups {
		for n := range g.Objects {
			o := &g.Objects[n]
			o.Origin = places[o.ID()]
			o.OriginLink = p.origin(commit, o.Origin)
		}
	}
	return d
}

func detailOf(d inspect.Description) detail {
	return detail{Description: d, Strip: stripOf(d), Groups: groupsOf(d)}
}

// groupsOf groups the objects as they are applied, and within a group the worst first.
func groupsOf(d inspect.Description) []group {
	type place struct {
		order int
		title string
	}
	members := map[place][]object{}
	for _, o := range d.Objects {
		var at place
		switch p := o.Place(); {
		case inspect.IsOnRemoval(d.Environment, o):
			at = place{2, "When the environment is removed"}
		case o.CreatedAt.IsZero():
			at = place{-2, "Not in the cluster"}
		case p.Phase == manifest.First:
			at = place{-1, dependencies}
		case p.Phase == manifest.Last:
			at = place{1, "Admission and APIs"}
		default:
			at = place{0, fmt.Sprintf("Wave %d", p.Wave)}
		}
		members[at] = append(members[at], objectOf(d, o))
	}
	places := make([]place, 0, len(members))
	for at := range members {
		places = append(places, at)
	}
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(waveOf(members[place(a)][0]), waveOf(members[place(b)][0])))
	})
	groups := make([]group, 0, len(places))
	for _, at := range places {
		groups = append(groups, groupOf(at.title, members[at]))
	}
	return groups
}

func waveOf(o object) int { return o.Place().Wave }

// dependencies are many and seldom of interest, so that they are shown only if something is wrong.
const dependencies = "Dependencies"

func groupOf(title string, objects []object) group {
	g := group{Title: title, Total: len(objects), Objects: objects, Tone: toneGood}
	for _, o := range objects {
		switch {
		case o.Health == health.Healthy:
			g.Healthy++
		case o.Health == health.Failed || g.Tone == toneBad:
			g.Tone = toneBad
		default:
			g.Tone = toneBusy
		}
	}
	g.Open = title != dependencies || g.Healthy < g.Total
	return g
}

func objectOf(d inspect.Description, o inspect.Object) object {
	v := object{Object: o, Tone: toneOfHealth(o.Health), Open: o.Health != health.Healthy}
	if o.Namespace != "" && o.Namespace != d.Environment.Spec.Namespace {
		v.Where = o.Namespace
	}
	short := o.Kind + "/" + o.Name
	if len(o.Pods) > 0 {
		v.LogsLink = "/env/" + url.PathEscape(d.Environment.Name) + "/logs?" + url.Values{"workload": {short}}.Encode()
	}
	for i := range d.Environment.Status.Jobs {
		if j := &d.Environment.Status.Jobs[i]; o.Kind == "Job" && j.Name == o.Name {
			v.Job = j
		}
	}
	for _, log := range d.Logs {
		if log.Object == short {
			v.Logs = append(v.Logs, log)
		}
	}
	for _, e := range d.Events {
		if e.Object == short && (e.Reason == "Corrected" || e.Reason == "Fight") {
			v.Drift = append(v.Drift, e)
		}
	}
	return v
}
