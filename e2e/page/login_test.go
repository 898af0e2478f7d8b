package page

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes"

	"berth.dev/berth/deploy"
	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/clustertest"
	"berth.dev/berth/internal/issuertest"
	"berth.dev/berth/internal/loopback"
)

// served is the page of an agent that does not lead, with a login at an issuer.
type served struct {
	issuer  *issuertest.Issuer
	agent   *world.Agent
	address string
	rbac    kubernetes.Interface
}

// serves starts a second agent, which serves the page. It has the rights of deploy/components/page, like the first.
func serves(t *testing.T) *served {
	t.Helper()
	s, at := prepares(t), claims(t)
	s.address = "http://" + at
	s.agent = s.replica(t, "page", at)
	return s
}

// prepares returns a page that no agent serves yet, with an issuer, a Secret and the rights that it needs.
func prepares(t *testing.T) *served {
	t.Helper()
	s := &served{issuer: issuertest.New(t)}
	if err := clustertest.Apply(t.Context(), shared.Cluster.RESTConfig(), component(t)...); err != nil {
		t.Fatal(err)
	}
	shared.SetSecret(reporter{t}, "berth-page", map[string]string{"clientSecret": issuertest.ClientSecret})
	var err error
	if s.rbac, err = kubernetes.NewForConfig(shared.Cluster.RESTConfig()); err != nil {
		t.Fatal(err)
	}
	return s
}

// claims returns an address that nothing else uses.
func claims(t *testing.T) string {
	t.Helper()
	address, err := loopback.Claim()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// replica starts an agent that serves the page at an address.
func (s *served) replica(t *testing.T, name, at string) *world.Agent {
	t.Helper()
	agent := shared.Agent.Twin(t.Name()+"-"+name, "--page-address", at, "--page-url", s.address, "--page-issuer", s.issuer.URL, "--page-client-id", issuertest.ClientID)
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = agent.Stop() })
	world.Await(reporter{t}, "the agent serves the page", func() (string, bool) { return agent.Log(""), agent.Log("serving the page") != "" })
	return agent
}

// component returns the roles of the page.
func component(t *testing.T) (objects []*unstructured.Unstructured) {
	t.Helper()
	text, err := os.ReadFile(filepath.FromSlash("../../deploy/components/page/roles.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096); ; {
		object := &unstructured.Unstructured{}
		switch err := decoder.Decode(object); {
		case errors.Is(err, io.EOF):
			return objects
		case err != nil:
			t.Fatal(err)
		}
		objects = append(objects, object)
	}
}

// binds binds a ClusterRole to a user or a group, and returns what takes it away.
func (s *served) binds(t *testing.T, role, namespace, kind, name string) (withdraw func()) {
	t.Helper()
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "page-", Namespace: namespace},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: kind, Name: name}},
	}
	bindings := s.rbac.RbacV1().RoleBindings(namespace)
	made, err := bindings.Create(t.Context(), binding, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	withdraw = func() { _ = bindings.Delete(reporter{t}.Context(), made.Name, metav1.DeleteOptions{}) }
	t.Cleanup(withdraw)
	return withdraw
}

// asks opens a path, and awaits the question of the issuer.
func (p *tab) asks(path string) {
	p.Helper()
	p.goes(path)
	p.awaits("h1", "Who are you?")
}

// Two viewers log in to the page of an agent that does not lead. Each sees and does what RBAC allows that viewer.
func TestThePageInTheClusterHasALogin(t *testing.T) {
	team := begins(t, "login")
	env := team.Environment("main")
	s := serves(t)
	s.issuer.SetUser("ada", map[string]any{"email": "ada@example.com", "email_verified": true, "groups": []string{"ops"}})
	s.issuer.SetUser("eve", map[string]any{"email": "eve@example.com", "email_verified": true, "groups": []string{}})
	s.binds(t, "berth-operator", deploy.Namespace, "Group", "oidc:ops")
	s.binds(t, "view", "login", "User", "oidc:ada@example.com")
	withdraw := s.binds(t, "berth-viewer", deploy.Namespace, "User", "oidc:eve@example.com")

	p := visits(t, s.address)
	p.asks("/env/login.production.main")
	p.clicks("#ada")
	p.awaits(".who", "oidc:ada@example.com", "Log out")
	p.awaits("main", "Healthy", "Deployment", "api", "Wave -1", "Suspend")
	if at := eval[string](p, "location.pathname"); at != "/env/login.production.main" {
		t.Errorf("the login leads to %s", at)
	}
	if err := s.agent.Kill(); err != nil {
		t.Fatal(err)
	}
	p.awaits("#live:not([hidden])", "Connection lost")
	if err := s.agent.Start(); err != nil {
		t.Fatal(err)
	}
	p.awaitsGone("#live:not([hidden])") // with the same login
	p.awaits("main", "Healthy", "Deployment")
	p.goes("/env/login.production.main/logs")
	p.awaits("main", "Download")
	p.goes("/env/login.production.main/diff")
	p.awaits("main", "A diff needs your own rights", "berth diff login.production.main --commit "+team.git.Head("main")[:8])
	p.isAccessible("the diff in the cluster")
	p.goes("/env/login.production.main/do/suspend")
	p.clicks(".decide button")
	p.awaits(".title", "Suspended")
	env.Becomes("Suspended", team.git.Head("main"))
	p.goes("/env/login.production.main/history")
	p.awaits("main", "Requested", "oidc:ada@example.com requested suspend on the page")
	p.goes("/env/login.production.main/do/resume")
	p.clicks(".decide button")
	p.awaits(".title", "Healthy")
	env.Becomes("Healthy", team.git.Head("main"))

	p.goes("/")
	p.clicks(".who button")
	p.awaits("main", "You are logged out")
	p.isAccessible("the logout")
	p.clicks("main .button")
	p.awaits("h1", "Who are you?")
	p.clicks("#eve")
	p.awaits(".who", "oidc:eve@example.com")
	p.awaits("#list", "main", "login / production")
	p.isAccessible("the branches of a viewer")
	p.goes("/env/login.production.main")
	p.awaits("main", "Healthy", "No objects are shown", "because you lack the right", "berth-operator")
	p.goes("/")
	p.awaits("#list", "login / production")
	withdraw()
	p.awaits("main", "Environments are not shown", "berth-viewer")
	p.isSame()
	if saw := p.text("main"); strings.Contains(saw, "login / production") {
		t.Errorf("after that the page shows %q", saw)
	}
}
