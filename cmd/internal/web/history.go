package web

import (
	"net/http"
	"net/url"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/inspect"
)

// syncRow is a past sync.
type syncRow struct {
	v1alpha1.SyncStatus
	Tone tone
	Link string
	// Runs means that this is the commit that runs now, or is being applied.
	Runs bool
	// Diff is where to see what it changed since the sync before.
	Diff string
	// Pin is where to go to run this commit; empty if the viewer may not.
	Pin string
}

func (s *Server) history(w http.ResponseWriter, r *http.Request) {
	env := s.found(w, r)
	if env == nil {
		return
	}
	page := s.pageOf(r, env, "history")
	mayPin := s.may(r.Context(), "pin", "environments", env.Name)
	for n, sync := range env.Status.History {
		row := syncRow{
			SyncStatus: sync, Tone: toneOfOutcome(sync.Outcome), Link: page.Forge.commit(sync.Commit),
			Runs: n == 0 && sync.Commit == env.Status.AppliedCommit,
		}
		if n+1 < len(env.Status.History) && env.Status.History[n+1].Commit != sync.Commit {
			row.Diff = "/env/" + url.PathEscape(env.Name) + "/diff?" + url.Values{"from": {env.Status.History[n+1].Commit}, "to": {sync.Commit}}.Encode()
		}
		if mayPin && sync.Commit != inspect.Target(env) {
			row.Pin = actionPath(env, "pin") + "?commit=" + url.QueryEscape(sync.Commit)
		}
		page.Syncs = append(page.Syncs, row)
	}
	page.Events, page.Notes = s.Inspector.Events(r.Context(), env)
	s.showEnvironment(w, r, page, "history")
}
