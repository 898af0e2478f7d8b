package web

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/inspect"
)

// button starts an action.
type button struct {
	Title, Path string
	Dangerous   bool
}

// proposal is what an action would do. The viewer confirms it.
type proposal struct {
	Title, Of, Effect, Command string
	// Path is where the form goes, and Back where it does not.
	Path, Back string
	Commit     string
	Dangerous  bool
	// Denied is the right that the viewer lacks.
	Denied string
	// Items are what is deleted.
	Items []item
	// Shown is the digest of what a deletion is about. If it has changed when the form comes back, nothing is done.
	Shown string
}

// digestOf identifies what a viewer has seen before a confirmation.
func digestOf(effect string, items []string) string {
	sum := sha256.Sum256([]byte(strings.Join(append([]string{effect}, items...), "\x00")))
	return hex.EncodeToString(sum[:])
}

// outdated answers a confirmation of something else than what is blocked now, and reports whether it is one.
func (s *Server) outdated(w http.ResponseWriter, r *http.Request, now string) bool {
	if now != "" && r.FormValue("shown") == now {
		return false
	}
	s.problem(w, r, http.StatusConflict, "Nothing was confirmed", "What is blocked has changed since this page was shown. Go back, and read the current list before you confirm it.")
	return true
}

// buttons returns the actions that make sense for an environment now, and that the viewer may take. If the viewer may take
// none at all, there is a reason.
func (s *Server) buttons(r *http.Request, env *v1alpha1.Environment) (list []button, denied string) {
	denied = s.lacks(s.Roles.Operator)
	for _, a := range s.actions() {
		if !s.may(r.Context(), a.verb, "environments", env.Name) {
			continue
		}
		if denied = ""; a.offered(env) {
			list = append(list, button{Title: a.Title, Path: actionPath(env, a.Name), Dangerous: a.dangerous})
		}
	}
	return list, denied
}

func (s *Server) lacks(role string) string {
	return "You may look at this environment, and not change it. For that, ask for the role " + role + " in the namespace " + s.Namespace + "."
}

func actionPath(env *v1alpha1.Environment, name string) string {
	return "/env/" + url.PathEscape(env.Name) + "/do/" + name
}

// fullID matches a whole commit id, as the field spec.pin takes it.
var fullID = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// chosen returns the environment, the action and the commit of a request, or answers what is wrong.
func (s *Server) chosen(w http.ResponseWriter, r *http.Request) (env *v1alpha1.Environment, a action, commit string) {
	all, name := s.actions(), r.PathValue("action")
	n := slices.IndexFunc(all, func(a action) bool { return a.Name == name })
	if n < 0 {
		s.notFound(w, r)
		return nil, action{}, ""
	}
	commit = r.FormValue("commit")
	if name == "pin" && !fullID.MatchString(commit) {
		s.problem(w, r, http.StatusBadRequest, "This is not a commit", "An environment can be pinned to the full id of a commit.")
		return nil, action{}, ""
	}
	return s.found(w, r), all[n], commit
}

// proposal shows what an action would do.
func (s *Server) proposal(w http.ResponseWriter, r *http.Request) {
	env, a, commit := s.chosen(w, r)
	if env == nil {
		return
	}
	p := proposal{
		Title: a.Title, Of: env.Spec.Branch, Effect: a.effect(env, commit), Command: a.command(env, commit), Commit: commit, Dangerous: a.dangerous,
		Path: actionPath(env, a.Name), Back: "/env/" + url.PathEscape(env.Name),
	}
	if !s.may(r.Context(), a.verb, "environments", env.Name) {
		p.Denied = s.lacks(s.Roles.Operator)
	}
	if a.dangerous {
		p.Shown, p.Items = a.shown(env, commit), textsOf(inspect.Blocked(env.Status.BlockedDeletions))
	}
	s.show(w, r, http.StatusOK, frame{Title: a.Title + ": " + env.Spec.Branch, Screen: "proposal", Content: p})
}

// act carries out an action, and leads to the environment, which shows the progress.
func (s *Server) act(w http.ResponseWriter, r *http.Request) {
	env, a, commit := s.chosen(w, r)
	if env == nil {
		return
	}
	if a.dangerous && s.outdated(w, r, a.shown(env, commit)) {
		return
	}
	var got receipt
	actor, err := s.Actor.As(r.Context(), a.verb, "environments", env.Name)
	if err == nil {
		got, err = a.do(r.Context(), actor, env.DeepCopy(), commit)
	}
	if err != nil {
		s.problem(w, r, http.StatusForbidden, a.Title+" was refused", s.Explain(err).Error())
		return
	}
	http.Redirect(w, r, "/env/"+url.PathEscape(env.Name)+"?"+got.query(a.Name).Encode(), http.StatusSeeOther)
}

