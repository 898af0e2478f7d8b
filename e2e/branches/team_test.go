package branches

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/gittest"
)

const hookToken = "a-secret-of-both"

var (
	configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	namespaces = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
)

// A team has a Git repository, and Berth follows all of its branches.
type team struct {
	*world.Repository
	t      *testing.T
	server *gittest.Server
	git    *gittest.Repository
	// branches are the existing branches.
	branches map[string]branch
	writes   int // makes every written value unique
}

// A branch is the state of a branch in Git.
type branch struct {
	commit string
	// values are the values of its ConfigMaps, by name.
	values map[string]string
}

// begins starts a team with a branch main, which the test never deletes.
func begins(t *testing.T, name, poll string) *team {
	t.Helper()
	server := gittest.NewServer(t)
	team := &team{t: t, server: server, git: server.Repository(name), branches: map[string]branch{}}
	team.pushes("main")
	shared.SetSecret(t, name+"-hook", map[string]string{"token": hookToken})
	repository := &v1alpha1.Repository{Spec: v1alpha1.RepositorySpec{
		URL: team.git.URL(), Poll: poll, GoneAfter: metav1.Duration{Duration: time.Second},
		Limits:  v1alpha1.Limits{FetchTimeout: metav1.Duration{Duration: time.Second}},
		Webhook: &v1alpha1.Webhook{SecretRef: v1alpha1.SecretReference{Name: name + "-hook"}},
		Environments: []v1alpha1.Entry{{
			Name: "review", Branches: []v1alpha1.BranchPattern{"**"}, Path: "k8s", Namespace: name + "-${BRANCH_SLUG}",
		}},
	}}
	repository.Name = name
	team.Repository = shared.Follow(reporter{t}, repository)
	t.Cleanup(func() {
		if t.Failed() {
			team.Explain()
		}
	})
	return team
}

// pushes writes new values to a branch, and creates it if it is new.
func (team *team) pushes(name string) {
	team.t.Helper()
	team.changes(name, func(values map[string]string) { values["settings"] = team.unique() })
}

// changes pushes other ConfigMaps to a branch.
func (team *team) changes(name string, change func(values map[string]string)) {
	team.t.Helper()
	before := team.branches[name].values
	values := maps.Clone(before)
	if values == nil {
		values = map[string]string{}
	}
	change(values)
	var changes []gittest.Change
	for name, value := range values {
		changes = append(changes, gittest.Write("k8s/"+name+".yaml", configMap(name, value)))
	}
	for name := range before {
		if _, stays := values[name]; !stays {
			changes = append(changes, gittest.Remove("k8s/"+name+".yaml"))
		}
	}
	team.branches[name] = branch{commit: team.git.Change(name, "push", changes...), values: values}
}

func configMap(name, value string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {branch: \"${BRANCH}\", value: %s}\n", name, value)
}

func (team *team) unique() string {
	team.writes++
	return fmt.Sprintf("v%d", team.writes)
}

func (team *team) deletes(name string) {
	team.t.Helper()
	team.git.Delete(name)
	delete(team.branches, name)
}

// hook notifies the agent of a push, as GitLab does.
func (team *team) hook() {
	team.t.Helper()
	request, err := http.NewRequestWithContext(team.t.Context(), http.MethodPost, "http://"+hooks+"/hooks/"+team.Name, strings.NewReader(`{"object_kind":"push"}`))
	if err != nil {
		team.t.Fatal(err)
	}
	request.Header.Set("X-Gitlab-Event", "Push Hook")
	request.Header.Set("X-Gitlab-Token", hookToken)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		team.t.Fatalf("cannot deliver a webhook: %v", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusAccepted {
		team.t.Fatalf("a webhook was answered with %s", answer.Status)
	}
}

// want returns a line for each thing that Git asks for, without the names of namespaces.
func (team *team) want() []string {
	var lines []string
	for name, branch := range team.branches {
		lines = append(lines, fmt.Sprintf("%s: %s at %s", name, v1alpha1.ReasonHealthy, branch.commit))
		for object, value := range branch.values {
			lines = append(lines, fmt.Sprintf("%s: %s with %s of %s", name, object, value, name))
		}
	}
	slices.Sort(lines)
	return lines
}

// got returns a line for each existing thing: environments, the content of their namespaces, and namespaces without an
// environment.
func (team *team) got() []string {
	team.t.Helper()
	var lines []string
	owners := map[string]string{}
	for _, e := range team.Environments() {
		owners[e.Spec.Namespace] = e.Spec.Branch
		at := e.Spec.Commit
		if e.Status.HealthyCommit != at || e.Status.AppliedCommit != at {
			at += " which does not run yet"
		}
		lines = append(lines, fmt.Sprintf("%s: %s at %s", e.Spec.Branch, world.Ready(e).Reason, at))
	}
	for _, o := range team.list(configMaps) {
		if strings.HasPrefix(o.GetNamespace(), team.Name+"-") {
			value, _, _ := unstructured.NestedString(o.Object, "data", "value")
			of, _, _ := unstructured.NestedString(o.Object, "data", "branch")
			lines = append(lines, fmt.Sprintf("%s: %s with %s of %s", owners[o.GetNamespace()], o.GetName(), value, of))
		}
	}
	for _, o := range team.list(namespaces) {
		if _, owned := owners[o.GetName()]; !owned && strings.HasPrefix(o.GetName(), team.Name+"-") {
			lines = append(lines, "a namespace without an environment: "+o.GetName())
		}
	}
	slices.Sort(lines)
	return lines
}

func (team *team) list(resource schema.GroupVersionResource) []unstructured.Unstructured {
	team.t.Helper()
	list, err := client.Resource(resource).List(context.Background(), metav1.ListOptions{LabelSelector: "berth.dev/environment"})
	if err != nil {
		team.t.Fatalf("cannot look at the %s: %v", resource.Resource, err)
	}
	return list.Items
}

// settles waits until the cluster has exactly what Git says.
func (team *team) settles() {
	team.t.Helper()
	want := team.want()
	world.Await(team.t, "the cluster has exactly what Git says", func() (string, bool) {
		got := team.got()
		return difference(got, want), slices.Equal(got, want)
	})
}

// difference lists what is unexpected, and what is missing.
func difference(got, want []string) string {
	var text strings.Builder
	for _, line := range got {
		if !slices.Contains(want, line) {
			fmt.Fprintf(&text, "\n+ %s", line)
		}
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			fmt.Fprintf(&text, "\n- %s", line)
		}
	}
	return text.String()
}

// deletions returns the agent's delete requests since a time.
func (team *team) deletions(began time.Time) (lines []string) {
	team.t.Helper()
	traffic, err := shared.Since(began, team.server)
	if err != nil {
		team.t.Fatal(err)
	}
	for _, r := range traffic.API {
		if strings.HasPrefix(r.Verb, "delete") && (strings.HasPrefix(r.Namespace, team.Name) || strings.HasPrefix(r.Name, team.Name)) {
			lines = append(lines, r.Verb+" "+r.Resource+" "+r.Namespace+"/"+r.Name)
		}
	}
	return lines
}

// polled waits until the server has answered the given number of further polls.
func (team *team) polled(times int) {
	team.t.Helper()
	began := team.server.Count()
	world.Await(team.t, "it is asked several times more", func() (string, bool) {
		return fmt.Sprint(team.server.Count() - began), team.server.Count() >= began+times
	})
}

// reporter is a test whose context lasts until its cleanup has finished.
type reporter struct{ *testing.T }

func (reporter) Context() context.Context { return context.Background() }
