package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiwait "k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"berth.dev/berth/deploy"
	"berth.dev/berth/internal/clustertest"
	"berth.dev/berth/internal/sopstest"
	"berth.dev/berth/reconciler/kustomize"
)

// cluster stores objects and runs no controllers, so that the scripts set all statuses. Berth is not installed in
// bareCluster.
var (
	cluster     = clustertest.Shared(clustertest.Config{APIServerOnly: true})
	bareCluster = clustertest.Shared(clustertest.Config{APIServerOnly: true})
	// otherCluster is one that the agent reaches from cluster.
	otherCluster = clustertest.Shared(clustertest.Config{APIServerOnly: true})
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == kustomizeVerb { // tests that call the program's functions start this binary
		os.Exit(kustomize.Serve(os.Stdin, os.Stdout))
	}
	testscript.Main(withWorker{m}, map[string]func(){"berth": main, "kubectl-berth": main})
}

// withWorker puts berth-sops beside the programs that decrypt in tests: this one, and the scripts' berth.
type withWorker struct{ *testing.M }

// Run does that before it runs the tests.
func (m withWorker) Run() int {
	self, err := os.Executable()
	if err == nil {
		err = sopstest.Beside(self)
	}
	if scripted, lookErr := exec.LookPath("berth"); err == nil && lookErr == nil {
		err = sopstest.Beside(scripted)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.M.Run()
}

// The scripts are in testdata/script. $EXAMPLE is examples/posts. Besides the commands of testscript there are:
//
//	exits CODE   runs a command, and ends with that code
//	cluster      a cluster with Berth's kinds, and a new namespace $NS for the agent, which -n is by default
//	apply FILE   objects, status and all; ago(5h) in them is a time, uid(deployments/api) a UID, commit(main) the commit
//	             of that branch in the current folder, and $NS, $APP and $ID are those of the script
//	bare         a cluster without Berth's kinds
//	page FILE    compares what was printed, but for ages in seconds, which depend on the machine
//	clusters     a kubeconfig with the contexts home, which is that of cluster, and other, which is another cluster. Three
//	             more reach other badly: unreachable, insecure, and stranger, who has no rights. The namespace of the
//	             agent's account in other is berth-far
//	viewer       from here on the rights of an account that may view Environments, and nothing else
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
			env.Values["t"] = t
			posts, err := filepath.Abs(example)
			env.Setenv("EXAMPLE", posts)
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"cluster":  useCluster,
			"exits":    exits,
			"apply":    applyFile,
			"bare":     useBareCluster,
			"clusters": useClusters,
			"page":     comparePage,
			"viewer":   becomeViewer,
		},
	})
}

func useCluster(ts *testscript.TestScript, _ bool, _ []string) {
	c := cluster(testOf(ts))
	objects, err := deploy.Objects()
	ts.Check(err)
	var kinds []*unstructured.Unstructured
	for _, object := range objects {
		if kind := object.GetKind(); kind == "CustomResourceDefinition" || kind == "ClusterRole" {
			kinds = append(kinds, object)
		}
	}
	ts.Check(clustertest.Apply(testOf(ts).Context(), c.RESTConfig(), kinds...))
	namespace := c.Namespace(testOf(ts))
	ts.Setenv("KUBECONFIG", c.Kubeconfig())
	ts.Setenv("BERTH_NAMESPACE", namespace)
	ts.Setenv("NS", namespace)
}

func useBareCluster(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Setenv("KUBECONFIG", bareCluster(testOf(ts)).Kubeconfig())
}

func useClusters(ts *testscript.TestScript, _ bool, _ []string) {
	t := testOf(ts)
	other := otherCluster(t)
	all := api.NewConfig()
	for name, config := range map[string]*rest.Config{"home": cluster(t).RESTConfig(), "other": other.RESTConfig()} {
		all.Clusters[name] = &api.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData}
		all.AuthInfos[name] = &api.AuthInfo{Token: config.BearerToken}
		all.Contexts[name] = &api.Context{Cluster: name, AuthInfo: name}
	}
	stranger := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": map[string]any{"name": "stranger", "namespace": "default"}}}
	ts.Check(clustertest.Apply(t.Context(), other.RESTConfig(), stranger))
	account, err := other.ConfigFor(t.Context(), "default", "stranger")
	ts.Check(err)
	all.AuthInfos["stranger"] = &api.AuthInfo{Token: account.BearerToken}
	all.Contexts["stranger"] = &api.Context{Cluster: "other", AuthInfo: "stranger"}
	all.Clusters["unreachable"] = &api.Cluster{Server: "https://127.0.0.1:1"}
	all.Contexts["unreachable"] = &api.Context{Cluster: "unreachable", AuthInfo: "other"}
	all.Clusters["insecure"] = &api.Cluster{Server: all.Clusters["other"].Server, InsecureSkipTLSVerify: true}
	all.Contexts["insecure"] = &api.Context{Cluster: "insecure", AuthInfo: "other"}
	all.CurrentContext = "home"
	ts.Setenv("HOME_SERVER", all.Clusters["home"].Server)
	file := filepath.Join(ts.Getenv("WORK"), "clusters.kubeconfig")
	ts.Check(clientcmd.WriteToFile(*all, file))
	ts.Setenv("KUBECONFIG", file)
}

