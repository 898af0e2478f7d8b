package checkup_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/cmd/internal/checkup"
	"berth.dev/berth/deploy"
	"berth.dev/berth/internal/clustertest"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// shared is a cluster in which each test has its own namespace. Another cluster installs and removes Berth's kinds.
var shared = clustertest.Shared(clustertest.Config{APIServerOnly: true})

func checker(t *testing.T, config *rest.Config, namespace string) *checkup.Checker {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	reader, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return checkup.New(checkup.Config{Client: reader, Kubernetes: clientOf(t, config), Namespace: namespace, Now: func() time.Time { return now }})
}

func clientOf(t *testing.T, config *rest.Config) kubernetes.Interface {
	t.Helper()
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// withoutRights returns the configuration of an account without rights.
func withoutRights(t *testing.T, cluster *clustertest.Cluster, namespace string) *rest.Config {
	t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "outsider"}}
	if _, err := clientOf(t, cluster.RESTConfig()).CoreV1().ServiceAccounts(namespace).Create(t.Context(), account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	config, err := cluster.ConfigFor(t.Context(), namespace, "outsider")
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// say compares the findings of some checks with lines "result check: beginning of the message".
func say(t *testing.T, found []checkup.Finding, checks string, want ...string) {
	t.Helper()
	sayAll(t, found, strings.Fields(checks), want...)
}

// sayAll is say for checks whose names have several words.
func sayAll(t *testing.T, found []checkup.Finding, checks []string, want ...string) {
	t.Helper()
	var got []string
	for _, f := range found {
		if slices.Contains(checks, f.Check) {
			got = append(got, fmt.Sprintf("%s %s: %s", f.Result, f.Check, f.Message))
		}
	}
	if !slices.EqualFunc(got, want, strings.HasPrefix) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestKinds(t *testing.T) {
	cluster := clustertest.Start(t, clustertest.Config{APIServerOnly: true})
	outsider := withoutRights(t, cluster, "default")
	admin := checker(t, cluster.RESTConfig(), "default")
	const kinds = "environments.berth.dev repositories.berth.dev"
	say(t, admin.Installation(t.Context()), kinds,
		"problem environments.berth.dev: the kind is not installed; install Berth: ", "problem repositories.berth.dev: the kind is not installed; ")
	say(t, checker(t, outsider, "default").Installation(t.Context()), kinds,
		"problem environments.berth.dev: the kind is not served; install Berth: ", "problem repositories.berth.dev: the kind is not served; ")

	var definitions []*unstructured.Unstructured
	objects, err := deploy.Objects()
	for _, object := range objects {
		if object.GetKind() == "CustomResourceDefinition" {
			definitions = append(definitions, object)
		}
	}
	if err != nil || len(definitions) != 2 {
		t.Fatal(len(definitions), err)
	}
	// The kinds are established once an object of each can be applied.
	if err := clustertest.Apply(t.Context(), cluster.RESTConfig(), append(definitions, environment(), repository())...); err != nil {
		t.Fatal(err)
	}
	// Discovery lists a kind a moment after the API server serves it.
	err = wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		list, err := admin.Kubernetes.Discovery().ServerResourcesForGroupVersion("berth.dev/v1alpha1")
		return err == nil && len(list.APIResources) >= 4, nil // each has a status
	})
	if err != nil {
		t.Fatal(err)
	}
	say(t, admin.Installation(t.Context()), kinds,
		"ok environments.berth.dev: the kind is installed, and that of this version", "ok repositories.berth.dev: the kind is installed, and that of this version")
	say(t, checker(t, outsider, "default").Installation(t.Context()), kinds,
		"unknown environments.berth.dev: the kind is served; you are not allowed to check whether it is that of this version", "unknown repositories.berth.dev: the kind is served; ")

	say(t, admin.Strays(t.Context()), "namespaces")
	say(t, checker(t, cluster.RESTConfig(), "berth").Strays(t.Context()), "namespaces",
		"warning namespaces: Repository/posts in the namespace default is followed by no agent, and its READY stays empty; move it to the namespace berth, or ")
	say(t, checker(t, outsider, "berth").Strays(t.Context()), "namespaces")

	versions, _, _ := unstructured.NestedSlice(definitions[0].Object, "spec", "versions")
	delete(versions[0].(map[string]any), "additionalPrinterColumns")
	if err := unstructured.SetNestedSlice(definitions[0].Object, versions, "spec", "versions"); err != nil {
		t.Fatal(err)
	}
	if err := clustertest.Apply(t.Context(), cluster.RESTConfig(), definitions[0]); err != nil {
		t.Fatal(err)
	}
	say(t, admin.Installation(t.Context()), definitions[0].GetName(),
		"warning "+definitions[0].GetName()+": the kind is installed, but not that of this version of berth; install the one, or use the other")
}

