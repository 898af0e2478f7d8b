package checkup

import (
	"cmp"
	"context"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// pageHint is how to get what deploy/components/page has.
const pageHint = "add deploy/components/page, or page.enabled=true of the chart: docs/ui.md"

// page checks what the page in the cluster needs, if an agent serves it: its Secret, the right to ask what viewers may do, and
// the roles to bind.
func (c *Checker) page(ctx context.Context, f *findings) {
	for i := range c.agents {
		if flags := flagsOf(&c.agents[i]); cmp.Or(flags["page-address"], "0") != "0" {
			c.pageSecret(ctx, f, flags)
			c.pageRights(ctx, f)
			c.pageRoles(ctx, f)
			return // all replicas serve the same page
		}
	}
}

// flagsOf returns the flags of an agent that have a value.
func flagsOf(d *appsv1.Deployment) map[string]string {
	flags := map[string]string{}
	for _, container := range d.Spec.Template.Spec.Containers {
		words := slices.Concat(container.Command, container.Args)
		for n, word := range words {
			name, value, isWhole := strings.Cut(strings.TrimLeft(word, "-"), "=")
			switch {
			case !strings.HasPrefix(word, "-"):
			case isWhole:
				flags[name] = value
			case n+1 < len(words) && !strings.HasPrefix(words[n+1], "-"):
				flags[name] = words[n+1]
			}
		}
	}
	return flags
}

// pageSecret checks that the page can log in its viewers.
func (c *Checker) pageSecret(ctx context.Context, f *findings, flags map[string]string) {
	const check = "page secret"
	name := cmp.Or(flags["page-secret"], "berth-page")
	create := "kubectl create secret generic " + name + " -n " + c.Namespace + " --from-literal="
	entry, isProxy := "clientSecret", flags["page-proxy-user-header"] != ""
	if isProxy {
		entry = "proxySecret"
	}
	secret, err := c.Kubernetes.CoreV1().Secrets(c.Namespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		f.add(Problem, check, "Secret/%s does not exist, so that no viewer can log in; %s%s=…", name, create, entry)
	case err != nil:
		f.unseen(check, "Secret/"+name, err)
	case strings.TrimSpace(string(secret.Data[entry])) != "":
		f.add(OK, check, "Secret/%s has %s", name, entry)
	case isProxy:
		f.add(Problem, check, "Secret/%s has no proxySecret, so that every request is refused; delete it, then: %sproxySecret=\"$(openssl rand -hex 32)\"", name, create)
	default:
		f.add(Warning, check, "Secret/%s has no clientSecret, so that only a public client can log in; if the client at the issuer is confidential, delete the Secret, then: %sclientSecret=…", name, create)
	}
}

// pageRights checks that the agent may ask what a viewer may do. Otherwise it refuses everything.
func (c *Checker) pageRights(ctx context.Context, f *findings) {
	const check = "page rights"
	asks := right{authorizationv1.ResourceAttributes{Verb: "create", Group: "authorization.k8s.io", Resource: "subjectaccessreviews"}}
	lacking, err := c.lacking(ctx, c.Namespace, c.account, []right{asks})
	switch {
	case err != nil:
		f.unseen(check, "the rights of the agent's account (SubjectAccessReview)", err)
	case len(lacking) > 0:
		f.add(Problem, check, "the agent may not %s, so that its page shows nothing; %s", told(lacking), pageHint)
	default:
		f.add(OK, check, "the agent may ask what viewers may do")
	}
}

// pageRoles checks that the roles exist that viewers need.
func (c *Checker) pageRoles(ctx context.Context, f *findings) {
	const check = "page roles"
	var missing []string
	for _, name := range []string{"berth-viewer", "berth-operator", "berth-page-admin"} {
		switch _, err := c.Kubernetes.RbacV1().ClusterRoles().Get(ctx, name, metav1.GetOptions{}); {
		case apierrors.IsNotFound(err):
			missing = append(missing, name)
		case err != nil:
			f.unseen(check, "ClusterRole/"+name, err)
			return
		}
	}
	if len(missing) > 0 {
		f.add(Warning, check, "the ClusterRoles %s do not exist, which the page tells viewers to ask for; %s", strings.Join(missing, ", "), pageHint)
		return
	}
	f.add(OK, check, "the roles berth-viewer, berth-operator and berth-page-admin are there")
}