var seconds = regexp.MustCompile(`(?m)\b\d+s( +|$)`)

func comparePage(ts *testscript.TestScript, _ bool, args []string) {
	got := seconds.ReplaceAllString(ts.ReadFile("stdout"), "<age>")
	if want := ts.ReadFile(args[0]); got != want {
		ts.Fatalf("the page differs from %s (-want +got):\n%s", args[0], cmp.Diff(want, got))
	}
}

func testOf(ts *testscript.TestScript) *testing.T { return ts.Value("t").(*testing.T) }

func becomeViewer(ts *testscript.TestScript, _ bool, _ []string) {
	c, namespace := cluster(testOf(ts)), ts.Getenv("NS")
	binding := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
		"metadata": map[string]any{"name": "viewer", "namespace": namespace},
		"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "berth-view"},
		"subjects": []any{map[string]any{"kind": "ServiceAccount", "name": "viewer", "namespace": namespace}},
	}}
	account := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ServiceAccount", "metadata": map[string]any{"name": "viewer", "namespace": namespace},
	}}
	ctx := testOf(ts).Context()
	ts.Check(clustertest.Apply(ctx, c.RESTConfig(), account, binding))
	ts.Check(awaitRights(ctx, c.RESTConfig(), namespace, "viewer"))
	kubeconfig, err := c.KubeconfigFor(ctx, namespace, "viewer")
	ts.Check(err)
	ts.Setenv("KUBECONFIG", kubeconfig)
}

// awaitRights waits until the API server knows that an account may read the Environments of its namespace. It learns of
// a new binding with a delay.
func awaitRights(ctx context.Context, config *rest.Config, namespace, account string) error {
	api, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:               "system:serviceaccount:" + namespace + ":" + account,
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: "list", Group: "berth.dev", Resource: "environments"},
	}}
	return apiwait.PollUntilContextTimeout(ctx, 10*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		answer, err := api.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		return err == nil && answer.Status.Allowed, err
	})
}

var placeholder = regexp.MustCompile(`(ago|uid|commit)\(([^)]*)\)`)

func applyFile(ts *testscript.TestScript, _ bool, args []string) {
	client, err := dynamic.NewForConfig(cluster(testOf(ts)).RESTConfig())
	ts.Check(err)
	names := strings.NewReplacer("$NS", ts.Getenv("NS"), "$APP", ts.Getenv("APP"), "$ID", ts.Getenv("ID"))
	for _, document := range strings.Split(ts.ReadFile(args[0]), "---\n") {
		objects, err := decode([]byte(fill(ts, client, names.Replace(document))))
		ts.Check(err)
		for _, object := range objects {
			ts.Check(applyOne(ts, client, object))
		}
	}
}

func applyOne(ts *testscript.TestScript, client dynamic.Interface, object *unstructured.Unstructured) error {
	ctx, options := testOf(ts).Context(), metav1.ApplyOptions{FieldManager: "test", Force: true}
	resource, _ := meta.UnsafeGuessKindToResource(object.GroupVersionKind())
	if object.GetKind() == "Namespace" {
		_, err := client.Resource(resource).Apply(ctx, object.GetName(), object, options)
		return err
	}
	if object.GetNamespace() == "" {
		object.SetNamespace(ts.Getenv("NS"))
	}
	target := client.Resource(resource).Namespace(object.GetNamespace())
	if _, err := target.Apply(ctx, object.GetName(), object, options); err != nil {
		return fmt.Errorf("applying %s %s: %w", object.GetKind(), object.GetName(), err)
	}
	if object.Object["status"] == nil {
		return nil
	}
	_, err := target.ApplyStatus(ctx, object.GetName(), object, options)
	return err
}

// fill replaces times, UIDs and commits, which differ in each run.
func fill(ts *testscript.TestScript, client dynamic.Interface, text string) string {
	return placeholder.ReplaceAllStringFunc(text, func(match string) string {
		parts := placeholder.FindStringSubmatch(match)
		switch parts[1] {
		case "commit":
			ts.Check(ts.Exec("git", "rev-parse", parts[2]))
			return strings.TrimSpace(ts.ReadFile("stdout"))
		case "ago":
			d, err := time.ParseDuration(parts[2])
			ts.Check(err)
			return time.Now().Add(-d).UTC().Format(time.RFC3339)
		}
		plural, name, _ := strings.Cut(parts[2], "/")
		resource := schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: plural}
		object, err := client.Resource(resource).Namespace(ts.Getenv("APP")).Get(testOf(ts).Context(), name, metav1.GetOptions{})
		ts.Check(err)
		return string(object.GetUID())
	})
}

// exits runs a command and expects an exit code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		code, err = failed.ExitCode(), nil
	}
	ts.Check(err)
	if want := args[0]; strconv.Itoa(code) != want {
		ts.Fatalf("%q ends with %d, want %s", args[1:], code, want)
	}
}