func environment() *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "berth.dev/v1alpha1", "kind": "Environment", "metadata": map[string]any{"name": "posts.review.one", "namespace": "default"},
		"spec": map[string]any{"repository": "posts", "entry": "review", "branch": "one", "namespace": "posts-one"},
	}}
}

func repository() *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "berth.dev/v1alpha1", "kind": "Repository", "metadata": map[string]any{"name": "posts", "namespace": "default"},
		"spec": map[string]any{"url": "https://gitlab.example.com/acme/posts.git",
			"environments": []any{map[string]any{"name": "production", "branches": []any{"main"}, "namespace": "posts"}}},
	}}
}

func deployment(status appsv1.DeploymentStatus) *appsv1.Deployment {
	labels := map[string]string{"app.kubernetes.io/name": "berth"}
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "berth", Labels: labels}, Status: status}
	d.Spec.Selector = &metav1.LabelSelector{MatchLabels: labels}
	d.Spec.Template.Labels = labels
	d.Spec.Template.Spec = corev1.PodSpec{ServiceAccountName: "captain", Containers: []corev1.Container{{Name: "agent", Image: "berth:1"}}}
	return d
}

func lease(holder string, renewed time.Time) *coordinationv1.Lease {
	at := metav1.NewMicroTime(renewed)
	return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "berth-agent"}, Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder, RenewTime: &at}}
}

func secret(name string, entries ...string) *corev1.Secret {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string][]byte{}}
	for _, entry := range entries {
		key, value, _ := strings.Cut(entry, "=")
		s.Data[key] = []byte(value)
	}
	return s
}

