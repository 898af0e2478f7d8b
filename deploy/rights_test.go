package deploy_test

import (
	"fmt"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"berth.dev/berth/deploy"
)

// A right is a verb on a resource ("pods/log" for a subresource): in a namespace, or in all of them and on what
// has none if namespace is empty.
type right struct{ verb, group, resource, namespace string }

func (r right) String() string {
	where := "everywhere"
	if r.namespace != "" {
		where = "in " + r.namespace
	}
	return fmt.Sprintf("%s %s.%s %s", r.verb, r.resource, r.group, where)
}

func (r right) attributes() *authorizationv1.ResourceAttributes {
	resource, subresource, _ := strings.Cut(r.resource, "/")
	return &authorizationv1.ResourceAttributes{
		Verb: r.verb, Group: r.group, Resource: resource, Subresource: subresource, Namespace: r.namespace,
	}
}

const ours, theirs = deploy.Namespace, "default"

// environmentKinds are the rules of berth-environment-kinds: what may come from Git.
var environmentKinds = []struct {
	group     string
	resources []string
}{
	{"", []string{"configmaps", "persistentvolumeclaims", "pods", "replicationcontrollers", "secrets", "serviceaccounts", "services"}},
	{"apps", []string{"daemonsets", "deployments", "replicasets", "statefulsets"}},
	{"batch", []string{"cronjobs", "jobs"}},
	{"autoscaling", []string{"horizontalpodautoscalers"}},
	{"networking.k8s.io", []string{"ingresses", "networkpolicies"}},
	{"policy", []string{"poddisruptionbudgets"}},
	{"rbac.authorization.k8s.io", []string{"rolebindings", "roles"}},
}

var agentMay = append(deployAnything(), []right{
	{"list", "berth.dev", "repositories", ours},
	{"watch", "berth.dev", "repositories", ours},
	{"patch", "berth.dev", "repositories", ours}, // for webhooks; see rbac/agent.yaml
	{"patch", "berth.dev", "repositories/status", ours},
	{"watch", "berth.dev", "environments", ours},
	{"create", "berth.dev", "environments", ours},
	{"patch", "berth.dev", "environments", ours},
	{"delete", "berth.dev", "environments", ours},
	{"patch", "berth.dev", "environments/status", ours},
	{"update", "", "secrets", ours},
	{"create", "coordination.k8s.io", "leases", ours},
	{"update", "coordination.k8s.io", "leases", ours},
	{"create", "", "events", ours},
	{"patch", "events.k8s.io", "events", ours},
	{"create", "", "namespaces", ""},
	{"delete", "", "namespaces", ""},
	{"watch", "apiextensions.k8s.io", "customresourcedefinitions", ""},
	{"get", "", "pods/log", theirs},
	{"list", "", "events", ""},
	{"watch", "", "events", ""},
}...)

var agentMayNot = []right{
	// Its kinds: not elsewhere, and no Repository of its own making.
	{"list", "berth.dev", "environments", ""},
	{"create", "berth.dev", "environments", theirs},
	{"create", "berth.dev", "repositories", ours},
	{"delete", "berth.dev", "repositories", ours},
	{"patch", "berth.dev", "repositories", theirs},
	{"update", "berth.dev", "environments", ours},
	{"update", "berth.dev", "environments/status", ours},
	// More rights than it was given.
	{"impersonate", "", "users", ""},
	{"impersonate", "", "groups", ""},
	{"impersonate", "", "serviceaccounts", theirs},
	{"create", "", "serviceaccounts/token", theirs},
	{"escalate", "rbac.authorization.k8s.io", "roles", theirs},
	{"bind", "rbac.authorization.k8s.io", "clusterroles", ""},
	{"create", "rbac.authorization.k8s.io", "clusterroles", ""},
	{"create", "rbac.authorization.k8s.io", "clusterrolebindings", ""},
	{"create", "certificates.k8s.io", "certificatesigningrequests", ""},
	// What running containers and nodes are.
	{"create", "", "pods/exec", theirs},
	{"create", "", "pods/attach", theirs},
	{"create", "", "pods/portforward", theirs},
	{"patch", "", "pods/ephemeralcontainers", theirs},
	{"get", "", "nodes/proxy", ""},
	{"patch", "", "nodes", ""},
	// What decides over other people's requests and traffic.
	{"create", "admissionregistration.k8s.io", "mutatingwebhookconfigurations", ""},
	{"create", "apiregistration.k8s.io", "apiservices", ""},
	{"patch", "", "endpoints", theirs},
	{"patch", "discovery.k8s.io", "endpointslices", theirs},
	// What the optional component grants, and what nothing needs.
	{"create", "apiextensions.k8s.io", "customresourcedefinitions", ""},
	{"create", "storage.k8s.io", "storageclasses", ""},
	{"create", "", "resourcequotas", theirs},
	{"patch", "", "limitranges", theirs},
	{"deletecollection", "apps", "deployments", theirs},
	{"update", "apps", "deployments", theirs},
	{"get", "coordination.k8s.io", "leases", theirs},
	{"*", "*", "*", ""},
}

