// Package web serves the page: the environments in a browser, read and changed with the rights of its viewer. A Server has
// one viewer, and Viewers have many.
package web

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/acting"
	"berth.dev/berth/cmd/internal/inspect"
)

// Config configures a Server.
type Config struct {
	// Watch watches Environments and Repositories. Viewers do so for all of them.
	Watch client.WithWatch
	// Client reads the cluster with the rights of the viewer.
	Client client.Reader
	// Inspector describes environments with the same rights.
	Inspector Inspector
	// Logs reads the logs of its pods.
	Logs Reader
	// Differ compares commits; nil: the page names the command that does.
	Differ Differ
	// Actor writes for the viewer.
	Actor Actor
	// Roles are what the page tells viewers to ask for.
	Roles Roles
	// MayRead returns an error unless the viewer may read what Watch keeps: a verb of a resource, and a name or none. If it is
	// nil, Watch has the rights of the viewer.
	MayRead func(ctx context.Context, verb, resource, name string) error
	// Namespace is the agent's namespace, with the Environments.
	Namespace string
	// Cluster is the name of the cluster for people; empty shows none.
	Cluster string
	// Author is the viewer's name in commits; empty hides the filter for the viewer's own branches.
	Author string
	// FormToken is what a form must send back; see Guard.
	FormToken string
	// Explain adds the next step to an error of the API server.
	Explain func(error) error
	Now     func() time.Time
}

// Roles are the names of roles in the agent's namespace.
type Roles struct {
	// Operator may act on environments, and Administrator on Repositories.
	Operator, Administrator string
}

// Actor writes for one viewer. The verbs are sync, retry, suspend, pin, confirm and keep.
type Actor interface {
	// May reports whether the viewer may act on an object of a resource.
	May(ctx context.Context, verb, resource, name string) (bool, error)
	// As returns who writes, or an error if the viewer may not.
	As(ctx context.Context, verb, resource, name string) (acting.Actor, error)
}

// Inspector describes environments for one viewer.
type Inspector interface {
	// Describe returns an environment with its objects.
	Describe(context.Context, *v1alpha1.Environment) inspect.Description
	// Events returns the latest events about an environment, and what could not be read.
	Events(context.Context, *v1alpha1.Environment) ([]inspect.Event, []string)
}

// Differ compares commits for one viewer.
type Differ interface {
	// Prospect returns what a sync to a commit would do, and what could not be determined.
	Prospect(ctx context.Context, env *v1alpha1.Environment, commit string) ([]inspect.Step, []string, error)
	// Origins returns where the objects of a commit are in Git, as file:line by inspect.Object.ID. It fails if the commit
	// cannot be read here.
	Origins(ctx context.Context, env *v1alpha1.Environment, commit string) (map[string]string, error)
	// Compare returns how the objects of two commits differ.
	Compare(ctx context.Context, env *v1alpha1.Environment, from, to string) ([]inspect.Step, []string, error)
}

// Reader reads logs for one viewer.
type Reader interface {
	// Tail returns the last lines of containers, and what could not be read.
	Tail(ctx context.Context, env *v1alpha1.Environment, sources []inspect.Source, o corev1.PodLogOptions) ([]inspect.Line, []string)
	// Follow passes on the lines of a container until its log or the context ends.
	Follow(ctx context.Context, env *v1alpha1.Environment, source inspect.Source, o corev1.PodLogOptions, say func(inspect.Line)) error
	// Mask returns what hides the secrets of an environment, and what it does not hide.
	Mask(context.Context, *v1alpha1.Environment) (inspect.Mask, []string)
}

// Server is the handler of the page. It keeps one watch per kind, however many browsers are open.
type Server struct {
	Config
	board     glimpse
	described *describer
	views     *views
	hooks     missedHooks
	origins   origins
	mux       *http.ServeMux
}

// common is what all Servers of a program share.
type common struct {
	board  *board
	views  *views
	assets *assets
}

func newCommon(watch client.WithWatch, namespace string, now func() time.Time) (common, error) {
	assets, err := loadAssets()
	if err != nil {
		return common{}, err
	}
	views, err := loadViews(now, assets)
	if err != nil {
		return common{}, fmt.Errorf("reading the templates: %w", err)
	}
	return common{board: newBoard(watch, namespace, now()), views: views, assets: assets}, nil
}

// New returns a Server for one viewer. It shows nothing before Run is called.
func New(c Config) (*Server, error) {
	shared, err := newCommon(c.Watch, c.Namespace, c.Now)
	if err != nil {
		return nil, err
	}
	return newServer(c, shared), nil
}

func newServer(c Config, shared common) *Server {
	s := &Server{Config: c, board: glimpse{shared.board, c.MayRead}, described: newDescriber(c.Inspector, c.Now), views: shared.views, mux: http.NewServeMux()}
	s.mux.Handle("GET /assets/{name}", shared.assets)
	s.mux.HandleFunc("GET /{$}", s.branches)
	s.mux.HandleFunc("GET /rows", s.rows)
	s.mux.HandleFunc("GET /live", s.live)
	s.mux.HandleFunc("GET /env/{name}", s.environment)
	s.mux.HandleFunc("GET /env/{name}/head", s.head)
	s.mux.HandleFunc("GET /env/{name}/history", s.history)
	s.mux.HandleFunc("GET /env/{name}/diff", s.diff)
	s.mux.HandleFunc("GET /env/{name}/logs", s.logs)
	s.mux.HandleFunc("GET /env/{name}/logs/file", s.download)
	s.mux.HandleFunc("GET /env/{name}/logs/live", s.follow)
	s.mux.HandleFunc("GET /env/{name}/do/{action}", s.proposal)
	s.mux.HandleFunc("POST /env/{name}/do/{action}", s.act)
	s.mux.HandleFunc("GET /repo/{name}/confirm", s.proposalForAll)
	s.mux.HandleFunc("POST /repo/{name}/confirm", s.confirmAll)
	s.mux.HandleFunc("GET /", s.notFound)
	return s
}

// Run keeps the page current until the context ends.
func (s *Server) Run(ctx context.Context) { s.board.run(ctx) }

// shownKey is the key of a request's version of the board. It is taken before a page reads anything, so that a change
// meanwhile counts as news to the page.
type shownKey struct{}

// ServeHTTP serves the page.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if versions := r.Header.Get(versionsHeader); versions != "" && !strings.HasPrefix(r.URL.Path, "/assets/") {
		s.board.reach(r.Context(), versions)
	}
	s.mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), shownKey{}, s.board.subscribers.shown())))
}

func (s *Server) notFound(w http.ResponseWriter, r *http.Request) {
	s.problem(w, r, http.StatusNotFound, "Page not found", "There is no such page.")
}
