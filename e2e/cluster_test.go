// Package e2e holds scenarios that run on a real control plane.
package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"

	"berth.dev/berth/internal/clustertest"
)

// cluster is the control plane that the tests of this package share.
var cluster = clustertest.Shared(clustertest.Config{Audit: true})

func clientOf(t *testing.T, c *clustertest.Cluster) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(c.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// eventually fails the test if look does not return true within two minutes, and reports what look last saw.
func eventually(t *testing.T, what string, look func(context.Context) (seen string, done bool, err error)) {
	t.Helper()
	var last string
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, 2*time.Minute, true,
		func(ctx context.Context) (bool, error) {
			seen, done, err := look(ctx)
			last = seen
			return done, err
		})
	if err != nil {
		t.Fatalf("%s: %v; last seen: %s", what, err, last)
	}
}

// template returns a pod template with one container, with the changes of a test.
func template(changes ...func(*corev1.PodTemplateSpec)) corev1.PodTemplateSpec {
	pod := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "posts"}, Annotations: map[string]string{}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "registry.example.com/posts:1"}}},
	}
	for _, change := range changes {
		change(&pod)
	}
	return pod
}

func behaviour(name string) func(*corev1.PodTemplateSpec) {
	return func(pod *corev1.PodTemplateSpec) { pod.Labels["kwok.berth.dev/behaviour"] = name }
}

func seconds(n int) func(*corev1.PodTemplateSpec) {
	return func(pod *corev1.PodTemplateSpec) { pod.Annotations["kwok.berth.dev/seconds"] = fmt.Sprint(n) }
}

func exitCode(n int) func(*corev1.PodTemplateSpec) {
	return func(pod *corev1.PodTemplateSpec) { pod.Annotations["kwok.berth.dev/exit-code"] = fmt.Sprint(n) }
}

func image(name string) func(*corev1.PodTemplateSpec) {
	return func(pod *corev1.PodTemplateSpec) { pod.Spec.Containers[0].Image = name }
}

func createDeployment(t *testing.T, client kubernetes.Interface, namespace string, pod corev1.PodTemplateSpec) {
	t.Helper()
	_, err := client.AppsV1().Deployments(namespace).Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "posts"},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "posts"}},
			Template: pod,
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

func createJob(t *testing.T, client kubernetes.Interface, namespace string, pod corev1.PodTemplateSpec) {
	t.Helper()
	pod.Spec.RestartPolicy = corev1.RestartPolicyNever
	none := int32(0)
	_, err := client.BatchV1().Jobs(namespace).Create(t.Context(), &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "migrate"},
		Spec:       batchv1.JobSpec{Template: pod, BackoffLimit: &none},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// eventuallyPod waits for a pod of the namespace that satisfies a test's condition.
func eventuallyPod(t *testing.T, client kubernetes.Interface, namespace, what string, look func(*corev1.Pod) bool) {
	t.Helper()
	eventually(t, what, func(ctx context.Context) (string, bool, error) {
		pods, err := client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
		if err != nil || len(pods.Items) == 0 {
			return "no pod", false, err
		}
		pod := &pods.Items[0]
		return pod.Status.String(), look(pod), nil
	})
}

func TestDeploymentsRollOut(t *testing.T) {
	tests := []struct {
		name string
		pod  corev1.PodTemplateSpec
	}{
		{"at once", template()},
		{"slowly", template(behaviour("slow-start"), seconds(2))},
		{"when the image has appeared", template(behaviour("image-pull"), seconds(1))},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			client, namespace := clientOf(t, cluster(t)), cluster(t).Namespace(t)
			createDeployment(t, client, namespace, test.pod)
			eventually(t, "the Deployment is available", func(ctx context.Context) (string, bool, error) {
				deployment, err := client.AppsV1().Deployments(namespace).Get(ctx, "posts", metav1.GetOptions{})
				return deployment.Status.String(), deployment.Status.AvailableReplicas == 1, err
			})
		})
	}
}

func TestJobsEnd(t *testing.T) {
	tests := []struct {
		name string
		pod  corev1.PodTemplateSpec
		want batchv1.JobConditionType
	}{
		{"complete", template(), batchv1.JobComplete},
		{"complete after seconds", template(seconds(3)), batchv1.JobComplete},
		{"fail", template(behaviour("fail")), batchv1.JobFailed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			client, namespace := clientOf(t, cluster(t)), cluster(t).Namespace(t)
			createJob(t, client, namespace, test.pod)
			eventually(t, "the Job has ended", func(ctx context.Context) (string, bool, error) {
				job, err := client.BatchV1().Jobs(namespace).Get(ctx, "migrate", metav1.GetOptions{})
				for _, condition := range job.Status.Conditions {
					if condition.Type == test.want && condition.Status == corev1.ConditionTrue {
						return "", true, nil
					}
				}
				return job.Status.String(), false, err
			})
		})
	}
}

