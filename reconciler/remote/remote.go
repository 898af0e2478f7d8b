// Package remote reads how the agent reaches another cluster: a Secret with a kubeconfig, whose credentials are embedded.
package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// The keys of the Secret that may hold the kubeconfig. They are those of Flux.
const (
	KeyValue      = "value"
	KeyKubeconfig = "kubeconfig"
)

// Label marks the Secrets that `berth cluster add` creates.
const Label = "berth.dev/cluster"

// dialTimeout bounds the attempt to open a connection. Requests have no timeout here, because watches last: those who send
// others bound them by their context.
const dialTimeout = 10 * time.Second

// maxKubeconfig is the largest kubeconfig that is read, in bytes.
const maxKubeconfig = 256 << 10

// Config is the connection that a Secret describes.
type Config struct {
	// REST says how to reach the API server. It uses no file, no plugin and no other user, and has no limit on the rate of
	// requests. The caller sets the user agent.
	REST *rest.Config
	// Expires is the time at which the first of the credentials ends, and ExpiresWhat names it: "the token" or "the client
	// certificate". Expires is zero if no credential says when it ends. It may be in the past.
	Expires     time.Time
	ExpiresWhat string
}

// Parse returns the connection that a Secret describes. Its errors name the Secret and what to do, hold no part of a
// credential, and last until the Secret changes.
func Parse(secret *corev1.Secret) (Config, error) {
	c, err := parse(secret.Data)
	if err != nil {
		return Config{}, fmt.Errorf("%s: %w", "Secret/"+secret.Name, hinted(err, secret.Name))
	}
	return c, nil
}

// refusal is an error about a kubeconfig that would work for kubectl, with the next step if that is a special one.
type refusal struct{ what, do string }

// Error says what the kubeconfig holds.
func (r *refusal) Error() string { return r.what }

// hinted adds the next step.
func hinted(err error, name string) error {
	do := "create the Secret again"
	if r, ok := errors.AsType[*refusal](err); ok {
		if r.do != "" {
			return fmt.Errorf("%w; %s", err, r.do)
		}
		do = "create a Secret with a token of the agent's own"
	}
	return fmt.Errorf("%w; %s: berth cluster add %s --context CONTEXT", err, do, name)
}

func parse(data map[string][]byte) (Config, error) {
	text, key, err := kubeconfig(data)
	if err != nil {
		return Config{}, err
	}
	file, err := load(text)
	if err != nil {
		return Config{}, fmt.Errorf("the key %s %w", key, err)
	}
	cluster, user, err := selected(file)
	if err != nil {
		return Config{}, fmt.Errorf("the kubeconfig in the key %s %w", key, err)
	}
	config := &rest.Config{QPS: -1, Dial: (&net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive}).DialContext}
	if err := address(config, cluster); err != nil {
		return Config{}, fmt.Errorf("the kubeconfig in the key %s %w", key, err)
	}
	c, err := credentials(config, user)
	if err != nil {
		return Config{}, fmt.Errorf("the kubeconfig in the key %s %w", key, err)
	}
	return c, nil
}

// keepAlive is how often an idle connection is probed.
const keepAlive = 30 * time.Second

// HasKubeconfig reports whether a Secret has one of the keys that hold a kubeconfig, whatever is in it.
func HasKubeconfig(secret *corev1.Secret) bool {
	_, hasValue := secret.Data[KeyValue]
	_, hasKubeconfig := secret.Data[KeyKubeconfig]
	return hasValue || hasKubeconfig
}

// kubeconfig returns the kubeconfig of a Secret, and its key.
func kubeconfig(data map[string][]byte) (text []byte, key string, err error) {
	value, hasValue := data[KeyValue]
	other, hasOther := data[KeyKubeconfig]
	switch {
	case hasValue && hasOther:
		return nil, "", fmt.Errorf("it has both keys %s and %s, and only one can hold the kubeconfig", KeyValue, KeyKubeconfig)
	case hasValue:
		text, key = value, KeyValue
	case hasOther:
		text, key = other, KeyKubeconfig
	default:
		return nil, "", fmt.Errorf("it has no key %s or %s with a kubeconfig", KeyValue, KeyKubeconfig)
	}
	switch {
	case len(text) == 0:
		return nil, "", fmt.Errorf("the key %s is empty", key)
	case len(text) > maxKubeconfig:
		return nil, "", fmt.Errorf("the key %s has %d bytes, and a kubeconfig at most %d", key, len(text), maxKubeconfig)
	}
	return text, key, nil
}

// yamlLine finds the line number in an error of the YAML library, whose text may quote the file.
var yamlLine = regexp.MustCompile(`^yaml: line (\d+):`)

func load(text []byte) (*api.Config, error) {
	var outline yaml.Node // in which an alias is not replaced by what it stands for
	err := yaml.Unmarshal(text, &outline)
	if err == nil && hasAlias(&outline) {
		return nil, errors.New("holds no kubeconfig: it has YAML aliases, by which a small text can fill the memory")
	}
	if err == nil {
		var file *api.Config
		if file, err = clientcmd.Load(text); err == nil {
			return file, nil
		}
	}
	for cause := err; cause != nil; cause = errors.Unwrap(cause) {
		if at := yamlLine.FindStringSubmatch(cause.Error()); at != nil {
			return nil, fmt.Errorf("holds no kubeconfig: line %s is not valid YAML", at[1])
		}
	}
	return nil, errors.New("holds no kubeconfig: it is not valid YAML, or a field has the wrong type")
}

// hasAlias reports whether a YAML document repeats parts of itself.
func hasAlias(n *yaml.Node) bool {
	return n.Kind == yaml.AliasNode || slices.ContainsFunc(n.Content, hasAlias)
}

// selected returns the cluster and the user of the current context, or of the only one.
func selected(file *api.Config) (*api.Cluster, *api.AuthInfo, error) {
	name := file.CurrentContext
	if name == "" && len(file.Contexts) == 1 {
		for only := range file.Contexts {
			name = only
		}
	}
	context := file.Contexts[name]
	switch {
	case len(file.Contexts) == 0:
		return nil, nil, errors.New("has no context")
	case name == "":
		return nil, nil, fmt.Errorf("has %d contexts, and no current-context selects one", len(file.Contexts))
	case context == nil:
		return nil, nil, fmt.Errorf("has no context %q, which its current-context names", name)
	}
	cluster, user := file.Clusters[context.Cluster], file.AuthInfos[context.AuthInfo]
	switch {
	case cluster == nil:
		return nil, nil, fmt.Errorf("has no cluster %q, which its context %q names", context.Cluster, name)
	case user == nil:
		return nil, nil, fmt.Errorf("has no user %q, which its context %q names", context.AuthInfo, name)
	}
	return cluster, user, nil
}

// maxIdentity is the length of the longest identity, in bytes. A UID has 36.
const maxIdentity = 64

// Identity returns what identifies a cluster, whatever its addresses: the UID of its namespace kube-system. It is never empty: two
// clusters without one could not be told apart.
func Identity(ctx context.Context, namespaces typedcorev1.NamespacesGetter) (types.UID, error) {
	system, err := namespaces.Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	if system.UID == "" || len(system.UID) > maxIdentity {
		return "", errors.New("its namespace kube-system has no valid UID, which would identify the cluster")
	}
	return system.UID, nil
}
