package installation

import (
	"context"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"berth.dev/berth/health"
)

// Installed returns the options of the installation in a namespace, as its Deployment has them. They are empty without a
// Deployment, and without the right to read it, which Plan reports.
func (i *Installer) Installed(ctx context.Context, namespace string) (Options, error) {
	found, err := i.Client.Resource(appsv1.SchemeGroupVersion.WithResource("deployments")).Namespace(namespace).Get(ctx, product, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		return Options{}, nil
	}
	if err != nil {
		return Options{}, err
	}
	deployment := &appsv1.Deployment{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(found.Object, deployment); err != nil {
		return Options{}, fmt.Errorf("reading %s: %w", Name(found), err)
	}
	var o Options
	if n := deployment.Spec.Replicas; n != nil {
		o.Replicas = new(int64(*n))
	}
	pod := deployment.Spec.Template.Spec
	if len(pod.Containers) > 0 {
		o.Image = pod.Containers[0].Image
		for _, arg := range pod.Containers[0].Args {
			if name, ok := strings.CutPrefix(arg, agentNameFlag); ok {
				o.AgentName = &name
			}
		}
	}
	for _, ref := range pod.ImagePullSecrets {
		o.PullSecrets = append(o.PullSecrets, ref.Name)
	}
	return o, nil
}

// State is the state of the agent's Deployment, for users.
type State struct {
	Health health.Health
	// Pods are those that are not ready, with the reason in the cluster's words.
	Pods []health.Pod
}

// Await waits until the agent's Deployment has rolled out, and calls show with each state. If the context ends, the error
// names what is not ready.
func (i *Installer) Await(ctx context.Context, deployment *unstructured.Unstructured, show func(State)) error {
	var last State
	err := poll(ctx, func(ctx context.Context) (bool, error) {
		now, err := i.get(ctx, deployment)
		if err != nil {
			return false, err
		}
		last = State{Health: health.Of(now)}
		if last.Health.Status != health.Healthy {
			last.Pods, err = i.unready(ctx, deployment.GetNamespace())
		}
		show(last)
		return last.Health.Status == health.Healthy, err
	})
	if err == nil {
		return nil
	}
	why := last.Health.Message
	for _, pod := range last.Pods {
		why += fmt.Sprintf("; Pod/%s: %s", pod.Name, pod.Health.Message)
	}
	if why == "" {
		return fmt.Errorf("%s: %w", Name(deployment), err)
	}
	return fmt.Errorf("%s is not ready: %s (%w); see: kubectl describe pods -n %s -l %s", Name(deployment), why, err, deployment.GetNamespace(), agentLabels)
}

// unready returns the agent's pods that are not ready.
func (i *Installer) unready(ctx context.Context, namespace string) ([]health.Pod, error) {
	list, err := i.Client.Resource(corev1.SchemeGroupVersion.WithResource("pods")).Namespace(namespace).List(ctx, metav1.ListOptions{LabelSelector: agentLabels})
	if err != nil {
		return nil, err
	}
	var pods []health.Pod
	for k := range list.Items {
		if pod := health.OfPod(&list.Items[k]); pod.Health.Status != health.Healthy {
			pods = append(pods, pod)
		}
	}
	return pods, nil
}
