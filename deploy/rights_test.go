package deploy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"berth.dev/berth/deploy"
)

// A right is a verb on a resource ("pods/log" for a subresource, "clusterroles:view" for one object) in a
// namespace. An empty namespace means all namespaces and cluster-scoped resources.
type right struct{ verb, group, resource, namespace string }

func (r right) String() string {
	where := "everywhere"
	if r.namespace != "" {
		where = "in " + r.namespace
	}
	return fmt.Sprintf("%s %s.%s %s", r.verb, r.resource, r.group, where)
}

func (r right) attributes() *authorizationv1.ResourceAttributes {
	resource, name, _ := strings.Cut(r.resource, ":")
	resource, subresource, _ := strings.Cut(resource, "/")
	return &authorizationv1.ResourceAttributes{
		Verb: r.verb, Group: r.group, Resource: resource, Subresource: subresource, Name: name, Namespace: r.namespace,
	}
}

const ours, theirs = deploy.Namespace, "default"

// environmentKinds are the kinds of applications. The account of an environment writes them, and the agent watches
// them.
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

// agentMay are the rights that the agent needs. Each verb of a rule for the agent in deploy/ must be listed here.
var agentMay = append(eachKind([]string{"list", "watch"}, "", "secrets"), []right{
	{"list", "berth.dev", "repositories", ours},
	{"watch", "berth.dev", "repositories", ours},
	{"patch", "berth.dev", "repositories", ours}, // for webhooks; see rbac/agent.yaml
	{"patch", "berth.dev", "repositories/status", ours},
	{"get", "berth.dev", "environments", ours},
	{"list", "berth.dev", "environments", ours},
	{"watch", "berth.dev", "environments", ours},
	{"create", "berth.dev", "environments", ours},
	{"patch", "berth.dev", "environments", ours},
	{"delete", "berth.dev", "environments", ours},
	{"patch", "berth.dev", "environments/status", ours},
	{"get", "", "secrets", ours},
	{"list", "", "secrets", ours},
	{"watch", "", "secrets", ours},
	{"create", "", "secrets", ours}, // records, and the installation's id
	{"update", "", "secrets", ours},
	{"delete", "", "secrets", ours},
	{"get", "coordination.k8s.io", "leases", ours},
	{"create", "coordination.k8s.io", "leases", ours},
	{"update", "coordination.k8s.io", "leases", ours},
	{"create", "events.k8s.io", "events", ours},
	{"patch", "events.k8s.io", "events", ours},
	{"get", "", "namespaces", ""},
	{"list", "", "namespaces", ""},
	{"watch", "", "namespaces", ""},
	{"create", "", "namespaces", ""},
	{"patch", "", "namespaces", ""},
	{"delete", "", "namespaces", ""},
	{"get", "rbac.authorization.k8s.io", "rolebindings", theirs}, // an existing object in a binding's place
	{"create", "rbac.authorization.k8s.io", "rolebindings", theirs},
	{"patch", "rbac.authorization.k8s.io", "rolebindings", theirs},
	{"delete", "rbac.authorization.k8s.io", "rolebindings", theirs},
	{"bind", "rbac.authorization.k8s.io", "clusterroles:berth-environment", ""},
	{"impersonate", "", "serviceaccounts:berth-apply", theirs},
	{"get", "", "resourcequotas", theirs},
	{"create", "", "resourcequotas", theirs}, // these three belong to namespaceTemplate
	{"patch", "", "resourcequotas", theirs},
	{"delete", "", "resourcequotas", theirs},
	{"get", "", "limitranges", theirs},
	{"create", "", "limitranges", theirs},
	{"patch", "", "limitranges", theirs},
	{"delete", "", "limitranges", theirs},
	{"get", "networking.k8s.io", "networkpolicies", theirs},
	{"create", "networking.k8s.io", "networkpolicies", theirs},
	{"patch", "networking.k8s.io", "networkpolicies", theirs},
	{"delete", "networking.k8s.io", "networkpolicies", theirs},
	{"get", "apiextensions.k8s.io", "customresourcedefinitions", ""}, // whether the agent's own kinds are being deleted
	{"list", "apiextensions.k8s.io", "customresourcedefinitions", ""},
	{"watch", "apiextensions.k8s.io", "customresourcedefinitions", ""},
	{"list", "admissionregistration.k8s.io", "mutatingadmissionpolicies", ""}, // deleting one ends its refusals
	{"watch", "admissionregistration.k8s.io", "mutatingadmissionpolicies", ""},
	{"list", "admissionregistration.k8s.io", "mutatingadmissionpolicybindings", ""},
	{"watch", "admissionregistration.k8s.io", "mutatingadmissionpolicybindings", ""},
	{"list", "admissionregistration.k8s.io", "mutatingwebhookconfigurations", ""},
	{"watch", "admissionregistration.k8s.io", "mutatingwebhookconfigurations", ""},
	{"list", "admissionregistration.k8s.io", "validatingadmissionpolicies", ""},
	{"watch", "admissionregistration.k8s.io", "validatingadmissionpolicies", ""},
	{"list", "admissionregistration.k8s.io", "validatingadmissionpolicybindings", ""},
	{"watch", "admissionregistration.k8s.io", "validatingadmissionpolicybindings", ""},
	{"list", "admissionregistration.k8s.io", "validatingwebhookconfigurations", ""},
	{"watch", "admissionregistration.k8s.io", "validatingwebhookconfigurations", ""},
	{"operate", "berth.dev", "installations", ""}, // for policies.yaml
	{"get", "", "pods/log", theirs},
	{"list", "", "events", ""},
	{"watch", "", "events", ""},
}...)

