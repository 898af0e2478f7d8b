package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"

	"berth.dev/berth/cmd/internal/inspect"
	"berth.dev/berth/cmd/internal/web"
)

// uiOptions are the flags of `berth ui`.
type uiOptions struct {
	connection
	elsewhere elsewhere
	address   string
	noOpen    bool
}

func newUI(s streams) *cobra.Command {
	o := &uiOptions{}
	c := &cobra.Command{
		Use:   "ui",
		Short: "Open the environments in a browser",
		Long: `Serve a page with all environments on this machine, and open it in a browser. The page shows what
berth get, berth describe and berth diff show, and logs; it follows changes, and has buttons for sync,
retry, suspend, pin, confirm and keep. In a clone of the repository it also knows the file and line of
each object; elsewhere the diff needs the right to read the Repository's credentials.

It reads and writes the cluster with your kubeconfig, so that your rights decide what it can do. Only this machine
can reach it, and only with the key in the printed address: keep that address to yourself. The page
ends with this command. Environments in other clusters are read with your rights there, by the
contexts of the clusters' names or those of --cluster-context.`,
		Example: `  berth ui
  berth ui --no-open --address 127.0.0.1:8080   print a fixed address, such as for an SSH tunnel`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c, s) },
	}
	o.addTo(c.Flags())
	o.elsewhere.addTo(c.Flags(), &o.connection)
	must(c.RegisterFlagCompletionFunc("cluster-context", completeContexts(&o.connection)))
	c.Flags().StringVar(&o.address, "address", "127.0.0.1:0", "address of this machine to listen on; port 0 is a free one")
	c.Flags().BoolVar(&o.noOpen, "no-open", false, "do not open a browser")
	return c
}

func (o *uiOptions) run(c *cobra.Command, s streams) error {
	if err := loopbackOnly(o.address); err != nil {
		return usageError(c, "%w", err)
	}
	v, err := o.open()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", o.address)
	if err != nil {
		return fmt.Errorf("cannot serve the page: %w; choose another port with --address, 127.0.0.1:0 is a free one", err)
	}
	key := rand.Text()
	page, err := web.New(v.page(c.Context(), key, o))
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	guard := web.NewGuard(page, listener.Addr(), key)
	fmt.Fprintf(s.out, "The page is at %s\nPress Ctrl-C to end it.\n", guard.Address())
	if !o.noOpen {
		defer openBrowser(c.Context(), guard.Ticket())()
	}
	ctx, stop := context.WithCancel(c.Context())
	defer stop()
	go page.Run(ctx)
	return serve(ctx, listener, guard)
}

// page returns the configuration of a page with the rights of the viewer.
func (v *viewer) page(ctx context.Context, key string, o *uiOptions) web.Config {
	kinds := memory.NewMemCacheClient(v.discovery)
	go forget(ctx, kinds)
	inspector := inspect.New(inspect.Config{Client: v, Discovery: kinds, Logs: v.logs, Stream: inspect.StreamOf(v.kubernetes.CoreV1()), Now: time.Now, Elsewhere: o.elsewhere.cluster(v, "berth ui")})
	access := v.kubernetes.AuthorizationV1().SelfSubjectAccessReviews()
	return web.Config{
		Watch:     v,
		Client:    v,
		Inspector: inspector,
		Logs:      inspector,
		Differ:    differ{v, &o.elsewhere},
		Actor:     &web.Own{Client: v, User: v.actor().User, Access: access, Namespace: v.namespace, Now: time.Now},
		Roles:     web.Roles{Operator: "edit", Administrator: "admin"},
		Namespace: v.namespace,
		Cluster:   o.clusterName(),
		Author:    gitAuthor(ctx),
		FormToken: web.FormToken(key),
		Explain:   func(err error) error { return explain(err, v.namespace) },
		Now:       time.Now,
	}
}

// kindsAge is how long the page knows which kinds the cluster has.
const kindsAge = time.Minute

// forget lets kinds that are added later appear.
func forget(ctx context.Context, kinds discovery.CachedDiscoveryInterface) {
	for wait(ctx, kindsAge) {
		kinds.Invalidate()
	}
}

// loopbackOnly returns an error for an address that other machines can reach.
func loopbackOnly(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("--address %q is not HOST:PORT", address)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("--address %s can be reached from other machines, which would have your rights; use 127.0.0.1 or ::1", address)
	}
	return nil
}

// serve serves until the context ends.
func serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); ctx.Err() == nil {
		return fmt.Errorf("the page has ended: %w", err)
	}
	return nil
}

// gitAuthor returns the name that the user's commits have, or nothing.
func gitAuthor(ctx context.Context) string {
	name, err := exec.CommandContext(ctx, "git", "config", "user.name").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(name))
}
