package node_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"berth.dev/berth/deploy"
	"berth.dev/berth/e2e/world"
)

// testAgent ends the agent in every way that a cluster does. Its environment has a migration, which must run once per
// commit that changes it.
func testAgent(t *testing.T) {
	posts := begins(t, "agent")
	posts.Environment("main").BecomesWithin(limit, "Healthy", posts.pushes("main", deployment("serve", probe), job("migrate", `sleep, "1"`, "")))
	for _, end := range []struct {
		name string
		test func(*testing.T, *team)
	}{
		{"it is killed for its memory", testKilled},
		{"it is deleted during a rollout", testDeleted},
		{"it is evicted, and its store is empty", testEvicted},
		{"it is updated during a rollout", testUpdated},
		{"the leader of two is killed", testLeaderOfTwo},
	} {
		t.Run(end.name, func(t *testing.T) {
			team := *posts
			team.Repository = posts.with(t)
			end.test(t, &team)
		})
	}
}

// An agent that the kernel kills, because its memory runs out, is restarted in its pod. It inherits the lease of its
// predecessor instead of waiting until the lease expires.
func testKilled(t *testing.T, posts *team) {
	client := admin(t)
	pod := awaitAgents(t, client, 1)[0]
	restarts, pid := pod.Status.ContainerStatuses[0].RestartCount, agentProcess(t)
	limitMemory(t, pid)
	push := pushed{generation: posts.generation()}
	var killed time.Time
	change := handOver(t, client, func() {
		push.commit = posts.pushes("main", deployment("work", ""))
		killed = exhaust(t, pod, pid)
	})
	t.Logf("that was %s after the kernel killed its predecessor", change.after.AcquireTime.Sub(killed).Round(time.Millisecond))
	posts.wroteOnce(t, push)

	now := awaitAgents(t, client, 1)[0]
	if status := now.Status.ContainerStatuses[0]; now.UID != pod.UID || status.RestartCount != restarts+1 {
		t.Errorf("the pod is %s with %d restarts, want %s with %d", now.UID, status.RestartCount, pod.UID, restarts+1)
	} else if last := status.LastTerminationState.Terminated; last == nil || last.Reason != "OOMKilled" {
		t.Errorf("the agent ended because of %+v, want OOMKilled", last)
	}
	if change.leader() != pod.Name {
		t.Errorf("the lease is that of %s", change.leader())
	}
	started := now.Status.ContainerStatuses[0].State.Running.StartedAt
	if took := change.after.AcquireTime.Sub(started.Time); took >= change.lasts() {
		t.Errorf("the lease was taken over %s after the start, and it lasts %s", took, change.lasts())
	}
}

func testDeleted(t *testing.T, posts *team) {
	client := admin(t)
	push := posts.migrates(t, "deleted")
	pod := awaitAgents(t, client, 1)[0]
	handOver(t, client, func() {
		if err := client.CoreV1().Pods(pod.Namespace).Delete(t.Context(), pod.Name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	})
	posts.wroteOnce(t, push)
}

// The Git stores are in the pod. The next agent fetches them again, and writes nothing.
func testEvicted(t *testing.T, posts *team) {
	client, production := admin(t), posts.Environment("main")
	before := production.Contents()
	pod := awaitAgents(t, client, 1)[0]
	handOver(t, client, func() {
		eviction := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace}}
		if err := client.PolicyV1().Evictions(pod.Namespace).Evict(t.Context(), eviction); err != nil {
			t.Fatal(err)
		}
	})
	commit := posts.git.Commit("main", map[string]string{"README.md": "Written after the eviction.\n"}, "no change of the manifests")
	production.BecomesWithin(limit, "Healthy", commit)
	if changed := before.Changed(production.Contents()); len(changed) > 0 {
		t.Errorf("the agent with an empty store changed %v", changed)
	}
}

// A rolling update starts the next agent beside the old one, which releases its lease when it ends.
func testUpdated(t *testing.T, posts *team) {
	client := admin(t)
	push := posts.migrates(t, "updated")
	handOver(t, client, func() {
		patch := fmt.Appendf(nil, `{"spec":{"template":{"metadata":{"annotations":{"updated":%q}}}}}`, time.Now())
		if _, err := client.AppsV1().Deployments(deploy.Namespace).Patch(t.Context(), "berth", types.StrategicMergePatchType, patch, metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	})
	posts.wroteOnce(t, push)
	awaitAgents(t, client, 1)
}

// A leader whose Pod is deleted by force has hardly any time to end. The other replica leads once the lease is released, or
// has expired.
func testLeaderOfTwo(t *testing.T, posts *team) {
	client := admin(t)
	scale(t, client, 2)
	defer scale(t, client, 1)
	awaitAgents(t, client, 2)
	push := posts.migrates(t, "two")
	leader := holder(agentLease(t, client))
	change := handOver(t, client, func() {
		if err := client.CoreV1().Pods(deploy.Namespace).Delete(t.Context(), leader, metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)}); err != nil {
			t.Fatal(err)
		}
	})
	if change.leader() == leader {
		t.Errorf("the lease is still that of %s", leader)
	}
	posts.wroteOnce(t, push)
}

