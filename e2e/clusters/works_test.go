package clusters

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/deploy"
	"berth.dev/berth/e2e/world"
	"berth.dev/berth/internal/gittest"
)

// failing makes the migration of fleetFiles fail, with a log.
func failing(manifest string) string {
	return strings.Replace(manifest, "template: {spec: {restartPolicy",
		`template: {metadata: {labels: {kwok.berth.dev/behaviour: fail}, annotations: {kwok.berth.dev/exit-code: "7", kwok.berth.dev/log: no such table}}, spec: {restartPolicy`, 1)
}

// What works in the agent's own cluster works in another one. e2e/scenarios shows each of these in detail.
func TestWhatWorksInAnotherCluster(t *testing.T) {
	staging := reaches(t, "staging", west)
	staging.lends("works", "deployer")
	git := gittest.NewServer(t).Repository("works")
	files := fleetFiles("one")
	begin := git.Commit("main", files, "begin")
	repo := repository("works", git.URL())
	repo.Spec.Environments[0].Scope, repo.Spec.Environments[0].ServiceAccountName = v1alpha1.ScopeCluster, "deployer"
	repo.Spec.Environments[1].NamespaceTemplate = &v1alpha1.NamespaceTemplate{
		Labels:        map[string]v1alpha1.LabelValue{"team": "posts"},
		ResourceQuota: &corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("20")}},
	}
	for i := range repo.Spec.Environments {
		entry := &repo.Spec.Environments[i]
		entry.Cluster = &v1alpha1.ClusterReference{SecretRef: v1alpha1.SecretReference{Name: "staging"}}
		entry.Health.OnFailure = v1alpha1.FailureRollback
	}
	here := follows(t, east, repo)

	// A gate that fails, and a Job that runs on removal and fails. Both take a while.
	bad := git.CommitFrom(begin, "gate", map[string]string{"k8s/run.yaml": failing(files["k8s/run.yaml"])}, "a bad migration")
	drop := strings.Replace(failing(strings.Split(files["k8s/run.yaml"], "---\n")[0]), `berth.dev/wave: "-1"`, "berth.dev/job: on-removal", 1)
	first := git.CommitFrom(begin, "side", map[string]string{"k8s/drop.yaml": strings.ReplaceAll(drop, "migrate", "drop")}, "begin side")
	gate, side := here.Environment("gate"), here.Environment("side")
	before := side.Becomes("Healthy", first)
	git.Delete("side")

	staging.worksForAUser(here, git, begin)

	gate.Becomes("Failed", bad, "Job/migrate", "container migrate exited with code 7")
	gate.AwaitLog("no such table")
	staging.bounds("works-gate")
	if _, err := staging.admin.AppsV1().Deployments("works-gate").Get(t.Context(), "web", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the gate let a Deployment pass: %v", err)
	}
	good := git.Commit("gate", files, "a good migration")

	side.Becomes("Deleting", first, "Job/drop", "exited with code 7", "berth confirm works.review.side")
	staging.has("works-side", "one")
	does(t, east, "confirm", "works.review.side")
	staging.gone("works-side")
	gate.Becomes("Healthy", good)

	// The branch is back, and so is its environment.
	again := git.CommitFrom(begin, "side", files, "side again")
	if after := side.Becomes("Healthy", again); after.UID == before.UID {
		t.Error("the Environment is the earlier one")
	}
	staging.has("works-side", "one")
}

// bounds fails unless a namespace is as the template in TestWhatWorksInAnotherCluster.
func (r remote) bounds(namespace string) {
	r.t.Helper()
	space, err := r.admin.CoreV1().Namespaces().Get(r.t.Context(), namespace, metav1.GetOptions{})
	succeed(r.t, err)
	quotas, err := r.admin.CoreV1().ResourceQuotas(namespace).List(r.t.Context(), metav1.ListOptions{})
	succeed(r.t, err)
	if space.Labels["team"] != "posts" || len(quotas.Items) != 1 {
		r.t.Errorf("the namespace has the labels %v, and %d quotas", space.Labels, len(quotas.Items))
	}
}

