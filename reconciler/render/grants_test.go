package render_test

import (
	"strings"
	"testing"

	"berth.dev/berth/reconciler/render"
)

// role returns a Role with one rule, binding a RoleBinding with one subject.
func role(rule string) string {
	return "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: a}\nrules: [" + rule + "]\n"
}

func binding(ref, subject string) string {
	return "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: a}\nroleRef: {apiGroup: rbac.authorization.k8s.io, " + ref + "}\nsubjects: [{" + subject + "}]\n"
}

func TestABranchGrantsNothingBeyondItsNamespace(t *testing.T) {
	const (
		namespaces = "it grants rights on namespaces"
		grants     = "it grants the verb "
		everybody  = "which is everybody"
		own        = "which is Berth's own"
		account    = "kind: ServiceAccount, name: default"
	)
	for _, c := range []struct{ reason, text, refused string }{
		{"an application's own rights", role("{apiGroups: ['', apps], resources: [configmaps, deployments/scale], verbs: ['*']}"), ""},
		{"reading its namespace", role("{apiGroups: [''], resources: [namespaces], verbs: [get, list, watch]}"), ""},
		{"reading everything", role("{apiGroups: ['*'], resources: ['*'], verbs: [get]}"), ""},
		{"namespaces of another group", role("{apiGroups: [example.com], resources: [namespaces], verbs: [patch]}"), ""},
		{"patching namespaces", role("{apiGroups: [''], resources: [pods, namespaces], verbs: [get, patch]}"), namespaces},
		{"every verb on namespaces", role("{apiGroups: [''], resources: [namespaces], verbs: ['*']}"), namespaces},
		{"the status of namespaces", role("{apiGroups: [''], resources: [namespaces/status], verbs: [update]}"), namespaces},
		{"all resources of the core group", role("{apiGroups: [''], resources: ['*'], verbs: [patch]}"), namespaces},
		{"all subresources of one name", role("{apiGroups: ['*'], resources: ['*/finalize'], verbs: [update]}"), namespaces},
		{"in a second rule", role("{apiGroups: [''], resources: [pods], verbs: [get]}, {apiGroups: ['*'], resources: [namespaces], verbs: [delete]}"), namespaces},
		{"bind", role("{apiGroups: [rbac.authorization.k8s.io], resources: [clusterroles], resourceNames: [view], verbs: [bind]}"), grants + "bind"},
		{"escalate", role("{apiGroups: [rbac.authorization.k8s.io], resources: [roles], verbs: [escalate]}"), grants + "escalate"},
		{"impersonate", role("{apiGroups: [''], resources: [serviceaccounts], verbs: [impersonate]}"), grants + "impersonate"},
		{"constrained impersonation", role("{apiGroups: [authentication.k8s.io], resources: [serviceaccounts], verbs: ['impersonate:serviceaccount']}"), grants + "impersonate:serviceaccount"},
		{"every verb on roles", role("{apiGroups: [rbac.authorization.k8s.io], resources: [roles], verbs: ['*']}"), grants + "*"},
		{"every verb on accounts", role("{apiGroups: [''], resources: [serviceaccounts], verbs: ['*']}"), grants + "*"},
		{"a ClusterRole of the cluster", binding("kind: ClusterRole, name: view", account), ""},
		{"an account of another namespace", binding("kind: Role, name: metrics", account+", namespace: monitoring"), ""},
		{"a Role with a name like Berth's", binding("kind: Role, name: berth-agent", account), ""},
		{"the agent's ClusterRole", binding("kind: ClusterRole, name: berth-agent", account), own},
		{"the environments' ClusterRole", binding("kind: ClusterRole, name: berth-environment", account), own},
		{"what is part of it", binding("kind: ClusterRole, name: berth-environment-kinds", account), own},
		{"everybody who logs in", binding("kind: ClusterRole, name: view", "apiGroup: rbac.authorization.k8s.io, kind: Group, name: 'system:authenticated'"), everybody},
		{"everybody else", binding("kind: ClusterRole, name: view", "apiGroup: rbac.authorization.k8s.io, kind: User, name: 'system:anonymous'"), everybody},
		{"all accounts", binding("kind: Role, name: a", account+"}, {kind: Group, name: 'system:serviceaccounts'"), everybody},
		{"the accounts of a namespace", binding("kind: Role, name: a", "kind: Group, name: 'system:serviceaccounts:posts-login'"), ""},
	} {
		t.Run(c.reason, func(t *testing.T) {
			_, err := render.Render(t.Context(), one(c.text), options())
			switch {
			case c.refused == "" && err != nil:
				t.Errorf("got %v, want no error", err)
			case c.refused != "" && (err == nil || !strings.HasPrefix(err.Error(), "infra/k8s/x.yaml:1: Role") || !strings.Contains(err.Error(), c.refused)):
				t.Errorf("got %v, want a line of infra/k8s/x.yaml with %q", err, c.refused)
			}
			o := options()
			o.Scope = render.Cluster // the administrator chose this account
			if _, err := render.Render(t.Context(), one(c.text), o); err != nil {
				t.Errorf("with scope Cluster: got %v, want no error", err)
			}
		})
	}
}

func TestTheAgentsOwnNamesAreReserved(t *testing.T) {
	for _, text := range []string{
		"apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: berth-apply}\n",
		strings.Replace(binding("kind: ClusterRole, name: view", "kind: ServiceAccount, name: a"), "name: a}", "name: berth-apply.a1b2c3.x}", 1),
	} {
		for _, scope := range []render.Scope{render.Namespaced, render.Cluster} {
			o := options()
			o.Scope = scope
			if _, err := render.Render(t.Context(), one(text), o); err == nil || !strings.Contains(err.Error(), "its name is reserved for Berth; choose another name") {
				t.Errorf("got %v for %s", err, text)
			}
		}
	}
}
