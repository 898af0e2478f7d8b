package main

import (
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// loadConfig reads a context of a kubeconfig ("" is its current one). Without a kubeconfig it reads what kubectl
// would read, or the pod's own account.
func loadConfig(kubeconfig, context string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	overrides := &clientcmd.ConfigOverrides{CurrentContext: context}
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides).ClientConfig()
}

// clusterName returns the name of the context, or nothing.
func (n *connection) clusterName() string {
	if n.context != "" {
		return n.context
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = n.kubeconfig
	config, err := rules.Load()
	if err != nil {
		return ""
	}
	return config.CurrentContext
}