// put creates objects in a namespace, including their status.
func put(t *testing.T, namespace string, objects ...any) {
	t.Helper()
	c := clientOf(t, shared(t).RESTConfig())
	for _, object := range objects {
		var err error
		switch object := object.(type) {
		case *appsv1.Deployment:
			made, failed := c.AppsV1().Deployments(namespace).Create(t.Context(), object, metav1.CreateOptions{})
			if err = failed; err == nil {
				made.Status = object.Status
				_, err = c.AppsV1().Deployments(namespace).UpdateStatus(t.Context(), made, metav1.UpdateOptions{})
			}
		case *coordinationv1.Lease:
			_, err = c.CoordinationV1().Leases(namespace).Create(t.Context(), object, metav1.CreateOptions{})
		case *corev1.Secret:
			_, err = c.CoreV1().Secrets(namespace).Create(t.Context(), object, metav1.CreateOptions{})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestInstallation(t *testing.T) {
	runs := appsv1.DeploymentStatus{ObservedGeneration: 1, Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1}
	const (
		noID    = "warning id: there is no Secret/berth-installation, which an agent makes when it starts"
		noLease = "problem lease: no agent has ever led here: there is no Lease/berth-agent; read its log: kubectl logs -n "
	)
	for _, test := range []struct {
		reason  string
		objects []any
		want    []string
	}{
		{"nothing", nil, []string{"problem agent: there is no Deployment with the label app.kubernetes.io/name=berth in the namespace ", noLease, noID}},
		{"an agent that is well", []any{deployment(runs), lease("berth-1", now), secret("berth-installation", "id=abc", "digest-key=k")},
			[]string{"ok agent: Deployment/berth runs berth:1", "ok lease: berth-1 leads", "ok id: the installation is abc"}},
		{"an agent somewhere else", []any{lease("laptop", now.Add(-time.Minute))},
			[]string{"ok agent: laptop, which is no pod of a Deployment in the namespace ", "ok lease: laptop leads", noID}},
		{"a second pod that is made", []any{deployment(appsv1.DeploymentStatus{ObservedGeneration: 1, Replicas: 2, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1})},
			[]string{"warning agent: Deployment/berth runs and is being changed: ", noLease, noID}},
		{"no pod", []any{deployment(appsv1.DeploymentStatus{ObservedGeneration: 1})},
			[]string{"problem agent: Deployment/berth has no pod that is ready: ", noLease, noID}},
		{"a lease that ended", []any{lease("berth-1", now.Add(-61*time.Second))},
			[]string{"problem agent: ", "problem lease: no agent leads: berth-1 renewed Lease/berth-agent at 2026-01-02T03:03:04Z for the last time", noID}},
		{"a lease that was let go of", []any{lease("", now)},
			[]string{"problem agent: ", "problem lease: no agent leads: the last one released Lease/berth-agent", noID}},
		{"half an id", []any{secret("berth-installation", "id=abc")},
			[]string{"problem agent: ", noLease, "problem id: Secret/berth-installation has no id or no digest-key; restore them: "}},
	} {
		t.Run(test.reason, func(t *testing.T) {
			namespace := shared(t).Namespace(t)
			put(t, namespace, test.objects...)
			say(t, checker(t, shared(t).RESTConfig(), namespace).Installation(t.Context()), "agent lease id", test.want...)
		})
	}
	t.Run("outsider without rights", func(t *testing.T) {
		namespace := shared(t).Namespace(t)
		outsider := withoutRights(t, shared(t), namespace)
		say(t, checker(t, outsider, namespace).Installation(t.Context()), "agent lease id rights",
			"unknown agent: you are not allowed to read the Deployments in the namespace "+namespace, "unknown lease: you are not allowed to read Lease/berth-agent",
			"unknown id: you are not allowed to read Secret/berth-installation", "unknown rights: you are not allowed to read the rights of the agent's account (SubjectAccessReview)")
	})
}

// bindAdmin binds cluster-admin to an account, everywhere or in one namespace, and waits until the authorizer knows.
func bindAdmin(t *testing.T, namespace string, account rbacv1.Subject) {
	t.Helper()
	name := account.Namespace + "-" + account.Name
	ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"}
	api := clientOf(t, shared(t).RESTConfig())
	var err error
	if namespace == "" {
		binding := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: ref, Subjects: []rbacv1.Subject{account}}
		_, err = api.RbacV1().ClusterRoleBindings().Create(t.Context(), binding, metav1.CreateOptions{})
	} else {
		binding := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: ref, Subjects: []rbacv1.Subject{account}}
		_, err = api.RbacV1().RoleBindings(namespace).Create(t.Context(), binding, metav1.CreateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
	everything := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:               "system:serviceaccount:" + account.Namespace + ":" + account.Name,
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: "*", Group: "*", Resource: "*"},
	}}
	err = wait.PollUntilContextTimeout(t.Context(), 10*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		answer, err := api.AuthorizationV1().SubjectAccessReviews().Create(ctx, everything, metav1.CreateOptions{})
		return err == nil && answer.Status.Allowed, err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestRights(t *testing.T) {
	namespace := shared(t).Namespace(t)
	put(t, namespace, deployment(appsv1.DeploymentStatus{}))
	c := checker(t, shared(t).RESTConfig(), namespace)
	user := "system:serviceaccount:" + namespace + ":captain"
	say(t, c.Installation(t.Context()), "rights", "problem rights: "+user+" may not ")
	bindAdmin(t, "", rbacv1.Subject{Kind: "ServiceAccount", Name: "captain", Namespace: namespace})
	say(t, c.Installation(t.Context()), "rights", "warning rights: "+user+" may write in all namespaces, although it needs to write there only as the accounts of environments; ")
}

func TestAccounts(t *testing.T) {
	namespace := shared(t).Namespace(t)
	c := checker(t, shared(t).RESTConfig(), namespace)
	environment := func(in, account string) v1alpha1.Environment {
		return v1alpha1.Environment{ObjectMeta: metav1.ObjectMeta{Name: "posts.review." + in},
			Spec: v1alpha1.EnvironmentSpec{Namespace: in, ServiceAccountName: account}, Status: v1alpha1.EnvironmentStatus{AppliedCommit: "abc"}}
	}
	here := environment(namespace, "")
	name := "problem accounts: " + here.Name + ": "
	accounts := func(environments ...v1alpha1.Environment) []checkup.Finding {
		return c.Repository(t.Context(), &v1alpha1.Repository{}, environments)
	}
	say(t, accounts(here), "accounts", name+"the agent may not act as the account berth-apply in the namespace "+namespace)
	bindAdmin(t, "", rbacv1.Subject{Kind: "ServiceAccount", Name: "berth", Namespace: namespace})
	say(t, accounts(here), "accounts", name+"system:serviceaccount:"+namespace+":berth-apply may not patch configmaps; patch secrets; patch services; patch deployments.apps; the agent binds it ")
	say(t, accounts(environment(namespace, "deployer")), "accounts",
		name+"system:serviceaccount:"+namespace+":deployer may not patch configmaps; patch secrets; patch services; patch deployments.apps; bind it a role in that namespace: kubectl create rolebinding deployer ")
	bindAdmin(t, namespace, rbacv1.Subject{Kind: "ServiceAccount", Name: "berth-apply", Namespace: namespace})
	queued := environment("elsewhere", "")
	queued.Status.AppliedCommit = ""
	say(t, accounts(here, queued), "accounts", "ok accounts: the environments' accounts may write what the environments run: 1 checked")
	say(t, accounts(queued), "accounts")
}

func TestPolicies(t *testing.T) {
	c := checker(t, shared(t).RESTConfig(), shared(t).Namespace(t))
	say(t, c.Installation(t.Context()), "policies", "problem policies: ValidatingAdmissionPolicy/berth-namespaces is not installed; ")
	objects, err := deploy.Objects()
	if err != nil {
		t.Fatal(err)
	}
	objects = slices.DeleteFunc(objects, func(o *unstructured.Unstructured) bool {
		return !strings.HasPrefix(o.GetKind(), "ValidatingAdmissionPolicy")
	})
	if err := clustertest.Apply(t.Context(), shared(t).RESTConfig(), objects...); err != nil {
		t.Fatal(err)
	}
	say(t, c.Installation(t.Context()), "policies", "ok policies: 8 objects limit ")
	there := &checkup.Account{Kubernetes: clientOf(t, shared(t).RESTConfig())}
	say(t, there.Check(t.Context(), objects, nil), "policies", "ok policies: 8 objects limit ")

	// A policy that was weakened protects nothing, although it is still there.
	admission := clientOf(t, shared(t).RESTConfig()).AdmissionregistrationV1()
	policy := func(patch string) {
		t.Helper()
		if _, err := admission.ValidatingAdmissionPolicies().Patch(t.Context(), "berth-agent", types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	binding := func(patch string) {
		t.Helper()
		if _, err := admission.ValidatingAdmissionPolicyBindings().Patch(t.Context(), "berth-agent", types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	const differs = ": not as in this version; apply the manifests of this version again: "
	policy(`{"spec":{"matchConstraints":{"excludeResourceRules":[{"apiGroups":[""],"apiVersions":["*"],"operations":["*"],"resources":["namespaces"]}]}}}`)
	say(t, c.Installation(t.Context()), "policies", "warning policies: ValidatingAdmissionPolicy/berth-agent"+differs)
	say(t, there.Check(t.Context(), objects, nil), "policies", "warning policies: ValidatingAdmissionPolicy/berth-agent: not as in this version; ")
	policy(`{"spec":{"matchConstraints":{"excludeResourceRules":null}}}`)
	say(t, c.Installation(t.Context()), "policies", "ok policies: ")
	binding(`{"spec":{"matchResources":{"objectSelector":{"matchLabels":{"never":"there"}}}}}`)
	say(t, c.Installation(t.Context()), "policies", "warning policies: ValidatingAdmissionPolicyBinding/berth-agent"+differs)
	binding(`{"spec":{"matchResources":null,"validationActions":["Audit"]}}`)
	say(t, c.Installation(t.Context()), "policies", "warning policies: ValidatingAdmissionPolicyBinding/berth-agent"+differs)
}
