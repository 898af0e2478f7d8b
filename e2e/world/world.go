// Package world is the setting of the scenarios and the demo. It has a control plane with Berth installed, and the
// agent as a process with the rights of its ServiceAccount. Its helpers do and observe what users do and observe.
package world

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"

	"berth.dev/berth/deploy"
	"berth.dev/berth/internal/clustertest"
)

// A Reporter receives failures and log lines. testing.TB is one; a program brings its own, whose Fatalf must not
// return.
type Reporter interface {
	Helper()
	Context() context.Context
	Logf(format string, arguments ...any)
	Fatalf(format string, arguments ...any)
}

// Config configures a world.
type Config struct {
	// Cluster is a running control plane. Traffic needs its audit log.
	Cluster *clustertest.Cluster
	// Dir holds the agent's stores and its log.
	Dir string
	// Binary is the path of berth, which runs on this machine.
	Binary string
	// Image is the agent's image on a cluster that runs containers. The agent is then the Pod that deploy/ describes,
	// and only Cluster has a meaning besides.
	Image string
	// APIServerOnly is that of the cluster's own configuration.
	APIServerOnly bool
	// Detached lets the agent outlive this process.
	Detached bool
	// Flags are additional flags of the agent, and Environment holds NAME=VALUE variables.
	Flags, Environment []string
	// Cgroup is the cgroup of the agent; nil means no memory limit.
	Cgroup *Cgroup
}

// A World is a control plane with Berth installed, and its agent.
type World struct {
	Cluster *clustertest.Cluster
	Agent   *Agent
	// Cgroup is the cgroup of the agent, or nil.
	Cgroup *Cgroup
	// client has all rights. Only tests use it, never the agent.
	client dynamic.Interface
}

// New installs Berth into a cluster, from the manifests that users install. It does not start the agent.
func New(ctx context.Context, c Config) (*World, error) {
	client, err := dynamic.NewForConfig(c.Cluster.RESTConfig())
	if err != nil {
		return nil, err
	}
	w := &World{Cluster: c.Cluster, Cgroup: c.Cgroup, client: client}
	if err := w.install(ctx, c); err != nil {
		return nil, fmt.Errorf("cannot install Berth: %w", err)
	}
	if c.Image != "" {
		return w, nil
	}
	kubeconfig, err := c.Cluster.KubeconfigFor(ctx, deploy.Namespace, deploy.ServiceAccount)
	if err != nil {
		return nil, err
	}
	w.Agent = &Agent{
		binary:     c.Binary,
		kubeconfig: kubeconfig,
		stores:     filepath.Join(c.Dir, "stores"),
		log:        filepath.Join(c.Dir, "agent.log"),
		detached:   c.Detached,
		flags:      c.Flags,

		environment: c.Environment,
		cgroup:      c.Cgroup,
	}
	return w, nil
}

// install applies deploy/. Without an image it leaves out the Deployment, because a simulated node runs no containers:
// the agent runs on this machine instead.
func (w *World) install(ctx context.Context, c Config) error {
	all, err := deploy.Objects()
	if err != nil {
		return err
	}
	var objects []*unstructured.Unstructured
	for _, object := range all {
		switch {
		case object.GetKind() != "Deployment":
		case c.Image == "":
			continue
		default:
			if err := setImage(object, c.Image); err != nil {
				return err
			}
		}
		objects = append(objects, object)
	}
	if err := clustertest.Apply(ctx, w.Cluster.RESTConfig(), objects...); err != nil {
		return err
	}
	if c.APIServerOnly {
		if err := w.aggregate(ctx); err != nil {
			return err
		}
	}
	return w.awaitRights(ctx)
}

// setImage sets the image of a Deployment's only container.
func setImage(deployment *unstructured.Unstructured, image string) error {
	path := []string{"spec", "template", "spec", "containers"}
	containers, _, err := unstructured.NestedSlice(deployment.Object, path...)
	if err != nil || len(containers) != 1 {
		return fmt.Errorf("the Deployment %s has %d containers (%v), want one", deployment.GetName(), len(containers), err)
	}
	container, ok := containers[0].(map[string]any)
	if !ok {
		return fmt.Errorf("the container of the Deployment %s is a %T", deployment.GetName(), containers[0])
	}
	container["image"] = image
	return unstructured.SetNestedSlice(deployment.Object, containers, path...)
}

// awaitRights waits until the aggregated ClusterRoles are complete: what the agent watches, and what environments may
// have.
func (w *World) awaitRights(ctx context.Context) error {
	config, err := w.Cluster.ConfigFor(ctx, deploy.Namespace, deploy.ServiceAccount)
	if err != nil {
		return err
	}
	account, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	reviews := account.Resource(schema.GroupVersionResource{Group: "authorization.k8s.io", Version: "v1", Resource: "selfsubjectaccessreviews"})
	question := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
		"spec": map[string]any{"resourceAttributes": map[string]any{
			"verb": "watch", "group": "apps", "resource": "deployments",
		}},
	}}
	return wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		answer, err := reviews.Create(ctx, question, metav1.CreateOptions{})
		if err != nil {
			return false, err
		}
		allowed, _, err := unstructured.NestedBool(answer.Object, "status", "allowed")
		if err != nil || !allowed {
			return false, err
		}
		role, err := w.client.Resource(schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"}).Get(ctx, "berth-environment", metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		rules, _, _ := unstructured.NestedSlice(role.Object, "rules") // null until they have been aggregated
		return len(rules) > 0, nil
	})
}

// Namespace reports whether a namespace exists, and its phase.
func (w *World) Namespace(ctx context.Context, name string) (phase string, there bool, err error) {
	ns, err := w.client.Resource(kinds["Namespace"]).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	phase, _, err = unstructured.NestedString(ns.Object, "status", "phase")
	return phase, true, err
}
