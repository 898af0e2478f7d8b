package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/deploy"
	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/clustertest"
	"berth.dev/berth/internal/loopback"
)

// The login of the pages: this program is the proxy that authenticates.
const (
	pageSecret = "berth-page"
	proxyToken = "what only the proxy knows"
	pageGroup  = "viewers"
)

// page measures what open pages cost an agent that serves them: the time from the webhook of a push to the first write, the
// agent's CPU time for a deployment, and its memory, without and with viewers. Each viewer does what a browser does.
func (b *bench) page() []figure {
	t := b.stand()
	address, end := b.servePage()
	defer end()
	b.awaitHealthy(t)
	at := place{git: b.git, branch: branch(0), namespace: t.name + "-" + branch(0)}
	b.push(0, "page")
	b.reaction(t, at) // the agent has its stores again

	quiet := b.deployments(t, at)
	v := b.openPages(address, "/env/"+t.Environment(at.branch).BecomesWithin(limit, v1alpha1.ReasonHealthy, at.git.Head(at.branch)).Name)
	busy := b.deployments(t, at)
	first, bytes := v.first(b)
	v.close()
	pages := fmt.Sprintf("%d open pages of %d environments, and %d of one of these", b.pages, b.branches, environmentPages)
	return []figure{
		of("webhook to the first write, no open pages", "ms", quiet.took),
		{Name: "the same with " + pages, Unit: "×", Value: median(busy.took) / median(quiet.took), Budget: 2},
		of("CPU of the agent for a deployment, no open pages", "ms", quiet.cpu),
		of("the same with "+pages, "ms", busy.cpu),
		{Name: "memory of the agent, no open pages: anonymous", Unit: "MB", Value: quiet.memory},
		{Name: "the same with " + pages, Unit: "MB", Value: busy.memory},
		of("the page from the request to its last byte, with "+pages, "ms", first).within(200),
		{Name: "the page with all its files, compressed", Unit: "kB", Value: bytes / 1000, Budget: 100},
		{Name: "answers to open pages for a deployment", Value: float64(v.answers.Load()) / float64(len(busy.took))},
	}
}

// servePage replaces the agent by one that serves the page, and returns the page's address.
func (b *bench) servePage() (address string, end func()) {
	at, err := loopback.Claim()
	if err != nil {
		b.t.Fatalf("%v", err)
	}
	b.world.SetSecret(b.t, pageSecret, map[string]string{"proxySecret": proxyToken})
	if err := clustertest.Apply(b.t.Context(), b.world.Cluster.RESTConfig(), pageRights()...); err != nil {
		b.t.Fatalf("%v", err)
	}
	before := b.world.Agent
	if err := before.Stop(); err != nil {
		b.t.Fatalf("%v", err)
	}
	address = "http://" + at
	b.world.Agent = before.Twin("page", "--page-address", at, "--page-url", address, "--page-proxy-user-header", "X-User", "--page-proxy-groups-header", "X-Groups")
	if err := b.world.Agent.Start(); err != nil {
		b.t.Fatalf("%v", err)
	}
	for _, listening := range []string{at, b.hookAddress} {
		world.AwaitFor(b.t, limit, "the agent listens at "+listening, func() (string, bool) {
			connection, err := net.Dial("tcp", listening)
			if err != nil {
				return err.Error(), false
			}
			return "", connection.Close() == nil
		})
	}
	return address, func() {
		if err := b.world.Agent.Stop(); err != nil {
			b.t.Fatalf("%v", err)
		}
		b.world.Agent = before
		if err := before.Start(); err != nil {
			b.t.Fatalf("%v", err)
		}
	}
}

// pageRights are the rights of deploy/components/page that matter here, and a binding for the viewers.
func pageRights() []*unstructured.Unstructured {
	const group = "rbac.authorization.k8s.io"
	role := func(name string, rules ...any) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{"apiVersion": group + "/v1", "kind": "ClusterRole", "metadata": map[string]any{"name": name}, "rules": rules}}
	}
	bind := func(kind, name string, subject map[string]any) *unstructured.Unstructured {
		meta := map[string]any{"name": name}
		if kind == "RoleBinding" {
			meta["namespace"] = deploy.Namespace
		}
		return &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": group + "/v1", "kind": kind, "metadata": meta,
			"roleRef": map[string]any{"apiGroup": group, "kind": "ClusterRole", "name": name}, "subjects": []any{subject},
		}}
	}
	return []*unstructured.Unstructured{
		role("berth-page", map[string]any{"apiGroups": []any{"authorization.k8s.io"}, "resources": []any{"subjectaccessreviews"}, "verbs": []any{"create"}}),
		bind("ClusterRoleBinding", "berth-page", map[string]any{"kind": "ServiceAccount", "name": deploy.ServiceAccount, "namespace": deploy.Namespace}),
		role("berth-viewer", map[string]any{"apiGroups": []any{"berth.dev"}, "resources": []any{"environments", "repositories"}, "verbs": []any{"get", "list", "watch"}}),
		bind("RoleBinding", "berth-viewer", map[string]any{"apiGroup": group, "kind": "Group", "name": "oidc:" + pageGroup}),
		bind("ClusterRoleBinding", "view", map[string]any{"apiGroup": group, "kind": "Group", "name": "oidc:" + pageGroup}),
	}
}

// deployed is the cost of several deployments.
type deployed struct {
	took, cpu []float64
	memory    float64
}

