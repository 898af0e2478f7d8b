package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/inspect"
	"berth.dev/berth/reconciler/apply"
)

// defaultNamespace is where deploy/ installs the agent, and so where Environments are.
const defaultNamespace = "berth"

// connection are the flags that select the cluster and the agent's namespace.
type connection struct {
	kubeconfig, context, namespace string
	// flag is the one that selects the kubeconfig, for messages; empty is --kubeconfig.
	flag string
}

func (n *connection) addTo(f *pflag.FlagSet) {
	f.StringVar(&n.kubeconfig, "kubeconfig", "", "path of the kubeconfig (default: the same as kubectl's)")
	f.StringVar(&n.context, "context", "", "context of the kubeconfig (default: its current context)")
	n.addNamespace(f)
}

func (n *connection) addNamespace(f *pflag.FlagSet) {
	f.StringVarP(&n.namespace, "namespace", "n", cmp.Or(os.Getenv("BERTH_NAMESPACE"), defaultNamespace),
		"the agent's namespace, with the Environments; BERTH_NAMESPACE sets the default")
}

// viewer reads the cluster with the rights of the user.
type viewer struct {
	client.WithWatch
	config     *rest.Config
	namespace  string
	kubernetes kubernetes.Interface
	discovery  discovery.DiscoveryInterface
	dynamic    dynamic.Interface
	logs       inspect.Logs
	core       typedcorev1.SecretsGetter
	// applier computes what the agent would write, by dry runs.
	applier *apply.Applier
}

// open prepares the connection, without sending a request.
func (n *connection) open() (*viewer, error) {
	// Log lines of the libraries would appear between the lines of a table.
	ctrl.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	config, err := loadConfig(n.kubeconfig, n.context)
	if clientcmd.IsEmptyConfig(err) {
		return nil, noCluster(os.Getenv(clientcmd.RecommendedConfigPathEnvVar), cmp.Or(n.flag, "--kubeconfig"))
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the kubeconfig: %w", err)
	}
	config.UserAgent = "berth/" + version
	config.QPS = -1
	config.WarningHandler = rest.NoWarnings{}
	return newViewer(config, n.namespace)
}

// noCluster returns the error for a missing kubeconfig, given the value of KUBECONFIG and the flag that selects one.
func noCluster(kubeconfig, flag string) error {
	if kubeconfig == "" {
		return fmt.Errorf("no cluster is configured; name a kubeconfig with %s or KUBECONFIG", flag)
	}
	return fmt.Errorf("no cluster is configured: KUBECONFIG is %q, which does not exist or names no cluster; name a kubeconfig with %s or KUBECONFIG", kubeconfig, flag)
}

func newViewer(config *rest.Config, namespace string) (*viewer, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(v1alpha1.AddToScheme(scheme), corev1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, explain(err, namespace)
	}
	kubernetes, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &viewer{
		WithWatch: c, config: config, namespace: namespace, kubernetes: kubernetes, discovery: kubernetes.Discovery(), dynamic: objects,
		logs: inspect.LogsOf(kubernetes.CoreV1()), core: kubernetes.CoreV1(),
		applier: apply.New(apply.Config{Dynamic: objects, Mapper: c.RESTMapper(), OpenAPI: kubernetes.Discovery().OpenAPIV3()}),
	}, nil
}

// environments lists all Environments.
func (v *viewer) environments(ctx context.Context) (*v1alpha1.EnvironmentList, error) {
	list := &v1alpha1.EnvironmentList{}
	err := v.List(ctx, list, v.among("")...)
	return list, explain(err, v.namespace)
}

// among narrows a listing to the agent's namespace and, if one is named, to a repository.
func (v *viewer) among(repository string) []client.ListOption {
	options := []client.ListOption{client.InNamespace(v.namespace)}
	if repository != "" {
		options = append(options, client.MatchingLabels{v1alpha1.LabelRepository: repository})
	}
	return options
}

func (v *viewer) key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: v.namespace, Name: name}
}

// explain adds the next step to an error of the API server or the network.
func explain(err error, namespace string) error {
	if err == nil {
		return nil
	}
	unreachable, isUnreachable := errors.AsType[*url.Error](err)
	switch {
	case meta.IsNoMatchError(err), runtime.IsNotRegisteredError(err):
		return fmt.Errorf("the cluster does not know Berth's kinds: install Berth (berth install), or choose another cluster with --context: %w", err)
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("the cluster does not accept the credentials of the kubeconfig; log in again, or choose another --context: %w", err)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%w; ask for the role view in the namespace %s, or name the agent's namespace with -n", err, namespace)
	case isUnreachable && errors.Is(err, context.Canceled):
		return err
	case isUnreachable:
		return fmt.Errorf("cannot reach the cluster at %s: %w; check --kubeconfig and --context", hostOf(unreachable.URL), unreachable.Err)
	}
	return err
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return u.Host
}

// completed returns the shell completions of a field of the Environments, and none on errors.
func (n *connection) completed(c *cobra.Command, of func(*v1alpha1.Environment) string) []cobra.Completion {
	v, err := n.open()
	if err != nil {
		return nil
	}
	list, err := v.environments(c.Context())
	if err != nil {
		return nil
	}
	var offers []cobra.Completion
	seen := map[string]bool{}
	for i := range list.Items {
		if offer := of(&list.Items[i]); offer != "" && !seen[offer] {
			seen[offer] = true
			offers = append(offers, offer)
		}
	}
	return offers
}

// The fields of Environments that are completed.
func nameOf(env *v1alpha1.Environment) string       { return env.Name }
func branchOf(env *v1alpha1.Environment) string     { return env.Spec.Branch }
func repositoryOf(env *v1alpha1.Environment) string { return env.Spec.Repository }
func entryOf(env *v1alpha1.Environment) string      { return env.Spec.Entry }
func clusterOf(env *v1alpha1.Environment) string    { return env.Spec.Cluster }

// complete returns a completion function for a field of the Environments.
func (n *connection) complete(of func(*v1alpha1.Environment) string) cobra.CompletionFunc {
	return func(c *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return n.completed(c, of), cobra.ShellCompDirectiveNoFileComp
	}
}