// people are bound to a built-in role in the agent's namespace each.
var people = []struct {
	role        string
	may, mayNot []right
}{
	{
		role:   "view",
		may:    []right{{"watch", "berth.dev", "environments", ours}, {"get", "berth.dev", "repositories", ours}},
		mayNot: []right{{"patch", "berth.dev", "environments", ours}, {"get", "berth.dev", "environments", theirs}},
	},
	{
		role:   "edit",
		may:    []right{{"list", "berth.dev", "environments", ours}, {"patch", "berth.dev", "environments", ours}},
		mayNot: []right{{"patch", "berth.dev", "repositories", ours}, {"patch", "berth.dev", "environments/status", ours}},
	},
	{
		role:   "admin",
		may:    []right{{"create", "berth.dev", "repositories", ours}, {"delete", "berth.dev", "environments", ours}},
		mayNot: []right{{"create", "berth.dev", "repositories", theirs}},
	},
}

func deployAnything() []right {
	var rights []right
	for _, kinds := range environmentKinds {
		for _, resource := range kinds.resources {
			for _, verb := range []string{"get", "list", "watch", "create", "patch", "delete"} {
				rights = append(rights, right{verb, kinds.group, resource, ""})
			}
		}
	}
	return rights
}

func testRights(t *testing.T, agent kubernetes.Interface, rights []right, want bool) {
	t.Helper()
	for _, right := range rights {
		if got := may(t, agent, right); got != want {
			t.Errorf("%s: allowed %t, want %t", right, got, want)
		}
	}
}

// may asks the API server what the client's own account may do.
func may(t *testing.T, client kubernetes.Interface, right right) bool {
	t.Helper()
	review := &authorizationv1.SelfSubjectAccessReview{}
	review.Spec.ResourceAttributes = right.attributes()
	answer, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(t.Context(), review, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return answer.Status.Allowed
}

func testPeople(t *testing.T, admin kubernetes.Interface) {
	for _, person := range people {
		user := "somebody-with-" + person.role
		binding := &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: user},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: person.role},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: user}},
		}
		if _, err := admin.RbacV1().RoleBindings(ours).Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		// The binding, and the aggregation into the built-in role, reach the authorizer a moment later.
		awaitRight(t, person.may[0], func(right right) bool { return allowed(t, admin, user, right) })
		for _, right := range person.may {
			if !allowed(t, admin, user, right) {
				t.Errorf("%s may not %s", person.role, right)
			}
		}
		for _, right := range person.mayNot {
			if allowed(t, admin, user, right) {
				t.Errorf("%s may %s", person.role, right)
			}
		}
	}
}

func allowed(t *testing.T, admin kubernetes.Interface, user string, right right) bool {
	t.Helper()
	review := &authorizationv1.SubjectAccessReview{}
	review.Spec.User, review.Spec.ResourceAttributes = user, right.attributes()
	answer, err := admin.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), review, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return answer.Status.Allowed
}
