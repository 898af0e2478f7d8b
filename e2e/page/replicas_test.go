package page

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"berth.dev/berth/deploy"
)

// alternates sends each request to another one of some servers, as a Service does with new connections.
func alternates(t *testing.T, servers ...string) *httptest.Server {
	t.Helper()
	var next atomic.Int64
	return httptest.NewServer(&httputil.ReverseProxy{
		FlushInterval: -1, // event streams
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: servers[next.Add(1)%int64(len(servers))]})
			r.Out.Host = r.In.Host
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }, // a browser that leaves
	})
}

// front is a proxy between a browser and the page. It can lose the server, and then answers itself.
type front struct {
	fails  atomic.Bool
	failed atomic.Int64
}

// inFrontOf lets a tab reach its page through a proxy.
func inFrontOf(t *testing.T, p *tab) *front {
	t.Helper()
	f, host := &front{}, strings.TrimPrefix(p.address, "http://")
	pass := &httputil.ReverseProxy{
		FlushInterval: -1, // event streams
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: host}) },
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.fails.Load() {
			f.failed.Add(1)
			http.Error(w, "<h1>502 Bad Gateway</h1>", http.StatusBadGateway)
			return
		}
		pass.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	p.address = server.URL
	return f
}

// A login, a stream and the rows that it announces may each come from another replica.
func TestSeveralReplicasServeOneBrowser(t *testing.T) {
	team := begins(t, "replicas")
	s := prepares(t)
	s.issuer.SetUser("ada", map[string]any{"email": "ada@example.com", "email_verified": true, "groups": []string{"ops"}})
	s.binds(t, "berth-operator", deploy.Namespace, "Group", "oidc:ops")
	one, two := claims(t), claims(t)
	service := alternates(t, one, two)
	t.Cleanup(service.Close)
	s.address = service.URL
	s.replica(t, "one", one)
	s.replica(t, "two", two)

	p := visits(t, s.address)
	p.asks("/")
	p.clicks("#ada")
	p.awaits("#list", "replicas / production", "Begin with an API")
	eval[bool](p, "window.marked = true")
	for _, message := range []string{"A second version", "A third version", "A fourth version"} {
		commit := team.git.Commit("main", map[string]string{"k8s/api.yaml": deployment("api", "labels: {app: NAME, v: "+message[2:5]+"}")}, message)
		team.Environment("main").Becomes("Healthy", commit)
		p.awaits(rowOf("replicas.production.main"), "Healthy", commit[:8], message)
	}
	p.isSame()
	p.goes("/env/replicas.production.main/do/suspend")
	p.clicks(".decide button")
	p.awaits("main", "Suspended", "Suspend: done")
}