var agentMayNot = append(eachKind([]string{"create", "patch", "delete"}, theirs, "rolebindings", "networkpolicies"), []right{
	// Its kinds in other namespaces, and Repositories of its own making.
	{"create", "berth.dev", "environments", theirs},
	{"create", "berth.dev", "repositories", ours},
	{"delete", "berth.dev", "repositories", ours},
	{"patch", "berth.dev", "repositories", theirs},
	{"update", "berth.dev", "environments", ours},
	{"update", "berth.dev", "environments/status", ours},
	// More rights than it was granted.
	{"impersonate", "", "users", ""},
	{"impersonate", "", "groups", ""},
	{"impersonate", "", "serviceaccounts", theirs},
	{"impersonate", "", "serviceaccounts:default", theirs},
	{"create", "", "serviceaccounts/token", theirs},
	{"escalate", "rbac.authorization.k8s.io", "roles", theirs},
	{"bind", "rbac.authorization.k8s.io", "clusterroles", ""},
	{"bind", "rbac.authorization.k8s.io", "clusterroles:admin", ""},
	{"create", "rbac.authorization.k8s.io", "clusterroles", ""},
	{"create", "rbac.authorization.k8s.io", "clusterrolebindings", ""},
	{"create", "certificates.k8s.io", "certificatesigningrequests", ""},
	// Access to running containers and nodes.
	{"create", "", "pods/exec", theirs},
	{"create", "", "pods/attach", theirs},
	{"create", "", "pods/portforward", theirs},
	{"patch", "", "pods/ephemeralcontainers", theirs},
	{"get", "", "nodes/proxy", ""},
	{"patch", "", "nodes", ""},
	// Control over other users' requests and traffic.
	{"create", "admissionregistration.k8s.io", "mutatingwebhookconfigurations", ""},
	{"patch", "admissionregistration.k8s.io", "validatingadmissionpolicies", ""},
	{"create", "apiregistration.k8s.io", "apiservices", ""},
	{"patch", "", "endpoints", theirs},
	{"patch", "discovery.k8s.io", "endpointslices", theirs},
	// Rights that nothing needs.
	{"get", "", "secrets", theirs},
	{"list", "", "secrets", ""},
	{"watch", "", "secrets", theirs},
	{"create", "apiextensions.k8s.io", "customresourcedefinitions", ""},
	{"create", "storage.k8s.io", "storageclasses", ""},
	{"deletecollection", "apps", "deployments", theirs},
	{"update", "apps", "deployments", theirs},
	{"get", "coordination.k8s.io", "leases", theirs},
	{"*", "*", "*", ""},
}...)

