package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"berth.dev/berth/deploy"
	"berth.dev/berth/internal/clustertest"
)

// The scripts are in testdata/acting. Users act on environments of a real agent, which has the rights of its
// ServiceAccount. Applied objects roll out in this cluster. The agent polls once an hour, so that only the commands
// cause changes. Besides the commands of testscript, and `exits CODE COMMAND...`, there are:
//
//	push BRANCH DIR  commits the files of a folder, in place of all there were, and sets $COMMIT, $SHORT and $URL
//	drop BRANCH      deletes a branch
//	follow [ENTRY [SPEC]]  has Berth follow the repository of the script, $REPO: main in the namespace $REPO, and a
//	                 preview of every other branch; the entries and the spec have the fields of the files besides
//	secret NAME ENTRY FILE  makes a Secret in Berth's namespace
//	edit RESOURCE/NAME MANAGER FILE  changes an object in the namespace $REPO by a JSON patch, as another client
//	role NAME        from here on the rights of an account that has a role of people in Berth's namespace
func TestActing(t *testing.T) {
	p, kubeconfig := newPort(t)
	p.replica(kubeconfig)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/acting",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("KUBECONFIG", p.cluster.Kubeconfig())
			posts, err := filepath.Abs(example)
			env.Setenv("EXAMPLE", posts)
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":  exits,
			"push":   p.push,
			"drop":   p.drop,
			"follow": p.followScript,
			"edit":   p.edit,
			"role":   p.role,
			"secret": p.secret,
		},
	})
}

func (p *port) push(ts *testscript.TestScript, _ bool, args []string) {
	repository := p.git.Repository(ts.Getenv("REPO"))
	commit := repository.CommitFS(args[0], os.DirFS(ts.MkAbs(args[1])), "push "+args[1])
	ts.Setenv("URL", repository.URL())
	ts.Setenv("COMMIT", commit)
	ts.Setenv("SHORT", commit[:8])
}

func (p *port) drop(ts *testscript.TestScript, _ bool, args []string) {
	p.git.Repository(ts.Getenv("REPO")).Delete(args[0])
}

func (p *port) followScript(ts *testscript.TestScript, _ bool, args []string) {
	name := ts.Getenv("REPO")
	production := map[string]any{"name": "production", "branches": []any{"main"}, "path": "k8s", "namespace": name}
	review := map[string]any{"name": "review", "branches": []any{"**", "!main"}, "path": "k8s", "namespace": name + "-${BRANCH_SLUG}"}
	if len(args) > 0 {
		for _, entry := range []map[string]any{production, review} {
			ts.Check(yaml.Unmarshal([]byte(ts.ReadFile(args[0])), &entry))
		}
	}
	spec := map[string]any{"url": p.git.Repository(name).URL(), "poll": "@every 1h", "environments": []any{production, review}}
	if len(args) > 1 {
		ts.Check(yaml.Unmarshal([]byte(ts.ReadFile(args[1])), &spec))
	}
	object := newObject("berth.dev/v1alpha1", "Repository", name, map[string]any{"spec": spec})
	_, err := p.client.Resource(repositories).Namespace(deploy.Namespace).Create(p.t.Context(), object, metav1.CreateOptions{})
	ts.Check(err)
}

func (p *port) secret(ts *testscript.TestScript, _ bool, args []string) {
	object := newObject("v1", "Secret", args[0], map[string]any{"stringData": map[string]any{args[1]: ts.ReadFile(args[2])}})
	ts.Check(clustertest.Apply(p.t.Context(), p.cluster.RESTConfig(), object))
}

func (p *port) edit(ts *testscript.TestScript, _ bool, args []string) {
	plural, name, _ := strings.Cut(args[0], "/")
	resource, group, _ := strings.Cut(plural, ".")
	_, err := p.client.Resource(schema.GroupVersionResource{Group: group, Version: "v1", Resource: resource}).Namespace(ts.Getenv("REPO")).
		Patch(p.t.Context(), name, types.JSONPatchType, []byte(ts.ReadFile(args[2])), metav1.PatchOptions{FieldManager: args[1]})
	ts.Check(err)
}

func (p *port) role(ts *testscript.TestScript, _ bool, args []string) {
	account := ts.Getenv("REPO") + "-" + args[0]
	binding := newObject("rbac.authorization.k8s.io/v1", "RoleBinding", account, map[string]any{
		"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": args[0]},
		"subjects": []any{map[string]any{"kind": "ServiceAccount", "name": account, "namespace": deploy.Namespace}},
	})
	objects := []*unstructured.Unstructured{newObject("v1", "ServiceAccount", account, map[string]any{}), binding}
	ts.Check(clustertest.Apply(p.t.Context(), p.cluster.RESTConfig(), objects...))
	ts.Check(awaitRights(p.t.Context(), p.cluster.RESTConfig(), deploy.Namespace, account))
	kubeconfig, err := p.cluster.KubeconfigFor(p.t.Context(), deploy.Namespace, account)
	ts.Check(err)
	ts.Setenv("KUBECONFIG", kubeconfig)
}
