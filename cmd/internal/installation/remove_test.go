package installation

import (
	"context"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
)

// leads lets an agent renew its lease, and returns the function that renews it again. The API server's time passes by a step with
// each call of it.
func (c *cluster) leads(step time.Duration) (renew func()) {
	c.Helper()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	c.remover.ServerTime = func(context.Context) (time.Time, error) {
		now = now.Add(step)
		return now, nil
	}
	leases := c.remover.Kubernetes.CoordinationV1().Leases("berth")
	lease := &coordinationv1.Lease{ObjectMeta: named(leaseName, nil), Spec: coordinationv1.LeaseSpec{
		HolderIdentity: new("laptop"), LeaseDurationSeconds: new(int32(15)), RenewTime: &metav1.MicroTime{Time: now},
	}}
	if _, err := leases.Create(c.Context(), lease, metav1.CreateOptions{}); err != nil {
		c.Fatal(err)
	}
	return func() {
		lease.Spec.RenewTime = &metav1.MicroTime{Time: now}
		if _, err := leases.Update(c.Context(), lease, metav1.UpdateOptions{}); err != nil {
			c.Error(err)
		}
	}
}

// An agent outside the cluster would delete the environments of a deleted Repository, whatever --keep says.
func TestUninstallKeepsRepositoriesWhileAnAgentRuns(t *testing.T) {
	c := newCluster(t)
	renew := c.leads(10 * time.Second)
	s := c.survey()
	ctx, cancel := context.WithCancel(t.Context())
	waits := 0
	serverTime := c.remover.ServerTime
	c.remover.ServerTime = func(ctx context.Context) (time.Time, error) {
		renew()
		if waits++; waits > 4 { // longer than the lease lasts
			cancel()
		}
		return serverTime(ctx)
	}
	if err := c.remover.Remove(ctx, s); err == nil {
		t.Error("the removal ended although an agent runs")
	}
	if !c.exists(&v1alpha1.Repository{ObjectMeta: named("posts", nil)}) {
		t.Error("the Repository was deleted while an agent runs")
	}
	if said := strings.Join(c.said, "\n"); !strings.Contains(said, "if laptop still runs, stop it") {
		t.Errorf("the agent is not named in:\n%s", said)
	}
}

// An agent that was killed, or that lost its rights, does not release its lease.
func TestUninstallEndsOnceTheLeaseIsNotRenewed(t *testing.T) {
	c := newCluster(t)
	c.leads(10 * time.Second)
	c.remove(c.survey())
	if c.exists(home) {
		t.Error("the namespace remains")
	}
}

func TestUninstallStopsOnlyItsOwnDeployment(t *testing.T) {
	foreign := &appsv1.Deployment{ObjectMeta: named("shop", map[string]string{"app.kubernetes.io/name": product})}
	pod := &corev1.Pod{ObjectMeta: named("shop-1", foreign.Labels)}
	c := newCluster(t, foreign, pod)
	ctx, cancel := context.WithCancel(t.Context())
	c.remover.Progress = func(line string) {
		if strings.Contains(line, "Pod/shop-1") {
			cancel() // it would wait forever
		}
	}
	if err := c.remover.Remove(ctx, c.survey()); err != nil {
		t.Errorf("the pod of another product stops the removal: %v", err)
	}
	if !c.exists(foreign) || !c.exists(pod) {
		t.Error("the Deployment of another product with the same name is gone")
	}
	if c.exists(&appsv1.Deployment{ObjectMeta: named("berth", nil)}) {
		t.Error("the agent's Deployment remains")
	}
}

// Bindings of users and groups grant rights on what all installations share.
func TestUninstallKeepsBindingsThatAnotherInstallationMayNeed(t *testing.T) {
	account := func(namespace string) rbacv1.Subject {
		return rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Name: "berth-agent", Namespace: namespace}
	}
	group := rbacv1.Subject{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: "developers"}
	binding := func(name, role string, subjects ...rbacv1.Subject) *rbacv1.ClusterRoleBinding {
		return &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: ours}, Subjects: subjects, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: role}}
	}
	other := binding("berth-agent-other", "berth-agent", account("other"))
	bindings := map[*rbacv1.ClusterRoleBinding]bool{
		binding("berth-agent", "berth-agent", account("berth")): false,
		binding("people", "berth-view", group):                  true,
		binding("both", "berth-view", account("berth"), group):  true,
		other: true,
	}
	c := newCluster(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "other"}})
	for object := range bindings {
		c.create(object)
	}
	if _, err := c.remover.Kubernetes.RbacV1().ClusterRoleBindings().Create(t.Context(), other.DeepCopy(), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.remove(c.survey())
	for object, stays := range bindings {
		if c.exists(object) != stays {
			t.Errorf("%s: exists %t, want %t", object.Name, !stays, stays)
		}
	}
}
