package checkup_test

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestPage(t *testing.T) {
	const (
		noRights = "problem page rights: the agent may not create subjectaccessreviews.authorization.k8s.io, so that its page shows nothing; add deploy/components/page"
		noRoles  = "warning page roles: the ClusterRoles berth-viewer, berth-operator, berth-page-admin do not exist, which the page tells viewers to ask for; "
	)
	checks := []string{"page secret", "page rights", "page roles"}
	of := func(flags ...string) *appsv1.Deployment {
		d := deployment(appsv1.DeploymentStatus{})
		d.Spec.Template.Spec.Containers[0].Args = append([]string{"agent", "--leader-elect"}, flags...)
		return d
	}
	for _, test := range []struct {
		reason  string
		objects []any
		want    []string
	}{
		{"no page", []any{of()}, nil},
		{"a page that is off", []any{of("--page-address=0")}, nil},
		{"nothing but the flag", []any{of("--page-address=:8090", "--page-issuer=https://gitlab.example.com")},
			[]string{"problem page secret: Secret/berth-page does not exist, so that no viewer can log in; kubectl create secret generic berth-page -n ", noRights, noRoles}},
		{"a client without a secret", []any{of("--page-address", ":8090", "--page-secret=other"), secret("other")},
			[]string{"warning page secret: Secret/other has no clientSecret, so that only a public client can log in; ", noRights, noRoles}},
		{"a confidential client", []any{of("--page-address=:8090"), secret("berth-page", "clientSecret=s")},
			[]string{"ok page secret: Secret/berth-page has clientSecret", noRights, noRoles}},
		{"a proxy without a secret", []any{of("--page-address=:8090", "--page-proxy-user-header=X-User"), secret("berth-page", "clientSecret=s", "proxySecret=\n")},
			[]string{"problem page secret: Secret/berth-page has no proxySecret, so that every request is refused; ", noRights, noRoles}},
	} {
		t.Run(test.reason, func(t *testing.T) {
			namespace := shared(t).Namespace(t)
			put(t, namespace, test.objects...)
			sayAll(t, checker(t, shared(t).RESTConfig(), namespace).Installation(t.Context()), checks, test.want...)
		})
	}
	t.Run("all that it needs", func(t *testing.T) {
		namespace := shared(t).Namespace(t)
		put(t, namespace, of("--page-address=:8090"), secret("berth-page", "clientSecret=s"))
		bindAdmin(t, "", rbacv1.Subject{Kind: "ServiceAccount", Name: "captain", Namespace: namespace})
		roles := clientOf(t, shared(t).RESTConfig()).RbacV1().ClusterRoles()
		for _, name := range []string{"berth-viewer", "berth-operator", "berth-page-admin"} {
			if _, err := roles.Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		sayAll(t, checker(t, shared(t).RESTConfig(), namespace).Installation(t.Context()), checks,
			"ok page secret: Secret/berth-page has clientSecret", "ok page rights: the agent may ask what viewers may do", "ok page roles: ")
	})
	t.Run("outsider without rights", func(t *testing.T) {
		namespace := shared(t).Namespace(t)
		sayAll(t, checker(t, withoutRights(t, shared(t), namespace), namespace).Installation(t.Context()), checks)
	})
}
