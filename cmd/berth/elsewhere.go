package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/pflag"
	"k8s.io/client-go/tools/clientcmd"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/inspect"
)

// elsewhere is how a user reads the environments in other clusters: with contexts of the kubeconfig, and so with the user's own
// rights there. The agent's credentials are never used for that.
type elsewhere struct {
	given []string
	home  *connection

	mu      sync.Mutex
	viewers map[string]*viewer // by context
}

func (e *elsewhere) addTo(f *pflag.FlagSet, home *connection) {
	e.home = home
	f.StringArrayVar(&e.given, "cluster-context", nil, "your context for an environment in another cluster, as CONTEXT or CLUSTER=CONTEXT; can be repeated (default: the context with the cluster's name)")
}

// contextOf returns the context for a cluster.
func (e *elsewhere) contextOf(cluster string) (string, error) {
	for _, given := range e.given {
		if name, context, named := strings.Cut(given, "="); named && name == cluster {
			return context, nil
		}
	}
	for _, given := range e.given {
		if !strings.Contains(given, "=") {
			return given, nil
		}
	}
	names, err := contextsOf(e.home.kubeconfig)
	if err == nil && slices.Contains(names, cluster) {
		return cluster, nil
	}
	return "", err
}

// contextsOf returns the names of the contexts of a kubeconfig, sorted.
func contextsOf(kubeconfig string) ([]string, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	config, err := rules.Load()
	if err != nil {
		return nil, fmt.Errorf("cannot read the kubeconfig: %w", err)
	}
	return slices.Sorted(maps.Keys(config.Contexts)), nil
}

// viewer returns the viewer of the cluster that an environment is in. For the agent's own cluster, that is the one given.
func (e *elsewhere) viewer(home *viewer, env *v1alpha1.Environment, command string) (*viewer, error) {
	cluster := env.Spec.Cluster
	if cluster == "" {
		return home, nil
	}
	context, err := e.contextOf(cluster)
	if err != nil {
		return nil, err
	}
	if context == "" {
		return nil, fmt.Errorf("its objects are in the cluster %s, and your kubeconfig has no context of that name; name yours for that cluster: %s --cluster-context CONTEXT", cluster, command)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if v := e.viewers[context]; v != nil {
		return v, nil
	}
	there := connection{kubeconfig: e.home.kubeconfig, context: context, namespace: e.home.namespace}
	v, err := there.open()
	if err != nil {
		return nil, fmt.Errorf("its objects are in the cluster %s: %w", cluster, err)
	}
	if v.config.Host == home.config.Host && v.config.ServerName == home.config.ServerName {
		return nil, fmt.Errorf("its objects are in the cluster %s, but the context %s reaches the agent's own; name another one: %s --cluster-context CONTEXT", cluster, context, command)
	}
	if e.viewers == nil {
		e.viewers = map[string]*viewer{}
	}
	e.viewers[context] = v
	return v, nil
}

// cluster returns how an Inspector reads the cluster of an environment.
func (e *elsewhere) cluster(home *viewer, command string) func(*v1alpha1.Environment) (inspect.Cluster, error) {
	return func(env *v1alpha1.Environment) (inspect.Cluster, error) {
		v, err := e.viewer(home, env, strings.ReplaceAll(command, "ENV", env.Name))
		if err != nil {
			return inspect.Cluster{}, err
		}
		return inspect.Cluster{Client: v, Discovery: v.discovery, Logs: v.logs, Stream: inspect.StreamOf(v.kubernetes.CoreV1())}, nil
	}
}

// misplaced reports a flag --cluster-context for an environment in the agent's own cluster.
func (e *elsewhere) misplaced(env *v1alpha1.Environment) error {
	for _, given := range e.given {
		if env.Spec.Cluster == "" && !strings.Contains(given, "=") {
			return errors.New(env.Name + " is in the agent's own cluster; leave --cluster-context out")
		}
	}
	return nil
}