// worksForAUser follows the environment of an account with rights in the cluster. A rollout that fails is rolled back.
func (r remote) worksForAUser(here *world.Repository, git *gittest.Repository, main string) {
	r.t.Helper()
	production := here.Environment("main")
	production.Becomes("Healthy", main)
	class := "apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {name: works-high}\nvalue: 7\n"
	main = git.Commit("main", map[string]string{"k8s/class.yaml": class}, "a class")
	production.Becomes("Healthy", main)
	_, err := r.admin.SchedulingV1().PriorityClasses().Get(r.t.Context(), "works-high", metav1.GetOptions{})
	succeed(r.t, err)
	crashes := strings.Replace(fleetFiles("one")["k8s/run.yaml"], "labels: {app: web}}", `labels: {app: web, kwok.berth.dev/behaviour: crash-loop}, annotations: {kwok.berth.dev/exit-code: "3"}}`, 1)
	bad := git.Commit("main", map[string]string{"k8s/run.yaml": crashes}, "a crash")
	production.Becomes("RolledBack", bad, bad[:8], main[:8], "Deployment/web")
	web, err := r.admin.AppsV1().Deployments("works").Get(r.t.Context(), "web", metav1.GetOptions{})
	succeed(r.t, err)
	if len(web.Spec.Template.Annotations) > 0 {
		r.t.Errorf("the Deployment is not that of the last healthy commit: %v", web.Spec.Template.Annotations)
	}
	// The account may write no classes any more, and the agent does not do it instead.
	succeed(r.t, r.admin.RbacV1().ClusterRoleBindings().Delete(r.t.Context(), "works-classes", metav1.DeleteOptions{}))
	worse := git.Commit("main", map[string]string{"k8s/run.yaml": fleetFiles("one")["k8s/run.yaml"], "k8s/class.yaml": class + "---\n" + strings.Replace(class, "works-high", "works-low", 1)}, "another class")
	production.Becomes("Failed", worse, "system:serviceaccount:works:deployer", "priorityclasses")
}

// lends creates a namespace with an account of a user, as docs/security.md shows: the agent may act as the account, which has
// the rights of an environment in the namespace, and may write PriorityClasses.
func (r remote) lends(namespace, account string) {
	r.t.Helper()
	ctx, rbac := r.t.Context(), r.admin.RbacV1()
	_, err := r.admin.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	succeed(r.t, err)
	agent := []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: deploy.Namespace, Name: deploy.ServiceAccount}}
	user := []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: account}}
	named := func(name string, labels map[string]string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Name: name, Labels: labels}
	}
	_, err = rbac.Roles(namespace).Create(ctx, &rbacv1.Role{ObjectMeta: named("act", nil), Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"serviceaccounts"}, ResourceNames: []string{account}, Verbs: []string{"impersonate"}},
	}}, metav1.CreateOptions{})
	succeed(r.t, err)
	for _, binding := range []*rbacv1.RoleBinding{
		{ObjectMeta: named("act", nil), RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "act"}, Subjects: agent},
		{ObjectMeta: named(account, nil), RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "berth-environment"}, Subjects: user},
	} {
		_, err = rbac.RoleBindings(namespace).Create(ctx, binding, metav1.CreateOptions{})
		succeed(r.t, err)
	}
	classes := func(verbs ...string) []rbacv1.PolicyRule {
		return []rbacv1.PolicyRule{{APIGroups: []string{"scheduling.k8s.io"}, Resources: []string{"priorityclasses"}, Verbs: verbs}}
	}
	for _, role := range []*rbacv1.ClusterRole{
		{ObjectMeta: named(namespace+"-classes", nil), Rules: classes("get", "list", "watch", "create", "patch", "delete")},
		{ObjectMeta: named(namespace+"-watch", map[string]string{"berth.dev/aggregate-to-watch": "true"}), Rules: classes("get", "list", "watch")},
	} {
		_, err = rbac.ClusterRoles().Create(ctx, role, metav1.CreateOptions{})
		succeed(r.t, err)
		r.t.Cleanup(func() { _ = rbac.ClusterRoles().Delete(context.Background(), role.Name, metav1.DeleteOptions{}) })
	}
	_, err = rbac.ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: named(namespace+"-classes", nil), Subjects: user,
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: namespace + "-classes"},
	}, metav1.CreateOptions{})
	succeed(r.t, err)
}
