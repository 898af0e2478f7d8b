package page

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
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

// A login, a stream and the rows that it announces may each come from another replica.
func TestSeveralReplicasServeOneBrowser(t *testing.T) {
	team := begins(t, "replicas")
	s := prepares(t)
	s.issuer.SetUser("ada", map[string]any{"email": "ada@example.com", "email_verified": true, "groups": []string{"ops"}})
	s.binds(t, "berth-operator", deploy.Namespace, "Group", "oidc:ops")
	one, two := free(t), free(t)
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
