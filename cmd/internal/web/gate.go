package web

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"berth.dev/berth/cmd/internal/login"
)

// logoutPath is where viewers log out.
const logoutPath = "/logout"

// noteAgain is when the same reason is logged again.
const noteAgain = 10 * time.Second

// The times of one answer: of the body of a request, and of each part of an answer that a slow browser takes.
const (
	bodyTimeout = 10 * time.Second
	partTimeout = 30 * time.Second
)

// Door finds out whose request it is.
type Door interface {
	// Session returns the session of a request, or a *login.Refusal.
	Session(*http.Request) (login.Session, error)
	// Enter leads a browser without a session to the login, or from there back to the page.
	Enter(http.ResponseWriter, *http.Request) error
	// Leave ends the session of a browser, and returns where to log out of its issuer, if that is known.
	Leave(http.ResponseWriter) (issuer string)
}

// Gate serves the page in the cluster: to viewers who are logged in, and at its public address only.
type Gate struct {
	viewers *Viewers
	door    Door
	page    *url.URL
	hosts   map[string]bool
	log     *slog.Logger

	mu sync.Mutex
	// said is the last reason for a refused login in the log, and its time.
	said   string
	saidAt time.Time
}

// NewGate returns a Gate for a page whose public address is known.
func NewGate(viewers *Viewers, door Door, page *url.URL, log *slog.Logger) *Gate {
	g := &Gate{viewers: viewers, door: door, page: page, log: log, hosts: map[string]bool{page.Host: true}}
	if port := map[string]string{"https": "443", "http": "80"}[page.Scheme]; page.Port() == "" {
		g.hosts[page.Host+":"+port] = true
	}
	return g
}

// ServeHTTP answers a request.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w = patient{w, http.NewResponseController(w)}
	protect(w.Header())
	if g.page.Scheme == "https" {
		w.Header().Set("Strict-Transport-Security", "max-age=31536000")
	}
	switch path := r.URL.Path; {
	case !g.hosts[strings.ToLower(r.Host)]:
		http.Error(w, "this server does not serve "+r.Host, http.StatusMisdirectedRequest)
	case strings.HasPrefix(path, "/assets/"):
		g.viewers.visitor.ServeHTTP(w, r)
	case path == login.Path || path == login.CallbackPath:
		g.enter(w, r)
	default:
		g.pass(w, r)
	}
}

// enter leads a browser to the login, or back from it.
func (g *Gate) enter(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, "a login begins with GET", http.StatusMethodNotAllowed)
		return
	}
	if err := g.door.Enter(w, r); err != nil {
		g.refuse(w, r, err)
	}
}

// pass lets in the requests of viewers who are logged in.
func (g *Gate) pass(w http.ResponseWriter, r *http.Request) {
	session, err := g.door.Session(r)
	switch refusal, ok := errors.AsType[*login.Refusal](err); {
	case ok && refusal.Code == http.StatusUnauthorized && navigates(r):
		g.enter(w, r)
		return
	case err != nil:
		g.refuse(w, r, err)
		return
	}
	if hasBody(r) {
		stream := http.NewResponseController(w)
		_ = stream.SetReadDeadline(time.Now().Add(bodyTimeout)) // not supported in tests
		defer func() { _ = stream.SetReadDeadline(time.Time{}) }()
	}
	switch {
	case isForeign(r, g.page.Scheme+"://"+g.page.Host, session.FormToken):
		http.Error(w, "this request comes from another page", http.StatusForbidden)
	case r.URL.Path == logoutPath && r.Method == http.MethodPost:
		issuer := g.door.Leave(w)
		g.log.Info("a viewer of the page logs out", "user", session.User)
		g.show(w, r, http.StatusOK, doorPage{Title: "You are logged out", Text: "The issuer may still know you, and log you in again without a question.", Button: "Log in", Issuer: issuer})
	default:
		g.viewers.serve(w, r, session)
	}
}

func hasBody(r *http.Request) bool { return r.Method != http.MethodGet && r.Method != http.MethodHead }

// navigates reports whether the answer is a page that a browser shows. Requests of scripts cannot follow a login.
func navigates(r *http.Request) bool {
	if r.Method != http.MethodGet || sortOf(r) == sortStream || sortOf(r) == sortFollow {
		return false
	}
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

// doorPage is what people see who are not logged in.
type doorPage struct {
	Title, Text string
	// Button is what leads to the login.
	Button string
	// Issuer is where to log out of the issuer too.
	Issuer string
}

// refuse answers a request without a valid login with the reason.
func (g *Gate) refuse(w http.ResponseWriter, r *http.Request, err error) {
	refusal, ok := errors.AsType[*login.Refusal](err)
	if !ok {
		refusal = &login.Refusal{Code: http.StatusServiceUnavailable, Title: "You cannot be logged in now", Text: "Try again later.", Cause: err}
	}
	g.note(refusal)
	page := doorPage{Title: refusal.Title, Text: refusal.Text, Button: "Try again"}
	if refusal.Code == http.StatusUnauthorized {
		page.Button = "Log in"
	}
	g.show(w, r, refusal.Code, page)
}

// note logs why a login is refused. Anyone can cause such lines, so it logs the same reason again only after a while.
func (g *Gate) note(refusal *login.Refusal) {
	if refusal.Cause == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now, why := g.viewers.Now(), refusal.Cause.Error()
	if why == g.said && now.Sub(g.saidAt) < noteAgain {
		return
	}
	g.said, g.saidAt = why, now
	g.log.Warn("a viewer of the page is not logged in", "title", refusal.Title, "error", refusal.Cause)
}

func (g *Gate) show(w http.ResponseWriter, r *http.Request, code int, page doorPage) {
	g.viewers.visitor.show(w, r, code, frame{Title: page.Title, Screen: "door", Content: page})
}

// patient is the answer to a browser, which has to take each part of it in time.
type patient struct {
	http.ResponseWriter
	stream *http.ResponseController
}

// WriteHeader sends the status.
func (p patient) WriteHeader(code int) {
	p.extend()
	p.ResponseWriter.WriteHeader(code)
}

// Write sends a part of the answer.
func (p patient) Write(part []byte) (int, error) {
	p.extend()
	return p.ResponseWriter.Write(part)
}

// Unwrap returns the answer, for http.ResponseController.
func (p patient) Unwrap() http.ResponseWriter { return p.ResponseWriter }

func (p patient) extend() { _ = p.stream.SetWriteDeadline(time.Now().Add(partTimeout)) } // not supported in tests
