package web

import (
	"net/http"

	"berth.dev/berth/api/v1alpha1"
)

// syncRow is a past sync.
type syncRow struct {
	v1alpha1.SyncStatus
	Tone tone
	Link string
	// Runs means that this is the commit that runs now, or is being applied.
	Runs bool
}

func (s *Server) history(w http.ResponseWriter, r *http.Request) {
	env := s.found(w, r)
	if env == nil {
		return
	}
	page := s.pageOf(r.Context(), env, "history")
	for n, sync := range env.Status.History {
		page.Syncs = append(page.Syncs, syncRow{
			SyncStatus: sync, Tone: toneOfOutcome(sync.Outcome), Link: page.Forge.commit(sync.Commit),
			Runs: n == 0 && sync.Commit == env.Status.AppliedCommit,
		})
	}
	page.Events, page.Notes = s.Inspector.Events(r.Context(), env)
	s.showEnvironment(w, r, page, "history")
}
