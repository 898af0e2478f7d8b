package installation

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/deploy"
)

// The whole life: installed, refused to those without rights, uninstalled beside another installation.
func TestInstallAndUninstall(t *testing.T) {
	p := newPlace(t)
	expect(p, p.must("install", "--dry-run"), "create      Namespace/berth")
	if left := p.traces(); len(left) > 0 {
		t.Fatalf("a dry run left %q", left)
	}
	production, login, search := p.runs(binary)
	expect(p, p.must("install", "--image", "registry.example.com/berth:1"), "the agent is ready", "berth check")
	expect(p, p.must("install"), "are installed already") // with the same image
	p.must("install", "-n", "other")
	before := p.running(production.Namespace())

	weak, err := p.cluster.KubeconfigFor(t.Context(), deploy.Namespace, deploy.ServiceAccount)
	if err != nil {
		t.Fatal(err)
	}
	for _, refused := range [][]string{{"install"}, {"uninstall", "--yes"}} {
		output, code := p.berthAs(weak, refused...)
		if expect(p, output, "the rights of a cluster administrator"); code != 3 {
			t.Errorf("berth %q without rights ended with %d", refused, code)
		}
	}
	output, code := p.berth("uninstall")
	if expect(p, output, "add --yes", login.Namespace(), "Another installation in other stays"); code != 2 {
		t.Errorf("without --yes it ended with %d", code)
	}
	expect(p, p.must("uninstall", "--dry-run"), "It deletes 2 environments", "posts.production.main (namespace "+p.production+")")

	expect(p, p.must("uninstall", "--yes"), "Berth is removed")
	for _, preview := range []string{login.Namespace(), search.Namespace()} {
		if p.exists(namespaces, "", preview) {
			t.Errorf("the preview in %s remains", preview)
		}
	}
	if p.running(p.production) != before {
		t.Errorf("production changed: %+v, want %+v", p.running(p.production), before)
	}
	p.released(p.production)
	if left := strings.Join(p.traces(), " "); !strings.Contains(left, "clusterroles/berth-agent ") || !strings.Contains(left, "clusterrolebindings/berth-agent-other") || strings.Contains(left, "clusterrolebindings/berth-agent ") {
		t.Errorf("beside another installation, these remain: %s", left)
	}
	output, code = p.berth("uninstall", "--yes")
	if expect(p, output, "the namespace berth has no installation of Berth, but other has; run berth uninstall -n other"); code != 3 {
		t.Errorf("it ended with %d", code)
	}
	p.shares("other")
	p.must("uninstall", "-n", "other", "--yes")
	if !p.exists(namespaces, "", "other") || p.exists(configMaps, "other", "berth-dashboard") || p.exists(deployments, "other", "berth") || !p.exists(secrets, "other", "posts-keys") {
		t.Error("of a namespace that is not Berth's alone, not exactly Berth's objects are gone")
	}
	if left := p.traces(); len(left) > 0 {
		t.Errorf("these remain: %q", left)
	}
	expect(p, p.must("uninstall"), "nothing to remove")
}

// shares makes a namespace one that was not created for Berth, with a component of the installation and a user's Secret.
func (p *place) shares(namespace string) {
	p.Helper()
	if _, err := p.client.Resource(namespaces).Patch(p.Context(), namespace, types.MergePatchType, []byte(`{"metadata":{"labels":{"app.kubernetes.io/part-of":null}}}`), metav1.PatchOptions{}); err != nil {
		p.Fatal(err)
	}
	for kind, name := range map[string]string{"ConfigMap": "berth-dashboard", "Secret": "posts-keys"} {
		err := p.apply(kind, "v1", name, map[string]any{"metadata": map[string]any{"namespace": namespace, "labels": map[string]any{"app.kubernetes.io/part-of": "berth"}}})
		if err != nil {
			p.Fatal(err)
		}
	}
}