// deployments deploys a commit several times, with a pause for what follows on the pages.
func (b *bench) deployments(t *team, at place) (d deployed) {
	for i := range b.samples {
		before, err := processOf(b.world.Agent.PID())
		if err != nil {
			b.t.Fatalf("cannot read the agent's CPU time: %v", err)
		}
		b.push(0, fmt.Sprintf("page %d at %d", i, time.Now().UnixNano()))
		d.took = append(d.took, milliseconds(b.reaction(t, at)))
		time.Sleep(2 * time.Second)
		after, err := processOf(before.pid)
		if err != nil {
			b.t.Fatalf("cannot read the agent's CPU time: %v", err)
		}
		d.cpu = append(d.cpu, milliseconds(after.own-before.own))
	}
	m, err := memoryOf(b.world.Agent.PID())
	if err != nil {
		b.t.Fatalf("cannot read the agent's memory: %v", err)
	}
	d.memory = m.anonymous
	return d
}

// viewers are open pages.
type viewers struct {
	address string
	end     context.CancelFunc
	ended   sync.WaitGroup
	// answers counts the answers to what changed.
	answers atomic.Int64
}

// environmentPages is how many of the open pages show the environment that is deployed, with its objects.
const environmentPages = 5

// openPages opens lists of branches and pages of one environment, each of another viewer, and returns when all of them follow
// what changes.
func (b *bench) openPages(address, environment string) *viewers {
	ctx, end := context.WithCancel(b.t.Context())
	v := &viewers{address: address, end: end}
	var open sync.WaitGroup
	open.Add(b.pages + environmentPages)
	for i := range b.pages + environmentPages {
		path := "/"
		if i >= b.pages {
			path = environment
		}
		v.ended.Go(func() {
			if err := v.view(ctx, tabOf{fmt.Sprint("viewer-", i), path}, sync.OnceFunc(open.Done)); err != nil && ctx.Err() == nil {
				b.t.Fatalf("a page: %v", err)
			}
		})
	}
	open.Wait()
	return v
}

func (v *viewers) close() {
	v.end()
	v.ended.Wait()
}

// tabOf is what one viewer has open.
type tabOf struct{ user, path string }

// again returns what the tab loads after a change, as page.js does; empty: nothing.
func (t tabOf) again(names []string, whole bool) string {
	switch {
	case t.path == "/" && !whole:
		return "/rows?" + url.Values{"name": names}.Encode()
	case t.path == "/" || whole || slices.Contains(names, strings.TrimPrefix(t.path, "/env/")):
		return t.path
	}
	return ""
}

var (
	shownVersion = regexp.MustCompile(`data-shown="([\w.]+)"`)
	assetPath    = regexp.MustCompile(`/assets/[\w.-]+`)
)

// view opens a page, and loads what changes.
func (v *viewers) view(ctx context.Context, t tabOf, isOpen func()) error {
	user := t.user
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 6}}
	defer client.CloseIdleConnections()
	body, _, err := v.get(ctx, client, user, t.path)
	if err != nil {
		return err
	}
	shown := shownVersion.FindStringSubmatch(body)
	if shown == nil {
		return fmt.Errorf("it is no page: %.300s", body)
	}
	stream, err := v.request(ctx, client, user, "/live?shown="+shown[1])
	if err != nil {
		return err
	}
	defer stream.Body.Close()
	lines := bufio.NewScanner(stream.Body)
	for lines.Scan() {
		isOpen()
		text, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var update struct {
			Names []string `json:"names"`
			Whole bool     `json:"whole"`
		}
		if err := json.Unmarshal([]byte(text), &update); err != nil {
			return err
		}
		path := t.again(update.Names, update.Whole)
		if path == "" {
			continue
		}
		if _, _, err := v.get(ctx, client, user, path); err != nil {
			return err
		}
		v.answers.Add(1)
	}
	return lines.Err()
}

// first returns how long a new viewer waits for the page, and how many bytes the page has with its files.
func (v *viewers) first(b *bench) (took []float64, bytes float64) {
	for i := range b.samples {
		client := &http.Client{Transport: &http.Transport{}}
		began := time.Now()
		body, size, err := v.get(b.t.Context(), client, fmt.Sprint("new-", i), "/")
		if err != nil {
			b.t.Fatalf("a page: %v", err)
		}
		took = append(took, milliseconds(time.Since(began)))
		bytes = float64(size)
		files := slices.Compact(slices.Sorted(slices.Values(assetPath.FindAllString(body, -1))))
		for _, file := range files {
			_, size, err := v.get(b.t.Context(), client, "new", file)
			if err != nil {
				b.t.Fatalf("a page: %v", err)
			}
			bytes += float64(size)
		}
		client.CloseIdleConnections()
	}
	return took, bytes
}

// get returns the text of an address, and its compressed size.
func (v *viewers) get(ctx context.Context, client *http.Client, user, path string) (body string, size int, err error) {
	answer, err := v.request(ctx, client, user, path)
	if err != nil {
		return "", 0, err
	}
	defer answer.Body.Close()
	packed, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", 0, err
	}
	if answer.StatusCode != http.StatusOK {
		return "", 0, fmt.Errorf("%s is answered with %s", path, answer.Status)
	}
	if answer.Header.Get("Content-Encoding") != "gzip" {
		return string(packed), len(packed), nil
	}
	unpacked, err := gzip.NewReader(strings.NewReader(string(packed)))
	if err != nil {
		return "", 0, err
	}
	text, err := io.ReadAll(unpacked)
	return string(text), len(packed), err
}

func (v *viewers) request(ctx context.Context, client *http.Client, user, path string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, v.address+path, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept-Encoding", "gzip")
	r.Header.Set("X-User", user)
	r.Header.Set("X-Groups", pageGroup)
	r.Header.Set("X-Berth-Proxy-Secret", proxyToken)
	return client.Do(r)
}
