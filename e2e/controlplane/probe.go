package controlplane

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"berth.dev/berth/e2e/kwok"
)

const (
	// probeInterval is short because every test waits for it.
	probeInterval = 25 * time.Millisecond
	// probeTimeout is far longer than a loaded machine needs; it only turns a hang into an error.
	probeTimeout = 2 * time.Minute
)

// A probe checks whether the control plane works.
type probe struct {
	client kubernetes.Interface
	node   string
}

func newProbe(config *rest.Config, node string) (*probe, error) {
	config.QPS = -1
	config.Timeout = 5 * time.Second
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &probe{client: client, node: node}, nil
}

func (p *probe) apiServerReady(ctx context.Context) error {
	return p.client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
}

func (p *probe) createNode(ctx context.Context) error {
	_, err := p.client.CoreV1().Nodes().Create(ctx, kwok.Node(), metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("cannot create the node: %w", err)
	}
	return nil
}

// allowProxy gives the proxy the rights of the role that Kubernetes has for it.
func (p *probe) allowProxy(ctx context.Context) error {
	_, err := p.client.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: proxyUser},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:node-proxier"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: proxyUser}},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("cannot give rights to the proxy: %w", err)
	}
	return nil
}

// nodeReady also waits until the taint of a new node is gone, because no pod is scheduled earlier.
func (p *probe) nodeReady(ctx context.Context) error {
	node, err := p.client.CoreV1().Nodes().Get(ctx, p.node, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if len(node.Spec.Taints) > 0 {
		return fmt.Errorf("the node is tainted %s", node.Spec.Taints[0].Key)
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
			return nil
		}
	}
	return errors.New("the node is not ready")
}

func (p *probe) controllersReady(ctx context.Context) error {
	_, err := p.client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
	return err
}

// wait polls until look succeeds. It ends early if a part of the cluster has failed.
func (c *cluster) wait(ctx context.Context, what string, look func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	ticker := time.NewTicker(probeInterval)
	defer ticker.Stop()
	for {
		err := look(ctx)
		if err == nil {
			c.progress("%s", what)
			return nil
		}
		select {
		case err := <-c.failed:
			return err
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w (last: %w)", what, context.Cause(ctx), err)
		case <-ticker.C:
		}
	}
}
