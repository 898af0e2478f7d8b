package e2e

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestLogsOfContainers(t *testing.T) {
	t.Parallel()
	client, namespace := clientOf(t, cluster(t)), cluster(t).Namespace(t)
	_, err := client.CoreV1().Secrets(namespace).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "posts"},
		StringData: map[string]string{"PASSWORD": "hunter2"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	createDeployment(t, client, namespace, template(behaviour("crash-loop"), func(pod *corev1.PodTemplateSpec) {
		pod.Annotations["kwok.berth.dev/log"] = "starting\ncannot log in with {{.PASSWORD}}\n{{.PASSWORD | base64}} {{.PASSWORD | json}}"
		from := corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "posts"}}
		pod.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{SecretRef: &from}}
	}))
	var pod string
	eventuallyPod(t, client, namespace, "the pod has crashed", func(p *corev1.Pod) bool {
		pod = p.Name
		statuses := p.Status.ContainerStatuses
		return len(statuses) == 1 && statuses[0].LastTerminationState.Terminated != nil
	})
	one, nine := int64(1), int64(9)
	for what, test := range map[string]struct {
		options corev1.PodLogOptions
		want    string
	}{
		"all":            {want: "starting\ncannot log in with hunter2\naHVudGVyMg== \"hunter2\"\n"},
		"the last line":  {options: corev1.PodLogOptions{TailLines: &one}, want: "aHVudGVyMg== \"hunter2\"\n"},
		"the run before": {options: corev1.PodLogOptions{Previous: true, LimitBytes: &nine}, want: "starting\n"},
	} {
		text, err := client.CoreV1().Pods(namespace).GetLogs(pod, &test.options).DoRaw(t.Context())
		if string(text) != test.want || err != nil {
			t.Errorf("%s: %q, %v; want %q", what, text, err, test.want)
		}
	}
}

func TestNoLogsYet(t *testing.T) {
	t.Parallel()
	client, namespace := clientOf(t, cluster(t)), cluster(t).Namespace(t)
	createDeployment(t, client, namespace, template(behaviour("pending")))
	eventually(t, "there is no log", func(ctx context.Context) (string, bool, error) {
		pods, err := client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
		if err != nil || len(pods.Items) == 0 {
			return "no pod", false, err
		}
		_, err = client.CoreV1().Pods(namespace).GetLogs(pods.Items[0].Name, &corev1.PodLogOptions{}).DoRaw(ctx)
		if err == nil {
			return "a log", false, nil
		}
		return err.Error(), apierrors.IsBadRequest(err), nil
	})
}
