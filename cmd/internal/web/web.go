// Package web serves the page: the environments in a browser, read and changed with the rights of one viewer.
package web

import (
	"context"
	"fmt"
	"net/http"
	"time"

	authorizationv1 "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/inspect"
)

// Config configures a Server.
type Config struct {
	// Client reads and writes the cluster with the rights of the viewer.
	Client client.WithWatch
	// Inspector describes environments with the same rights.
	Inspector Inspector
	// Access tells what the viewer may do.
	Access authorizationv1.SelfSubjectAccessReviewInterface
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

// Inspector describes environments for one viewer.
type Inspector interface {
	// Describe returns an environment with its objects.
	Describe(context.Context, *v1alpha1.Environment) inspect.Description
	// Events returns the latest events about an environment, and what could not be read.
	Events(context.Context, *v1alpha1.Environment) ([]inspect.Event, []string)
}

// Server is the handler of the page. It keeps one watch per kind, however many browsers are open.
type Server struct {
	Config
	board     *board
	described *describer
	views     *views
	hooks     missedHooks
	rights    rights
	mux       *http.ServeMux
}

// New returns a Server. It shows nothing before Run is called.
func New(c Config) (*Server, error) {
	assets, err := loadAssets()
	if err != nil {
		return nil, err
	}
	views, err := loadViews(c.Now, assets)
	if err != nil {
		return nil, fmt.Errorf("reading the templates: %w", err)
	}
	s := &Server{Config: c, board: newBoard(c), described: newDescriber(c.Inspector, c.Now), views: views, mux: http.NewServeMux()}
	s.mux.Handle("GET /assets/{name}", assets)
	s.mux.HandleFunc("GET /{$}", s.branches)
	s.mux.HandleFunc("GET /rows", s.rows)
	s.mux.HandleFunc("GET /live", s.live)
	s.mux.HandleFunc("GET /env/{name}", s.environment)
	s.mux.HandleFunc("GET /env/{name}/history", s.history)
	s.mux.HandleFunc("GET /env/{name}/do/{action}", s.proposal)
	s.mux.HandleFunc("POST /env/{name}/do/{action}", s.act)
	s.mux.HandleFunc("GET /repo/{name}/confirm", s.proposalForAll)
	s.mux.HandleFunc("POST /repo/{name}/confirm", s.confirmAll)
	s.mux.HandleFunc("GET /", s.notFound)
	return s, nil
}

// Run keeps the page current until the context ends.
func (s *Server) Run(ctx context.Context) { s.board.run(ctx) }

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

func (s *Server) notFound(w http.ResponseWriter, r *http.Request) {
	s.problem(w, r, http.StatusNotFound, "Page not found", "There is no such page.")
}
