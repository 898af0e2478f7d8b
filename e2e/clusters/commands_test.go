package clusters

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"berth.dev/berth/e2e/world"
	connections "berth.dev/berth/reconciler/remote"
)

// person runs commands with a kubeconfig that has the contexts east and west.
type person struct {
	t          *testing.T
	kubeconfig string
	east, west kubernetes.Interface
}

func newPerson(t *testing.T) *person {
	t.Helper()
	all := api.NewConfig()
	for name, w := range map[string]*world.World{"east": east, "west": west} {
		config := w.Cluster.RESTConfig()
		all.Clusters[name] = &api.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData}
		all.AuthInfos[name] = &api.AuthInfo{Token: config.BearerToken}
		all.Contexts[name] = &api.Context{Cluster: name, AuthInfo: name}
	}
	all.CurrentContext = "east"
	p := &person{t: t, kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")}
	succeed(t, clientcmd.WriteToFile(*all, p.kubeconfig))
	p.east, p.west = kubernetes.NewForConfigOrDie(east.Cluster.RESTConfig()), kubernetes.NewForConfigOrDie(west.Cluster.RESTConfig())
	return p
}

// berth runs a command, and returns what it prints and its exit code.
func (p *person) berth(line string) (text string, code int) {
	p.t.Helper()
	command := exec.CommandContext(p.t.Context(), binary, strings.Fields(line)...)
	command.Env = append(command.Environ(), "KUBECONFIG="+p.kubeconfig)
	out, err := command.CombinedOutput()
	if command.ProcessState == nil {
		p.t.Fatal(err)
	}
	p.t.Logf("berth %s\n%s", line, out)
	return string(out), command.ProcessState.ExitCode()
}

// does runs a command that must succeed.
func (p *person) does(line string) string {
	p.t.Helper()
	text, code := p.berth(line)
	if code != 0 {
		p.t.Fatalf("berth %s: exit code %d", line, code)
	}
	return text
}

// agent returns a client with the credentials of a cluster's Secret.
func (p *person) agent(name string) kubernetes.Interface {
	p.t.Helper()
	secret, err := p.east.CoreV1().Secrets("berth").Get(p.t.Context(), name, metav1.GetOptions{})
	succeed(p.t, err)
	config, err := connections.Parse(secret)
	succeed(p.t, err)
	return kubernetes.NewForConfigOrDie(config.REST)
}

// ends waits until the API server does not accept the credentials any more. It accepts a token that has ended for some seconds.
func (p *person) ends(agent kubernetes.Interface) {
	p.t.Helper()
	world.Await(p.t, "the token has ended", func() (string, bool) {
		_, err := connections.Identity(p.t.Context(), agent.CoreV1())
		return fmt.Sprint(err), apierrors.IsUnauthorized(err)
	})
}

func TestAClusterIsAddedAndRemoved(t *testing.T) {
	p := newPerson(t)
	const add = "cluster add far --context west --cluster-namespace berth-far"
	if out, code := p.berth("cluster add far --context west"); code != 3 || !strings.Contains(out, "an agent of its own runs there, and would share its account; choose another namespace for the account: --cluster-namespace NAMESPACE") {
		t.Errorf("adding a cluster with an agent of its own ends with %d: %s", code, out)
	}
	p.does(add)
	first := p.agent("far")
	identity, err := connections.Identity(t.Context(), first.CoreV1())
	succeed(t, err)
	if real, err := connections.Identity(t.Context(), p.west.CoreV1()); err != nil || identity != real {
		t.Errorf("the agent reaches %s, want %s, %v", identity, real, err)
	}
	// The account may not read Secrets, not even in its own namespace.
	for _, namespace := range []string{"berth-far", "berth", metav1.NamespaceAll} {
		if _, err := first.CoreV1().Secrets(namespace).List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
			t.Errorf("the account lists the Secrets of %q: %v", namespace, err)
		}
	}
	if out, _ := p.berth("check"); !strings.Contains(out, "the agent's account may do all that it needs") {
		t.Error("berth check does not say that the account has its rights")
	}

	// Again: the token is replaced, the earlier one ends, and nothing else changes.
	if out := p.does(add); strings.Contains(out, "Role") || !strings.Contains(out, "west: ended the earlier tokens of ServiceAccount/berth-far/berth") {
		t.Errorf("adding it again says\n%s", out)
	}
	p.ends(first)
	// The other agent keeps what it shares with the account.
	roles := dynamic.NewForConfigOrDie(west.Cluster.RESTConfig()).Resource(rbacv1.SchemeGroupVersion.WithResource("clusterroles"))
	role, err := roles.Get(t.Context(), "berth-agent", metav1.GetOptions{})
	succeed(t, err)
	rules, _, _ := unstructured.NestedSlice(role.Object, "rules")
	older := &unstructured.Unstructured{Object: map[string]any{"apiVersion": role.GetAPIVersion(), "kind": role.GetKind(), "rules": append(rules[:len(rules)-2:len(rules)-2], rules[len(rules)-1])}}
	older.SetName(role.GetName())
	_, err = roles.Apply(t.Context(), role.GetName(), older, metav1.ApplyOptions{FieldManager: "helm", Force: true})
	succeed(t, err)
	if out := p.does(add + " --dry-run"); !strings.Contains(out, "ClusterRole/berth-agent, which the agents in berth share; to overwrite it: --force-conflicts") {
		t.Errorf("a role of another version is not kept:\n%s", out)
	}
	p.does(add + " --force-conflicts")
	second := p.agent("far")
	if out := p.does(add + " --expires 0"); !strings.Contains(out, "The token ends when it is replaced or removed.") {
		t.Errorf("a token without an end is described as\n%s", out)
	}
	p.ends(second)
	last := p.agent("far")
	if _, err := connections.Identity(t.Context(), last.CoreV1()); err != nil {
		t.Errorf("the token without an end does not work: %v", err)
	}

	// Removed, the account is gone, and the agent of the other cluster keeps what it needs.
	p.does("cluster remove far --context west --yes")
	p.ends(last)
	if _, err := p.west.CoreV1().Namespaces().Get(t.Context(), "berth-far", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the namespace of the account is there: %v", err)
	}
	bindings, err := p.west.RbacV1().ClusterRoleBindings().List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/part-of=berth"})
	succeed(t, err)
	for _, binding := range bindings.Items {
		if strings.HasSuffix(binding.Name, "-berth-far") {
			t.Errorf("ClusterRoleBinding/%s is there", binding.Name)
		}
	}
	for _, role := range []string{"berth-agent", "berth-agent-watch", "berth-environment"} {
		if _, err := p.west.RbacV1().ClusterRoles().Get(t.Context(), role, metav1.GetOptions{}); err != nil {
			t.Errorf("the agent of the other cluster lost ClusterRole/%s: %v", role, err)
		}
	}
	if out := p.does("cluster"); !strings.Contains(out, "reaches no other cluster") {
		t.Errorf("after the removal, berth cluster says\n%s", out)
	}
	if out := p.does("cluster remove far --context west --yes"); !strings.Contains(out, "there is nothing to remove") {
		t.Errorf("removing it again says\n%s", out)
	}
}
