package rights

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"berth.dev/berth/deploy"
	"berth.dev/berth/internal/clustertest"
)

// right is a verb on a resource, in the agent's namespace or anywhere.
type right struct {
	home                  bool
	verb, group, resource string
}

func (r right) String() string {
	where, name := "ClusterRole", r.resource
	if r.home {
		where = "Role"
	}
	if r.group != "" {
		name = strings.Replace(name, "/", "."+r.group+"/", 1)
		if !strings.Contains(name, r.group) {
			name += "." + r.group
		}
	}
	return where + ": " + r.verb + " " + name
}

// granted returns the rights of the agent's own roles.
func granted(t *testing.T) map[right]bool {
	t.Helper()
	objects, err := deploy.Objects()
	if err != nil {
		t.Fatal(err)
	}
	rights := map[right]bool{}
	for _, object := range objects {
		kind := object.GetKind()
		if object.GetName() != "berth-agent" || kind != "Role" && kind != "ClusterRole" {
			continue
		}
		var role rbacv1.ClusterRole // a Role has the same rules
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &role); err != nil {
			t.Fatal(err)
		}
		maps.Copy(rights, rightsOf(role.Rules, kind == "Role"))
	}
	return rights
}

// roleRights returns the rights of a ClusterRole.
func (a *agents) roleRights(t *testing.T, name string) map[right]bool {
	t.Helper()
	role, err := a.admin.RbacV1().ClusterRoles().Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return rightsOf(role.Rules, false)
}

// rightsOf returns the rights of some rules.
func rightsOf(rules []rbacv1.PolicyRule, home bool) map[right]bool {
	rights := map[right]bool{}
	for _, rule := range rules {
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					rights[right{home, verb, group, resource}] = true
				}
			}
		}
	}
	return rights
}

const agentUser = "system:serviceaccount:" + deploy.Namespace + ":" + deploy.ServiceAccount

// use is what the agent requested.
type use struct {
	// rights are those that it used under its own name.
	rights map[right]bool
	// refused are its requests that the API server refused, and borrowed those as an account of another namespace.
	refused, borrowed []string
}

// used reads from the audit log what the agent requested.
func (a *agents) used(t *testing.T) use {
	t.Helper()
	requests, err := a.Cluster.Requests(a.began)
	if err != nil {
		t.Fatal(err)
	}
	u := use{rights: map[right]bool{}}
	for _, r := range requests {
		if r.User == agentUser && r.Resource != "" {
			u.note(r)
		}
	}
	return u
}

func (u *use) note(r clustertest.Request) {
	resource := strings.TrimSuffix(r.Resource+"/"+r.Subresource, "/")
	switch {
	case r.Impersonated != "":
		u.noteAccount(r)
	case r.Status == http.StatusForbidden:
		u.refused = append(u.refused, fmt.Sprintf("%s %s %s", r.Verb, r.URI, r.Group))
	case r.Status < http.StatusBadRequest || r.Status == http.StatusNotFound || r.Status == http.StatusConflict:
		home := r.Namespace == deploy.Namespace
		u.rights[right{home, r.Verb, r.Group, resource}] = true
		if r.Verb == "watch" { // which also lists where the API server can stream lists, as this one can
			u.rights[right{home, "list", r.Group, resource}] = true
		}
		created := r.Status == http.StatusCreated || r.Status == http.StatusConflict && r.Verb == "patch"
		if created { // an apply that creates needs the right to create, too
			u.rights[right{home, "create", r.Group, resource}] = true
		}
		// The API server asks for these rights in the course of such a request.
		switch {
		case created && resource == "rolebindings":
			u.rights[right{false, "bind", r.Group, "clusterroles"}] = true
		case created && resource == "namespaces":
			u.rights[right{false, "operate", "berth.dev", "installations"}] = true
		}
	}
}

// noteAccount notes a request under the name of an account.
func (u *use) noteAccount(r clustertest.Request) {
	if r.Status < http.StatusBadRequest {
		u.rights[right{false, "impersonate", "", "serviceaccounts"}] = true
	}
	if r.Namespace != "" && !strings.HasPrefix(r.Impersonated, "system:serviceaccount:"+r.Namespace+":") {
		u.borrowed = append(u.borrowed, fmt.Sprintf("%s %s as %s", r.Verb, r.URI, r.Impersonated))
	}
}

// unused returns the granted rights that were not used.
func (u *use) unused(granted map[right]bool) (lines []string) {
	for r := range granted {
		if !u.rights[r] {
			lines = append(lines, r.String())
		}
	}
	slices.Sort(lines)
	return lines
}

// unexplained returns the rights that were used although deploy/ grants them nowhere.
func (u *use) unexplained(granted ...map[right]bool) (lines []string) {
	for r := range u.rights {
		everywhere := right{false, r.verb, r.group, r.resource}
		explains := func(rights map[right]bool) bool { return rights[r] || rights[everywhere] }
		if !slices.ContainsFunc(granted, explains) {
			lines = append(lines, r.String())
		}
	}
	slices.Sort(lines)
	return lines
}