// query is the receipt in the address of the environment.
func (r receipt) query(name string) url.Values {
	return url.Values{"did": {name}, "id": {r.id}, "generation": {strconv.FormatInt(r.generation, 10)}}
}

// progress returns a banner about the action that led to a page, until the environment's own status says the rest.
func (s *Server) progress(r *http.Request, env *v1alpha1.Environment) []banner {
	q, all := r.URL.Query(), s.actions()
	n := slices.IndexFunc(all, func(a action) bool { return a.Name == q.Get("did") })
	if n < 0 {
		return nil
	}
	generation, _ := strconv.ParseInt(q.Get("generation"), 10, 64)
	b := banner{Tone: toneBusy, Title: all[n].Title + ": waiting for the agent", Text: "If this lasts longer than some seconds, check whether the agent runs.", Command: "berth check"}
	handled := []string{env.Status.HandledRequest, env.Status.HandledRetry, env.Status.HandledConfirmation}
	if id := q.Get("id"); id != "" && !slices.Contains(handled, id) || env.Status.ObservedGeneration < generation {
		return []banner{b}
	}
	if all[n].Name == "confirm" && env.Status.BlockedDeletions != nil {
		return []banner{{Tone: toneWarn, Title: "Confirm deletions: other objects are blocked now", Text: "Read the current list before you confirm it."}}
	}
	if ready := inspect.Ready(env.Status.Conditions); ready.Reason == v1alpha1.ReasonSyncing {
		return []banner{{Tone: toneBusy, Title: all[n].Title + ": the agent is at it"}}
	}
	return []banner{{Tone: toneGood, Title: all[n].Title + ": done"}}
}

// shown returns the digest of what an action would do now, or nothing if it makes no sense now.
func (a action) shown(env *v1alpha1.Environment, commit string) string {
	if !a.offered(env) {
		return ""
	}
	var names []string
	if b := env.Status.BlockedDeletions; b != nil {
		names = []string{b.Digest}
	}
	return digestOf(a.effect(env, commit), names)
}

// shownOf returns the digest of the deletions that a Repository blocks, or nothing if it blocks none.
func shownOf(repo *v1alpha1.Repository) string {
	held := heldOf(repo)
	if len(held) == 0 {
		return ""
	}
	return digestOf("", held)
}

// proposalForAll shows which environments a confirmation would delete.
func (s *Server) proposalForAll(w http.ResponseWriter, r *http.Request) {
	repo := s.repositoryOf(w, r)
	if repo == nil {
		return
	}
	held := heldOf(repo)
	p := proposal{
		Title: "Confirm deletions", Of: repo.Name, Dangerous: true, Items: environmentsOf(held), Shown: shownOf(repo), Command: "berth confirm --repository " + repo.Name, Back: "/",
		Path:   "/repo/" + url.PathEscape(repo.Name) + "/confirm",
		Effect: fmt.Sprintf("The agent may delete what it blocks now, and nothing that is blocked later: %s", inspect.Ready(repo.Status.Conditions).Message),
	}
	if !s.may(r.Context(), "confirm", "repositories", repo.Name) {
		p.Denied = strings.Replace(s.lacks(s.Roles.Administrator), "this environment", "this Repository", 1)
	}
	s.show(w, r, http.StatusOK, frame{Title: "Confirm deletions of " + repo.Name, Screen: "proposal", Content: p})
}

// confirmAll confirms the deletions that the viewer has seen.
func (s *Server) confirmAll(w http.ResponseWriter, r *http.Request) {
	repo := s.repositoryOf(w, r)
	if repo == nil {
		return
	}
	if s.outdated(w, r, shownOf(repo)) {
		return
	}
	actor, err := s.Actor.As(r.Context(), "confirm", "repositories", repo.Name)
	if err == nil {
		_, err = actor.Request(r.Context(), repo.DeepCopy(), v1alpha1.AnnotationConfirmed)
	}
	if err != nil {
		s.problem(w, r, http.StatusForbidden, "The confirmation was refused", s.Explain(err).Error())
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *Server) repositoryOf(w http.ResponseWriter, r *http.Request) *v1alpha1.Repository {
	repos, err := s.board.repos(r.Context())
	if err != nil {
		s.problem(w, r, http.StatusOK, "Repositories cannot be read", s.Explain(err).Error())
		return nil
	}
	repo := repos[r.PathValue("name")]
	if repo == nil {
		s.problem(w, r, http.StatusNotFound, "There is no Repository "+r.PathValue("name"), "It may have been deleted.")
	}
	return repo
}
