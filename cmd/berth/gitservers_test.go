package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/deploy"
	"berth.dev/berth/internal/clustertest"
	"berth.dev/berth/internal/gittest"
)

// planted is a password that may appear only in its Secret and at its own Git server.
const planted = "glpat-pl4nted+in/the Secret"

// The agent runs behind a proxy. Its credentials are refused, quoted, redirected and changed.
func TestGitServers(t *testing.T) {
	p, kubeconfig := newPort(t,
		newObject("v1", "Secret", "basic", map[string]any{"stringData": map[string]any{"username": "berth", "password": planted + "\n"}}),
		newObject("v1", "Secret", "bearer", map[string]any{"stringData": map[string]any{"bearerToken": planted}}),
		newObject("v1", "Secret", "ssh", map[string]any{"stringData": map[string]any{"identity": planted, "known_hosts": "git.example ssh-ed25519 AAAA"}}),
	)
	proxy := newProxy(t, p.git)
	_, log := p.start(kubeconfig, "HTTP_PROXY="+proxy.URL, "HTTPS_PROXY="+proxy.URL, "NO_PROXY=direct.invalid")

	t.Run("behind a proxy", func(t *testing.T) {
		p.git.RequireBasic("berth", planted)
		p.git.Repository("proxied").Commit("main", map[string]string{"k8s/a.yaml": "{}"}, "begin")
		p.lists("proxied", "http://git.example/proxied.git", "basic")
		p.says(t, "proxied", "Watching")
		p.lists("direct", "http://direct.invalid/direct.git", "basic")
		p.says(t, "direct", "Unreachable", "direct.invalid")
		p.lists("tls", "https://secure.example/proxied.git", "basic")
		p.says(t, "tls", "Unreachable", "Bad Gateway")
		if got := proxy.hosts(); !slices.Equal(got, []string{"git.example", "secure.example:443"}) {
			t.Errorf("the proxy was asked for %q", got)
		}
	})
	t.Run("a changed Secret is read at once", func(t *testing.T) {
		p.git.RequireBasic("berth", "another")
		p.lists("changing", "http://git.example/proxied.git", "basic")
		p.says(t, "changing", "Unauthorized", "401")
		p.sets("basic", "password", "another")
		p.says(t, "changing", "Watching")
		p.sets("basic", "password", planted)
		p.says(t, "changing", "Unauthorized", "401")
	})
	t.Run("a Secret that is missing, and one that is of no use", func(t *testing.T) {
		p.lists("early", "http://git.example/proxied.git", "late")
		p.says(t, "early", "Unauthorized", "there is no such Secret in the namespace")
		secret := newObject("v1", "Secret", "late", map[string]any{"stringData": map[string]any{"pass": planted}})
		if err := clustertest.Apply(t.Context(), p.cluster.RESTConfig(), secret); err != nil {
			t.Fatal(err)
		}
		p.says(t, "early", "Unauthorized", "none of the entries")
		p.sets("late", "password", "another")
		p.says(t, "early", "Unauthorized", "401")
		p.sets("late", "username", "berth")
		p.says(t, "early", "Watching")
	})
	t.Run("refused", func(t *testing.T) {
		p.lists("refused", "http://git.example/proxied.git", "bearer")
		p.says(t, "refused", "Unauthorized", "401")
		p.lists("no-key", "ssh://git@127.0.0.1/a.git", "ssh")
		p.says(t, "no-key", "Invalid", "known_hosts")
	})
	t.Run("quoted by the server", func(t *testing.T) {
		p.git.AllowAnyone()
		p.git.Misbehave(quotes)
		p.lists("quoted", "http://git.example/proxied.git", "basic")
		p.says(t, "quoted", "Unauthorized", "denied: [redacted]")
	})
	t.Run("redirected", func(t *testing.T) {
		var carried []string
		p.git.Misbehave(func(e *gittest.Exchange) {
			if e.HTTP.Host != "elsewhere.example" {
				gittest.Redirect("http://elsewhere.example")(e)
				return
			}
			carried = append(carried, e.HTTP.Header.Get("Authorization"))
			http.Error(e.Writer, "who are you?", http.StatusUnauthorized)
		})
		p.lists("redirected", "http://git.example/proxied.git", "basic")
		p.says(t, "redirected", "Unauthorized", "where the credentials are not sent")
		p.git.Behave()
		if len(carried) == 0 || strings.Join(carried, "") != "" {
			t.Errorf("the other host got the credentials %q", carried)
		}
	})
	t.Run("redirected to this machine", func(t *testing.T) {
		asked := 0
		inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
		defer inside.Close()
		p.git.Misbehave(gittest.Redirect(inside.URL))
		p.lists("inside", "http://git.example/proxied.git", "basic")
		p.says(t, "inside", "Invalid", "the server redirects to 127.0.0.1, which is nearer to the agent than the server itself")
		if asked > 0 {
			t.Error("it was asked")
		}
	})
	t.Run("nowhere to be seen", func(t *testing.T) {
		all := map[string]string{"log": log.String()}
		for _, kind := range []string{"repositories", "environments"} {
			all[kind] = p.prints(schema.GroupVersionResource{Group: "berth.dev", Version: "v1alpha1", Resource: kind})
		}
		all["events"] = p.prints(schema.GroupVersionResource{Group: "events.k8s.io", Version: "v1", Resource: "events"})
		for where, text := range all {
			for _, form := range []string{planted, url.QueryEscape(planted), url.PathEscape(planted), base64.StdEncoding.EncodeToString([]byte("berth:" + planted))} {
				if strings.Contains(text, form) {
					t.Errorf("%s: %q is in\n%s", where, form, text)
				}
			}
		}
		for where, word := range map[string]string{"log": "serving webhooks", "repositories": "[redacted]", "events": "Unauthorized"} {
			if !strings.Contains(all[where], word) {
				t.Errorf("%s: nothing was looked at: %s", where, all[where])
			}
		}
	})
}

