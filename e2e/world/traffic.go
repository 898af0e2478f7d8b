package world

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"berth.dev/berth/deploy"
	"berth.dev/berth/internal/clustertest"
	"berth.dev/berth/internal/gittest"
)

// account is the agent's user name at the API server.
const account = "system:serviceaccount:" + deploy.Namespace + ":" + deploy.ServiceAccount

// writing are the verbs that change objects.
var writing = []string{"create", "update", "patch", "delete", "deletecollection"}

// Traffic holds the agent's requests.
type Traffic struct {
	// API holds the requests to the API server, without the renewals of leases and watches.
	API []clustertest.Request
	// Git holds all requests to a Git server.
	Git []gittest.Request
}

// Since returns the agent's requests since a time.
func (w *World) Since(began time.Time, server *gittest.Server) (Traffic, error) {
	all, err := w.Cluster.Requests(began)
	if err != nil {
		return Traffic{}, err
	}
	api := slices.DeleteFunc(all, func(r clustertest.Request) bool {
		return r.User != account || r.Resource == "leases" || r.Verb == "watch"
	})
	git := slices.DeleteFunc(server.Requests(), func(r gittest.Request) bool { return r.Time.Before(began) })
	return Traffic{API: api, Git: git}, nil
}

// Watch waits for a time, and returns the agent's requests during it.
func (w *World) Watch(ctx context.Context, during time.Duration, server *gittest.Server) (Traffic, error) {
	began := time.Now()
	timer := time.NewTimer(during)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return Traffic{}, ctx.Err()
	case <-timer.C:
	}
	return w.Since(began, server)
}

// Writes returns the changes in the namespace of that name and in those whose name begins with it and a dash, sorted, one
// line each, such as "patch deployments/api".
func (t Traffic) Writes(namespace string) []string {
	lines := t.WritesInOrder(namespace)
	slices.Sort(lines)
	return lines
}

// WritesInOrder is Writes in the order in which the API server received them.
func (t Traffic) WritesInOrder(namespace string) []string {
	return t.lines(func(r clustertest.Request) bool {
		changed := r.Status < http.StatusMultipleChoices && !strings.Contains(r.URI, "dryRun=")
		return changed && (r.Namespace == namespace || strings.HasPrefix(r.Namespace, namespace+"-"))
	})
}

// Attempts returns all requests with a writing verb, including refused ones and dry runs.
func (t Traffic) Attempts() []string {
	lines := t.lines(func(clustertest.Request) bool { return true })
	slices.Sort(lines)
	return lines
}

func (t Traffic) lines(wanted func(clustertest.Request) bool) []string {
	requests := slices.Clone(t.API)
	slices.SortStableFunc(requests, func(a, b clustertest.Request) int { return a.Received.Compare(b.Received) })
	var lines []string
	for _, r := range requests {
		if slices.Contains(writing, r.Verb) && wanted(r) {
			lines = append(lines, line(r))
		}
	}
	return lines
}

// CountGit counts the requests of a kind to the Git server.
func (t Traffic) CountGit(kind gittest.Kind) (count int) {
	for _, r := range t.Git {
		if r.Kind == kind {
			count++
		}
	}
	return count
}

// String lists the requests to the API server, one per line.
func (t Traffic) String() string {
	var lines []string
	for _, r := range t.API {
		lines = append(lines, fmt.Sprintf("%s %s %s -> %d", r.Received.Format("15:04:05.000"), r.Namespace, line(r), r.Status))
	}
	return strings.Join(lines, "\n")
}

func line(r clustertest.Request) string {
	resource := r.Resource
	if r.Subresource != "" {
		resource += "." + r.Subresource
	}
	return r.Verb + " " + resource + "/" + r.Name
}
