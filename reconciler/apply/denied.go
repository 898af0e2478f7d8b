package apply

import (
	"fmt"
	"strings"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/plan"
)

// denial is the user and the right that the user lacks.
type denial struct{ user, verb, resource, group, namespace, name string }

// reapply restores the rights of the agent's installation.
const reapply = "apply the manifests of this version of Berth again: kubectl apply --server-side -k deploy"

// remedy returns the command that grants the missing right to the agent, or to the account that applies; empty for other
// errors.
func remedy(s plan.Step, err error) string {
	d, ok := denialOf(err)
	namespace, account, isAccount := accountOf(d.user)
	switch {
	case ok && isAccount && d.verb == "impersonate" && d.name != manifest.DefaultAccount:
		return d.impersonation(namespace, account)
	// Where impersonation can be constrained, the API server may name a verb such as impersonate-on:serviceaccount:patch.
	case ok && (strings.HasPrefix(d.verb, "impersonate") || manifest.IsOwn(s.Key)):
		return reapply
	case ok && account == manifest.DefaultAccount && namespace == d.namespace:
		return d.extension()
	case ok && isAccount:
		return d.grant(namespace, account)
	case isGranting(err):
		return "remove these rights from the manifest, or ask an administrator of the cluster to grant them to that account first"
	}
	return ""
}

// accountOf returns the service account with this user name.
func accountOf(user string) (namespace, account string, ok bool) {
	rest, isAccount := strings.CutPrefix(user, "system:serviceaccount:")
	namespace, account, ok = strings.Cut(rest, ":")
	return namespace, account, ok && isAccount
}

// impersonation returns the command that lets the agent act as the account of an entry.
func (d denial) impersonation(namespace, account string) string {
	role := "berth-impersonate-" + d.name
	return fmt.Sprintf("let the agent act as the account %[2]s: kubectl create role %[1]s -n %[3]s --verb=impersonate --resource=serviceaccounts --resource-name=%[2]s && kubectl create rolebinding %[1]s -n %[3]s --role=%[1]s --serviceaccount=%[4]s:%[5]s",
		role, d.name, d.namespace, namespace, account)
}

// extension returns the command that allows a kind in all environments.
func (d denial) extension() string {
	return fmt.Sprintf("to allow it in all environments, add a ClusterRole with the label berth.dev/aggregate-to-environment: kubectl create clusterrole %[1]s --verb=get,list,watch,create,patch,delete --resource=%[2]s && kubectl label clusterrole %[1]s berth.dev/aggregate-to-environment=true",
		"berth-environment-"+d.plural(), d.kind())
}

// grant returns the command that grants a right to the account of an entry, in a namespace or in the whole cluster.
func (d denial) grant(namespace, account string) string {
	role, kind, in := account+"-"+d.plural(), "role", " -n "+d.namespace
	if d.namespace == "" {
		kind, in = "clusterrole", ""
	}
	return fmt.Sprintf("grant it to the account: kubectl create %[1]s %[2]s%[3]s --verb=get,list,watch,create,patch,delete --resource=%[4]s && kubectl create %[1]sbinding %[2]s%[3]s --%[1]s=%[2]s --serviceaccount=%[5]s:%[6]s",
		kind, role, in, d.kind(), namespace, account)
}

// plural is the resource as part of a name.
func (d denial) plural() string { return strings.ReplaceAll(d.resource, "/", "-") }

// kind is the resource as kubectl create role takes it: resource.group/subresource.
func (d denial) kind() string {
	resource, subresource, isSub := strings.Cut(d.resource, "/")
	if d.group != "" {
		resource += "." + d.group
	}
	if isSub {
		resource += "/" + subresource
	}
	return resource
}