func TestPodsMisbehave(t *testing.T) {
	waiting := func(pod *corev1.Pod, reason string) bool {
		statuses := pod.Status.ContainerStatuses
		return len(statuses) == 1 && !statuses[0].Ready &&
			statuses[0].State.Waiting != nil && statuses[0].State.Waiting.Reason == reason
	}
	tests := []struct {
		name string
		pod  corev1.PodTemplateSpec
		want func(*corev1.Pod) bool
	}{
		{"crash loop", template(behaviour("crash-loop")), func(pod *corev1.Pod) bool {
			return waiting(pod, "CrashLoopBackOff") && pod.Status.ContainerStatuses[0].RestartCount > 1 &&
				pod.Status.ContainerStatuses[0].LastTerminationState.Terminated.ExitCode == 1
		}},
		{"image pull by label", template(behaviour("image-pull")), func(pod *corev1.Pod) bool {
			return waiting(pod, "ImagePullBackOff")
		}},
		{"image pull by name", template(image("registry.example.com/does-not-exist:1")), func(pod *corev1.Pod) bool {
			return waiting(pod, "ImagePullBackOff")
		}},
		{"image pull by tag", template(image("registry.example.com/posts:broken")), func(pod *corev1.Pod) bool {
			return waiting(pod, "ImagePullBackOff") && pod.Status.ContainerStatuses[0].State.Waiting.Message ==
				`Back-off pulling image "registry.example.com/posts:broken": ErrImagePull: rpc error: code = NotFound desc = failed to pull and unpack image "registry.example.com/posts:broken": failed to resolve reference "registry.example.com/posts:broken": registry.example.com/posts:broken: not found`
		}},
		{"pending", template(behaviour("pending")), func(pod *corev1.Pod) bool {
			return waiting(pod, "ContainerCreating") && pod.Status.Phase == corev1.PodPending
		}},
		{"a crash with an exit code", template(behaviour("crash-loop"), exitCode(3)), func(pod *corev1.Pod) bool {
			return waiting(pod, "CrashLoopBackOff") &&
				pod.Status.ContainerStatuses[0].LastTerminationState.Terminated.ExitCode == 3
		}},
		{"ready, then a crash", template(behaviour("crash-loop"), seconds(1)), func(pod *corev1.Pod) bool {
			return waiting(pod, "CrashLoopBackOff")
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			client, namespace := clientOf(t, cluster(t)), cluster(t).Namespace(t)
			createDeployment(t, client, namespace, test.pod)
			eventuallyPod(t, client, namespace, "the pod misbehaves", test.want)
		})
	}
}

func TestDeletionCollectsGarbage(t *testing.T) {
	t.Parallel()
	client, namespace := clientOf(t, cluster(t)), cluster(t).Namespace(t)
	createDeployment(t, client, namespace, template())
	eventuallyPod(t, client, namespace, "the pod runs", func(pod *corev1.Pod) bool {
		return pod.Status.Phase == corev1.PodRunning
	})
	if err := client.AppsV1().Deployments(namespace).Delete(t.Context(), "posts", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the Deployment's pods are gone", func(ctx context.Context) (string, bool, error) {
		pods, err := client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
		return fmt.Sprintf("%d pods", len(pods.Items)), err == nil && len(pods.Items) == 0, err
	})
	createDeployment(t, client, namespace, template(behaviour("slow-stop"), seconds(1)))
	if err := client.CoreV1().Namespaces().Delete(t.Context(), namespace, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the namespace is gone", func(ctx context.Context) (string, bool, error) {
		found, err := client.CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return "", true, nil
		}
		return found.Status.String(), false, err
	})
}

func TestClustersRunBesideEachOther(t *testing.T) {
	t.Parallel()
	began := time.Now()
	other := clustertest.Start(t, clustertest.Config{})
	t.Logf("a cluster was ready after %.1f s", time.Since(began).Seconds())
	namespace := other.Namespace(t)
	if _, err := clientOf(t, other).CoreV1().Namespaces().Get(t.Context(), namespace, metav1.GetOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err := clientOf(t, cluster(t)).CoreV1().Namespaces().Get(t.Context(), namespace, metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("a namespace of one cluster was found in the other: %v", err)
	}
}
