package agent

import (
	"context"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"berth.dev/berth/internal/clustertest"
)

// A cluster may be too old, until it is upgraded.
func TestAClusterThatIsTooOld(t *testing.T) {
	f := newFar(t)
	direct := otherCluster(t).RESTConfig()
	transport, err := rest.TransportFor(direct)
	if err != nil {
		t.Fatal(err)
	}
	there, err := url.Parse(direct.Host)
	if err != nil {
		t.Fatal(err)
	}
	upgraded := atomic.Bool{}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(there) }, Transport: transport, FlushInterval: -1}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/version" && !upgraded.Load() {
			_, _ = io.WriteString(w, `{"major": "1", "minor": "30", "gitVersion": "v1.30.2"}`)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		f.agent.stop() // its watches would last
		server.Close()
	})
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	f.keep("staging", &rest.Config{Host: server.URL, BearerToken: direct.BearerToken, TLSClientConfig: rest.TLSClientConfig{CAData: authority}})
	f.branches("one", "f0")
	f.follow(in("staging", "review"))
	f.healthy("main")
	f.eventually("the version is reported", func() bool {
		return f.readyMessageHas("f0", ": Kubernetes v1.30.2 is too old: Berth needs 1.32 or newer; upgrade the cluster")
	})
	if f.object("f0", "", &corev1.Namespace{}) {
		t.Error("something was created there")
	}
	upgraded.Store(true)
	f.healthy("f0")
}

// A cluster that is only busy is there. Its environments say what it answers, and try again.
func TestAClusterThatIsThrottled(t *testing.T) {
	f := newFar(t)
	f.branches("one", "f0")
	f.follow(in("staging", "review"))
	f.healthy("main", "f0")
	f.link.Answer(http.StatusTooManyRequests)
	f.branches("two", "f0")
	f.code.Commit("main", content("two"), "two")
	f.poll()
	f.healthy("main")
	f.eventually("the answer is reported", func() bool {
		return f.readyMessageHas("f0", "the server has received too many requests and has asked us to try again later; it is tried again")
	})
	if f.tells("f0") != "one" {
		t.Errorf("its ConfigMap says %q", f.tells("f0"))
	}
	f.link.Mend()
	f.healthy("f0")
	if f.tells("f0") != "two" {
		t.Errorf("afterwards its ConfigMap says %q", f.tells("f0"))
	}
}

// Kinds that are served in the agent's own cluster may be absent in another one.
func TestAKindThatAnotherClusterLacks(t *testing.T) {
	f := newFar(t)
	group := f.namespace + ".example.com"
	kind := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(strings.ReplaceAll(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.GROUP}
spec:
  group: GROUP
  scope: Namespaced
  names: {kind: Widget, plural: widgets}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
`, "GROUP", group)), &kind.Object); err != nil {
		t.Fatal(err)
	}
	if err := clustertest.Apply(t.Context(), f.cluster.RESTConfig(), kind); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.world.client.Delete(context.Background(), kind) })
	f.branches("one", "f0", "f1")
	f.code.Commit("f0", map[string]string{"infra/k8s/widget.yaml": "apiVersion: " + group + "/v1\nkind: Widget\nmetadata: {name: one}\n"}, "a widget")
	f.follow(in("staging", "review"))
	f.healthy("main", "f1")
	f.eventually("the kind is missing", func() bool {
		return f.readyMessageHas("f0", "the cluster does not know the kind Widget of "+group+"/v1; is its CRD installed")
	})
	f.code.Commit("f0", map[string]string{"infra/k8s/widget.yaml": ""}, "no widget")
	f.poll()
	f.healthy("f0")
}
