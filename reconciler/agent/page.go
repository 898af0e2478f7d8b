package agent

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// The limits of connections to the page. Event streams stay open, so there is no limit of the whole time of a request;
// Page limits the rest.
const (
	pageHeaderTimeout = 5 * time.Second
	pageIdleTimeout   = 2 * time.Minute
	pageHeaderBytes   = 32 << 10
	pageConnections   = 1024
	pageEnd           = 5 * time.Second
)

// Page is a page for people. The agent only serves it.
type Page interface {
	http.Handler
	// Run keeps it current until the context ends.
	Run(context.Context)
}

// pageServer serves the page on every replica.
type pageServer struct {
	page      Page
	address   string
	log       *slog.Logger
	listening atomic.Bool
}

// addPage lets the manager serve the page, if there is one.
func (a *Agent) addPage() error {
	if a.Page == nil {
		return nil
	}
	key, err := hkdf.Key(sha256.New, a.installation.digestKey, nil, "berth page", sha256.Size)
	if err != nil {
		return err
	}
	page, err := a.Page(key)
	if err != nil {
		return fmt.Errorf("cannot serve the page: %w", err)
	}
	p := &pageServer{page: page, address: a.PageAddress, log: a.Log}
	return errors.Join(a.mgr.AddReadyzCheck("page", p.ready), a.mgr.Add(p))
}

func (p *pageServer) ready(*http.Request) error {
	if !p.listening.Load() {
		return errors.New("the page is not served yet")
	}
	return nil
}

// NeedLeaderElection lets replicas that do not lead serve as well.
func (p *pageServer) NeedLeaderElection() bool { return false }

// Start serves until the context ends.
func (p *pageServer) Start(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", p.address)
	if err != nil {
		return fmt.Errorf("cannot serve the page: %w; choose another --page-address, or 0 for none", err)
	}
	all := newCrowd(pageConnections)
	server := &http.Server{
		Handler:           all.serve(p.page),
		ReadHeaderTimeout: pageHeaderTimeout,
		IdleTimeout:       pageIdleTimeout,
		MaxHeaderBytes:    pageHeaderBytes,
		ConnState:         all.watch,
		ConnContext:       remember,
		ErrorLog:          slog.NewLogLogger(p.log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return ctx }, // ends event streams
	}
	p.listening.Store(true)
	p.log.Info("serving the page", "address", listener.Addr().String())
	var running sync.WaitGroup
	running.Go(func() { p.page.Run(ctx) })
	defer running.Wait()
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("cannot serve the page: %w", err)
	case <-ctx.Done():
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), pageEnd)
		defer cancel()
		if err := server.Shutdown(last); err != nil {
			return server.Close()
		}
		return nil
	}
}
