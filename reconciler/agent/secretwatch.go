package agent

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// SecretWatch is how the agent watches the Secrets of environments. RBAC has no right for metadata only, so the right to
// watch Secrets is the right to read them.
type SecretWatch string

// The ways: one watch in each environment's namespace, as the environment's account; or one watch of the whole cluster, as
// the agent, which then needs that right.
const (
	SecretsOfNamespaces SecretWatch = "namespaces"
	SecretsOfCluster    SecretWatch = "cluster"
)

// Set is a method of flag values.
func (s *SecretWatch) Set(text string) error {
	switch way := SecretWatch(text); way {
	case SecretsOfNamespaces, SecretsOfCluster:
		*s = way
		return nil
	}
	return fmt.Errorf("it is neither %s nor %s", SecretsOfNamespaces, SecretsOfCluster)
}

// String returns the way.
func (s *SecretWatch) String() string { return string(*s) }

// Type names the values in the help of a flag.
func (s *SecretWatch) Type() string { return "namespaces|cluster" }

// confined returns the kinds that are watched in each namespace by itself.
func (s SecretWatch) confined() []schema.GroupKind {
	if s == SecretsOfCluster {
		return nil
	}
	return []schema.GroupKind{{Kind: "Secret"}}
}