// With --keep everything keeps running, whenever the command is interrupted and started again.
func TestUninstallKeepsApplications(t *testing.T) {
	p := newPlace(t)
	production, login, _ := p.runs(binary)
	before := []any{p.running(production.Namespace()), p.running(login.Namespace())}
	for after := 50 * time.Millisecond; after < 2*time.Second; after *= 2 {
		p.interrupted(after, "uninstall", "--keep", "--yes")
	}
	p.must("uninstall", "--keep", "--yes")
	if left := p.traces(); len(left) > 0 {
		t.Errorf("these remain: %q", left)
	}
	if after := []any{p.running(production.Namespace()), p.running(login.Namespace())}; after[0] != before[0] || after[1] != before[1] {
		t.Errorf("the applications changed: %+v, want %+v", after, before)
	}
	p.released(production.Namespace())
	p.released(login.Namespace())
}

// Without an agent, nothing removes its finalizers but the command.
func TestUninstallWithoutAnAgent(t *testing.T) {
	p := newPlace(t)
	production, login, _ := p.runs(binary)
	before := p.running(production.Namespace())
	p.stop()
	output := p.must("uninstall", "--yes")
	expect(p, output, "removed its finalizer, because no agent will do so")
	if left := p.traces(); len(left) > 0 {
		t.Errorf("these remain: %q", left)
	}
	if p.exists(namespaces, "", login.Namespace()) {
		t.Errorf("the preview in %s remains", login.Namespace())
	}
	if p.running(p.production) != before {
		t.Error("production changed")
	}
	p.released(p.production)
}

// Without an agent and its id, nothing proves what Berth created. So nothing is deleted, and everything is released.
func TestUninstallAfterTheIDIsLost(t *testing.T) {
	p := newPlace(t)
	production, login, _ := p.runs(binary)
	p.stop()
	if err := p.client.Resource(secrets).Namespace(deploy.Namespace).Delete(p.Context(), "berth-installation", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	expect(p, p.must("uninstall", "--dry-run"), "No environment is deleted, because no agent runs and the Secret berth-installation is missing", "These keep running")
	p.must("uninstall", "--yes")
	if left := p.traces(); len(left) > 0 {
		t.Errorf("these remain: %q", left)
	}
	p.released(production.Namespace())
	p.released(login.Namespace())
}

// A namespace may belong to another application.
func TestForeignNamespaces(t *testing.T) {
	p := newPlace(t)
	if err := p.apply("Namespace", "v1", "foreign", nil); err != nil {
		t.Fatal(err)
	}
	output, code := p.berth("install", "-n", "foreign")
	if expect(p, output, "it exists, and is not Berth's", "kubectl label namespace foreign app.kubernetes.io/part-of=berth"); code != 3 {
		t.Errorf("it ended with %d", code)
	}
	expect(p, p.must("uninstall", "-n", "foreign", "--yes"), "nothing to remove")
	if left := p.traces(); len(left) > 0 || !p.exists(namespaces, "", "foreign") {
		t.Errorf("these remain: %q, want the namespace alone", left)
	}
}

// A user can label an existing namespace for Berth. What else it holds is not Berth's.
func TestUninstallKeepsANamespaceThatOthersUse(t *testing.T) {
	p := newPlace(t)
	p.must("install", "--image", "registry.example.com/berth:1")
	if err := p.apply("ConfigMap", "v1", "shop", map[string]any{"metadata": map[string]any{"namespace": deploy.Namespace}}); err != nil {
		t.Fatal(err)
	}
	plan := "The namespace berth stays, because it holds objects that are not Berth's: ConfigMap/shop; only Berth's objects in it are deleted"
	expect(p, p.must("uninstall", "--dry-run"), plan)
	output, _ := p.berth("uninstall")
	expect(p, output, "add --yes", plan)
	expect(p, p.must("uninstall", "--yes"), "Berth is removed from the namespace berth. The namespace stays, because it holds objects that are not Berth's: ConfigMap/shop")
	if !p.exists(configMaps, deploy.Namespace, "shop") || p.exists(deployments, deploy.Namespace, "berth") {
		t.Error("not exactly Berth's objects are gone")
	}
	if left := p.traces(); len(left) != 1 {
		t.Errorf("these remain: %q, want the namespace alone", left)
	}
	expect(p, p.must("uninstall", "--yes"), "nothing to remove")
	if err := p.client.Resource(configMaps).Namespace(deploy.Namespace).Delete(p.Context(), "shop", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := p.client.Resource(namespaces).Delete(p.Context(), deploy.Namespace, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	p.awaitGone(namespaces, deploy.Namespace)
}
