package node_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/deploy"
	"berth.dev/berth/e2e/world"
)

var (
	branches = flag.Int("branches", 3, "how many branches there are when the agent's memory is measured")
	settle   = flag.Duration("settle", 0, "how long the agent is at rest before its memory is measured")
)

// testResources compares the memory and CPU of the agent, as a kubelet measures them, with its requests and limits: of a new
// agent, and of one with branches. The branches have everything but pods, since the node is only one machine.
func testResources(t *testing.T) {
	client := admin(t)
	pod := awaitAgents(t, client, 1)[0]
	handOver(t, client, func() {
		if err := client.CoreV1().Pods(pod.Namespace).Delete(t.Context(), pod.Name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	})
	checkResources(t, "without branches")

	posts := begins(t, "many")
	posts.git.Commit("main", map[string]string{"k8s/app.yaml": withoutPods()}, "begin")
	commits := map[string]string{}
	for i := range *branches {
		branch := fmt.Sprintf("feature-%d", i)
		commits[branch] = posts.git.CommitFrom("main", branch, nil, "begin "+branch)
	}
	for branch, commit := range commits {
		posts.Environment(branch).BecomesWithin(limit, "Healthy", commit)
	}
	posts.Patch(`{"spec":{"poll":"@every 1m"}}`)
	checkResources(t, fmt.Sprintf("with %d branches", *branches))
}

// withoutPods returns the eleven objects of a small application whose Deployments have no replicas.
func withoutPods() string {
	objects := []string{
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {HOST: \"${BRANCH_SLUG}.review.example.com\"}\n",
		"apiVersion: v1\nkind: Secret\nmetadata: {name: credentials}\nstringData: {PASSWORD: of-a-preview}\n",
		"apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: web}\nspec: {defaultBackend: {service: {name: api, port: {number: 80}}}}\n",
	}
	for _, name := range []string{"api", "frontend", "nginx", "worker"} {
		none := strings.Replace(deployment("serve", probe), "spec:\n", "spec:\n  replicas: 0\n", 1)
		service := "apiVersion: v1\nkind: Service\nmetadata: {name: api}\nspec: {selector: {app: api}, ports: [{port: 80, targetPort: 8080}]}\n"
		renamed := strings.NewReplacer("name: api", "name: "+name, "app: api", "app: "+name)
		objects = append(objects, renamed.Replace(none), renamed.Replace(service))
	}
	return strings.Join(objects, "---\n")
}

// usage is what a kubelet measures of a pod.
type usage struct {
	PodRef struct{ Name, Namespace string }
	CPU    struct{ UsageNanoCores, UsageCoreNanoSeconds uint64 }
	Memory struct {
		Time                      time.Time
		WorkingSetBytes, RSSBytes uint64
	}
}

// checkResources logs what the kubelet measures of the agent's pod, and compares it with what the pod requests.
func checkResources(t *testing.T, when string) {
	t.Helper()
	client, since := admin(t), time.Now().Add(*settle)
	var measured usage
	var resources corev1.ResourceRequirements
	world.AwaitFor(t, limit+*settle, "the kubelet has measured the agent", func() (string, bool) {
		pods, err := client.CoreV1().Pods(deploy.Namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=berth"})
		text, failed := client.CoreV1().RESTClient().Get().AbsPath("/api/v1/nodes/machine/proxy/stats/summary").DoRaw(t.Context())
		var summary struct{ Pods []usage }
		if err != nil || failed != nil || json.Unmarshal(text, &summary) != nil {
			return fmt.Sprint(err, failed), false
		}
		for _, pod := range pods.Items {
			for _, u := range summary.Pods {
				if u.PodRef.Name == pod.Name && u.PodRef.Namespace == pod.Namespace && u.Memory.WorkingSetBytes > 0 && u.Memory.Time.After(since) {
					measured, resources = u, pod.Spec.Containers[0].Resources
					return "", true
				}
			}
		}
		return string(text), false
	})
	request, most := resources.Requests[corev1.ResourceMemory], resources.Limits[corev1.ResourceMemory]
	t.Logf("%s, the kubelet sees a working set of %s, and %s of anonymous memory (requested %s, at most %s), and %d ms of CPU a second (requested %s)", when,
		mebibytes(measured.Memory.WorkingSetBytes), mebibytes(measured.Memory.RSSBytes), &request, &most, measured.CPU.UsageNanoCores/1e6, resources.Requests.Cpu())
	if int64(measured.Memory.RSSBytes) > request.Value() {
		t.Errorf("the agent uses more memory than it requests")
	}
}

func mebibytes(n uint64) string {
	return resource.NewQuantity(int64(n>>20)<<20, resource.BinarySI).String()
}