func scale(t *testing.T, client kubernetes.Interface, replicas int) {
	t.Helper()
	patch := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas)
	if _, err := client.AppsV1().Deployments(deploy.Namespace).Patch(context.WithoutCancel(t.Context()), "berth", types.StrategicMergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
}

// pushed is a commit. The agent ends during its sync.
type pushed struct {
	commit string
	// generation is that of the Deployment before the sync.
	generation int64
	// migration is the UID of the Job; empty: there is none.
	migration types.UID
}

// migrates pushes a commit whose migration takes some seconds, and returns when it runs.
func (team *team) migrates(t *testing.T, what string) pushed {
	t.Helper()
	production, generation := team.Environment("main"), team.generation()
	before, _ := production.Find("Job/migrate")
	commit := team.pushes("main", deployment("work, "+what, ""), job("migrate", `sleep, "6", `+what, ""))
	job := production.AwaitObject("Job/migrate", "runs", func(o world.Object) bool { return before.Unstructured == nil || o.GetUID() != before.GetUID() })
	return pushed{commit, generation, job.GetUID()}
}

// generation returns the generation of production's Deployment, which the API server increments with every change of its spec.
func (team *team) generation() int64 {
	return team.Environment("main").Object("Deployment/api").GetGeneration()
}

// wroteOnce waits until the commit of a sync is healthy, and checks that its migration did not run again, and that the Deployment
// was changed once.
func (team *team) wroteOnce(t *testing.T, s pushed) {
	t.Helper()
	production := team.Environment("main")
	production.BecomesWithin(limit, "Healthy", s.commit)
	if s.migration != "" {
		if now := production.Object("Job/migrate").GetUID(); now != s.migration {
			t.Errorf("the migration is %s, want %s: it ran again", now, s.migration)
		}
	}
	if now := team.generation(); now != s.generation+1 {
		t.Errorf("the Deployment has the generation %d, want %d: it was not changed exactly once", now, s.generation+1)
	}
}

// awaitAgents waits until exactly n agents are ready and none is ending, and returns their pods.
func awaitAgents(t *testing.T, client kubernetes.Interface, n int) []corev1.Pod {
	t.Helper()
	var pods []corev1.Pod
	world.AwaitFor(t, limit, fmt.Sprintf("%d agents are ready", n), func() (string, bool) {
		list, err := client.CoreV1().Pods(deploy.Namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=berth"})
		if err != nil {
			return err.Error(), false
		}
		pods = list.Items
		ready := 0
		for _, pod := range pods {
			if pod.DeletionTimestamp == nil && len(pod.Status.ContainerStatuses) == 1 && pod.Status.ContainerStatuses[0].Ready {
				ready++
			}
		}
		return fmt.Sprintf("%d of %d are ready", ready, len(pods)), ready == n && len(pods) == n
	})
	return pods
}

// handedOver is a change of the leader: the last lease of the old one, and the first of the new one.
type handedOver struct{ before, after coordinationv1.LeaseSpec }

// leader returns the pod that leads now.
func (h handedOver) leader() string { return holder(h.after) }

func (h handedOver) lasts() time.Duration {
	return time.Duration(ptr.Deref(h.before.LeaseDurationSeconds, 0)) * time.Second
}

// vacant returns how long nobody renewed the lease.
func (h handedOver) vacant() time.Duration { return h.after.AcquireTime.Sub(h.before.RenewTime.Time) }

func holder(lease coordinationv1.LeaseSpec) string {
	pod, _, _ := strings.Cut(ptr.Deref(lease.HolderIdentity, ""), "_")
	return pod
}

// handOver disturbs the leader, and waits until another agent leads.
func handOver(t *testing.T, client kubernetes.Interface, disturb func()) handedOver {
	t.Helper()
	h := handedOver{before: agentLease(t, client)}
	first := ptr.Deref(h.before.HolderIdentity, "")
	began := time.Now()
	disturb()
	world.AwaitFor(t, limit, "the next agent leads", func() (string, bool) {
		h.after = agentLease(t, client)
		now := ptr.Deref(h.after.HolderIdentity, "")
		if now == first {
			h.before = h.after // the last renewal
		}
		return now, now != first && now != ""
	})
	t.Logf("the next agent led %s after the disturbance, %s after the last renewal of the lease", h.after.AcquireTime.Sub(began).Round(time.Millisecond), h.vacant().Round(time.Millisecond))
	return h
}

func agentLease(t *testing.T, client kubernetes.Interface) coordinationv1.LeaseSpec {
	t.Helper()
	lease, err := client.CoordinationV1().Leases(deploy.Namespace).Get(t.Context(), "berth-agent", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return lease.Spec
}

// agentProcess finds the agent among the processes of the node, which include this test. A child that the agent has just
// begun has the same arguments until it runs its own program.
func agentProcess(t *testing.T) (pid int) {
	t.Helper()
	world.AwaitFor(t, limit, "there is one agent", func() (string, bool) {
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
		return fmt.Sprint(found, err), pid != 0 && err == nil
	})
	return pid
}