// quotes answers with the credentials that it received.
func quotes(e *gittest.Exchange) {
	_, password, _ := e.HTTP.BasicAuth()
	text := "ERR denied: " + password + " and " + e.HTTP.Header.Get("Authorization")
	e.Writer.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
	fmt.Fprintf(e.Writer, "%04x%s", len(text)+4, text)
}

// proxy forwards all requests to one Git server, whatever host they name.
type proxy struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string
}

func newProxy(t *testing.T, git *gittest.Server) *proxy {
	t.Helper()
	target, err := url.Parse(git.URL())
	if err != nil {
		t.Fatal(err)
	}
	p, pass := &proxy{}, httputil.NewSingleHostReverseProxy(target)
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.asked = append(p.asked, r.URL.Host)
		p.mu.Unlock()
		if r.Method == http.MethodConnect {
			http.Error(w, "there are no tunnels here", http.StatusBadGateway)
			return
		}
		pass.ServeHTTP(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

// hosts returns the requested hosts, each once.
func (p *proxy) hosts() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Compact(slices.Sorted(slices.Values(p.asked)))
}

// lists creates a Repository that is listed once.
func (p *port) lists(name, address, secret string) {
	p.t.Helper()
	object := newObject("berth.dev/v1alpha1", "Repository", name, map[string]any{"spec": map[string]any{
		"url": address, "poll": "@every 24h", "secretRef": map[string]any{"name": secret},
		"environments": []any{map[string]any{"name": "review", "branches": []any{"none/*"}, "path": "k8s", "namespace": name + "-${BRANCH_SLUG}"}},
	}})
	if _, err := p.client.Resource(repositories).Namespace(deploy.Namespace).Create(p.t.Context(), object, metav1.CreateOptions{}); err != nil {
		p.t.Fatal(err)
	}
}

// says waits until a Repository is ready, or not ready, with a reason and a message.
func (p *port) says(t *testing.T, name, reason string, texts ...string) {
	t.Helper()
	last := ""
	defer func() { t.Logf("%s is %s: %s", name, reason, last) }()
	p.await(fmt.Sprintf("%s is %s and says %q", name, reason, texts), func(context.Context) bool {
		conditions, _, _ := unstructured.NestedSlice(p.repository(name).Object, "status", "conditions")
		for _, c := range conditions {
			condition, _ := c.(map[string]any)
			message, _ := condition["message"].(string)
			if condition["type"] != "Ready" || condition["reason"] != reason {
				continue
			}
			last = message
			return !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(message, text) })
		}
		return false
	})
}

// sets changes an entry of a Secret.
func (p *port) sets(secret, entry, value string) {
	p.t.Helper()
	patch, err := json.Marshal(map[string]any{"stringData": map[string]string{entry: value}})
	if err != nil {
		p.t.Fatal(err)
	}
	secrets := schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	if _, err := p.client.Resource(secrets).Namespace(deploy.Namespace).Patch(p.t.Context(), secret, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		p.t.Fatal(err)
	}
}

// prints returns all objects of a kind, as they are stored.
func (p *port) prints(kind schema.GroupVersionResource) string {
	p.t.Helper()
	list, err := p.client.Resource(kind).Namespace(metav1.NamespaceAll).List(p.t.Context(), metav1.ListOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	text, err := json.Marshal(list)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(text)
}