// The account of an environment in theirs, once the agent has bound its role there.
var (
	environmentMay = append(eachKind([]string{"get", "list", "watch", "create", "patch", "delete"}, theirs), []right{
		{"get", "", "namespaces", theirs}, // as in the built-in role admin
		{"update", "coordination.k8s.io", "leases", theirs},
	}...)
	environmentMayNot = append(eachKind([]string{"get", "create", "patch", "delete"}, ours), []right{
		// The bounds of its namespace, and the namespace's ownership.
		{"create", "", "namespaces", ""},
		{"patch", "", "namespaces", theirs},
		{"update", "", "namespaces/finalize", theirs},
		{"delete", "", "namespaces", theirs},
		{"create", "", "resourcequotas", theirs},
		{"patch", "", "resourcequotas", theirs},
		{"delete", "", "resourcequotas", theirs},
		{"create", "", "limitranges", theirs},
		{"patch", "", "limitranges", theirs},
		// More rights than it was granted.
		{"bind", "rbac.authorization.k8s.io", "clusterroles", theirs},
		{"bind", "rbac.authorization.k8s.io", "roles", theirs},
		{"escalate", "rbac.authorization.k8s.io", "roles", theirs},
		{"impersonate", "", "users", ""},
		{"operate", "berth.dev", "installations", ""},
		// Other namespaces' traffic.
		{"patch", "", "endpoints", theirs},
		{"patch", "discovery.k8s.io", "endpointslices", theirs},
		// The cluster.
		{"get", "", "nodes", ""},
		{"create", "rbac.authorization.k8s.io", "clusterroles", ""},
		{"create", "apiextensions.k8s.io", "customresourcedefinitions", ""},
		{"patch", "admissionregistration.k8s.io", "validatingadmissionpolicies", ""},
	}...)
)

// people are accounts with one built-in role each in the agent's namespace.
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

// eachKind returns the rights to some verbs on all kinds of applications, in a namespace or everywhere.
func eachKind(verbs []string, namespace string, without ...string) []right {
	var rights []right
	for _, kinds := range environmentKinds {
		for _, resource := range kinds.resources {
			for _, verb := range verbs {
				if !slices.Contains(without, resource) {
					rights = append(rights, right{verb, kinds.group, resource, namespace})
				}
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

// may returns the API server's answer whether the client's own account has a right.
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
		user := "user-with-" + person.role
		binding := &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: user},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: person.role},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: user}},
		}
		if _, err := admin.RbacV1().RoleBindings(ours).Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		// The binding and the aggregation into the built-in role reach the authorizer a moment later.
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

// A right that the agent does not need is an unwatched way in.
func TestEveryRuleForTheAgentIsNeeded(t *testing.T) {
	for _, object := range objects(t) {
		if kind := object.GetKind(); kind != "Role" && kind != "ClusterRole" || object.GetName() != "berth-agent" {
			continue
		}
		var role rbacv1.ClusterRole // a Role has the same rules
		decode(t, object, &role)
		for _, rule := range role.Rules {
			for _, granted := range granted(rule) {
				needed := func(r right) bool {
					everywhere := r.namespace != ours
					return r.verb == granted.verb && r.group == granted.group && r.resource == granted.resource && everywhere == (object.GetKind() == "ClusterRole")
				}
				if !slices.ContainsFunc(agentMay, needed) {
					t.Errorf("%s/%s grants %s, which nothing in agentMay needs", object.GetKind(), object.GetName(), granted)
				}
			}
		}
	}
}

// granted returns the rights of a rule.
func granted(rule rbacv1.PolicyRule) (rights []right) {
	names := append([]string{}, rule.ResourceNames...)
	if len(names) == 0 {
		names = []string{""}
	}
	for _, group := range rule.APIGroups {
		for _, resource := range rule.Resources {
			for _, name := range names {
				for _, verb := range rule.Verbs {
					rights = append(rights, right{verb: verb, group: group, resource: strings.TrimSuffix(resource+":"+name, ":")})
				}
			}
		}
	}
	return rights
}
