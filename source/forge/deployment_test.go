package forge_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"berth.dev/berth/source/forge"
)

// deploys sends states of one deployment.
func deploys(t *testing.T, c *forge.Client, states ...forge.State) forge.Deployment {
	t.Helper()
	d := forge.Deployment{Commit: head, Branch: "side", Environment: "review/side", Link: "https://side.example.com"}
	for _, state := range states {
		d.State, d.Description = state, strings.Repeat("long ", 100)
		var err error
		if d.ID, err = c.SetDeployment(t.Context(), d); err != nil {
			t.Fatalf("%s: %v", state, err)
		}
	}
	return d
}

func TestDeploymentsOfGitHub(t *testing.T) {
	s := serveGitHub(t)
	c := client(t, s.config(forge.Credentials{Token: "ghp_right"}))
	last := deploys(t, c, forge.Pending, forge.Running, forge.Success)
	deploys(t, c, forge.Running, forge.Failed)
	if diff := cmp.Diff([]string{"review/side success https://side.example.com", "review/side failure https://side.example.com"}, s.deployed); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := c.EndDeployment(t.Context(), last); err != nil || s.deployed[0] != "review/side inactive " {
		t.Errorf("after the end: %v (%v)", s.deployed, err)
	}
}

// GitLab records nothing that waits. It creates the environment with the first deployment, and shows its address.
func TestDeploymentsOfGitLab(t *testing.T) {
	s := serveGitLab(t)
	c := s.client(t)
	last := deploys(t, c, forge.Pending, forge.Running, forge.Success)
	if len(s.deployed) != 1 || s.deployed[0].Status != "success" || s.places[0].Link != "https://side.example.com" || s.places[0].Name != "review/side" {
		t.Errorf("deployments %v, environments %v", s.deployed, s.places)
	}
	if writes := strings.Count(strings.Join(s.asked, "\n"), "PUT /environments/"); writes != 1 {
		t.Errorf("the address was set %d times", writes)
	}
	last.State, last.Link = forge.Success, "https://other.example.com"
	if id, err := c.SetDeployment(t.Context(), last); err != nil || id != last.ID || s.places[0].Link != last.Link {
		t.Errorf("with another address: %d, %v (%v)", id, s.places, err)
	}
	for range 2 { // the second time, it is stopped already
		if err := c.EndDeployment(t.Context(), last); err != nil || s.places[0].State != "stopped" {
			t.Errorf("after the end: %v (%v)", s.places, err)
		}
	}
}

// GitLab shows the pods of an environment that a user connected with an agent for Kubernetes, and refuses a namespace without one.
func TestTheNamespaceOfAnEnvironmentOfGitLab(t *testing.T) {
	s := serveGitLab(t)
	c := s.client(t)
	deploy := func(namespace string) {
		t.Helper()
		if _, err := c.SetDeployment(t.Context(), forge.Deployment{Commit: head, Branch: "side", Environment: "review/side", State: forge.Success, Link: "https://side.example.com", Namespace: namespace}); err != nil {
			t.Fatal(err)
		}
	}
	deploy("posts-side")
	if got := s.places[0].Namespace; got != "" {
		t.Errorf("without an agent, the namespace is %q", got)
	}
	s.places[0].Agent = map[string]any{"id": 3}
	for _, namespace := range []string{"posts-side", "posts-side", "posts-side-2"} {
		deploy(namespace)
		if got := s.places[0].Namespace; got != namespace {
			t.Errorf("the namespace is %q, want %q", got, namespace)
		}
	}
	if writes := strings.Count(strings.Join(s.asked, "\n"), "PUT /environments/"); writes != 3 {
		t.Errorf("the environment was written %d times, want one for its address and two for namespaces", writes)
	}
}

// Two branches may have the same name in addresses, such as feature/x and feature-x.
func TestTheEndOfADeploymentToASharedEnvironment(t *testing.T) {
	s := serveGitLab(t)
	c := s.client(t)
	for _, state := range []forge.State{forge.Running, forge.Success} {
		one := deploys(t, c, state)
		one.Shared = true
		if err := c.EndDeployment(t.Context(), one); err != nil || s.places[0].State != "available" {
			t.Errorf("%s: the environment is %s (%v)", state, s.places[0].State, err)
		}
	}
	if s.deployed[0].Status != "canceled" || s.deployed[1].Status != "success" {
		t.Errorf("the deployments are %v", s.deployed)
	}
	if err := c.EndDeployment(t.Context(), forge.Deployment{Environment: "review/side", Shared: true}); err != nil || s.places[0].State != "available" {
		t.Errorf("without an id: %v", err)
	}
}

func TestGiteaHasNoDeployments(t *testing.T) {
	c := client(t, forge.Config{Provider: forge.Gitea, RepositoryURL: "https://git.example.com/acme/posts.git", Credentials: forge.Credentials{Token: "x"}})
	_, err := c.SetDeployment(t.Context(), forge.Deployment{})
	if end := c.EndDeployment(t.Context(), forge.Deployment{}); forge.ReasonOf(err) != forge.Invalid || forge.ReasonOf(end) != forge.Invalid || !strings.Contains(err.Error(), "set spec.feedback.deployments to Never") {
		t.Errorf("%v, %v", err, end)
	}
}
