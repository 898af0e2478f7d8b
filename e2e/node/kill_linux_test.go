package node_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"berth.dev/berth/deploy"
	"berth.dev/berth/e2e/world"
)

// An agent that is killed, such as by the kernel when memory runs out, is restarted in its pod. It inherits the lease
// of its predecessor instead of waiting until the lease expires.
func TestAKilledAgentTakesItsOwnLeaseOver(t *testing.T) {
	posts := begins(t, "killed")
	production := posts.Environment("main")
	production.BecomesWithin(limit, "Healthy", posts.pushes("main", deployment("serve", probe)))
	client, err := kubernetes.NewForConfig(shared.Cluster.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	pod := agentPod(t, client)
	restarts := pod.Status.ContainerStatuses[0].RestartCount
	before := agentLease(t, client)

	process := agentProcess(t)
	killed := time.Now()
	if err := syscall.Kill(process, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	commit := posts.pushes("main", deployment("work", ""))
	var after coordinationv1.LeaseSpec
	world.AwaitFor(t, limit, "the next agent leads", func() (string, bool) {
		if after = agentLease(t, client); *after.HolderIdentity == *before.HolderIdentity {
			before = after // the last renewal
			return *after.HolderIdentity, false
		}
		return *after.HolderIdentity, true
	})
	production.BecomesWithin(limit, "Healthy", commit)

	now := agentPod(t, client)
	if now.UID != pod.UID || now.Status.ContainerStatuses[0].RestartCount != restarts+1 {
		t.Errorf("the pod is %s with %d restarts, want %s with %d", now.UID, now.Status.ContainerStatuses[0].RestartCount, pod.UID, restarts+1)
	}
	if host, _, _ := strings.Cut(*after.HolderIdentity, "_"); host != pod.Name {
		t.Errorf("the lease is that of %s", host)
	}
	lasts := time.Duration(*before.LeaseDurationSeconds) * time.Second
	if vacant := after.AcquireTime.Sub(before.RenewTime.Time); vacant >= lasts {
		t.Errorf("the lease was taken over %s after its last renewal, and it lasts %s", vacant, lasts)
	}
	t.Logf("killed %s after the last renewal, the next one led %s later", killed.Sub(before.RenewTime.Time).Round(time.Millisecond), after.AcquireTime.Sub(killed).Round(time.Millisecond))
}

func agentPod(t *testing.T, client kubernetes.Interface) corev1.Pod {
	t.Helper()
	list, err := client.CoreV1().Pods(deploy.Namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=berth"})
	if err != nil || len(list.Items) != 1 || len(list.Items[0].Status.ContainerStatuses) != 1 {
		t.Fatalf("there is not one agent with one container: %v %v", list, err)
	}
	return list.Items[0]
}

func agentLease(t *testing.T, client kubernetes.Interface) coordinationv1.LeaseSpec {
	t.Helper()
	lease, err := client.CoordinationV1().Leases(deploy.Namespace).Get(t.Context(), "berth-agent", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return lease.Spec
}

// agentProcess finds the agent among the processes of the node, which include this test.
func agentProcess(t *testing.T) (pid int) {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, line := range lines {
		arguments, err := os.ReadFile(line)
		if err == nil && bytes.HasPrefix(arguments, []byte("/usr/local/bin/berth\x00agent\x00")) {
			found = append(found, filepath.Base(filepath.Dir(line)))
		}
	}
	if len(found) == 1 {
		pid, err = strconv.Atoi(found[0])
	}
	if pid == 0 || err != nil {
		t.Fatal(fmt.Sprint("there is not one agent: ", found, err))
	}
	return pid
}
