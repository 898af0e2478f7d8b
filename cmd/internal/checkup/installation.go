package checkup

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/deploy"
	"berth.dev/berth/health"
)

const (
	agentLabel         = "app.kubernetes.io/name=berth"
	leaseName          = "berth-agent"
	installationSecret = "berth-installation"
	// leasePatience is the age at which an unrenewed lease counts as abandoned. It exceeds the lease's duration
	// because clocks differ.
	leasePatience = time.Minute
	installHint   = "install Berth: berth install"
	reapplyHint   = "apply the manifests of this version again: kubectl apply --server-side -k deploy"
)

// Installation checks what deploy/ installs, and whether an agent is running.
func (c *Checker) Installation(ctx context.Context) []Finding {
	f := &findings{about: "installation"}
	objects, err := deploy.Objects()
	if err != nil {
		f.add(Problem, "manifests", "the manifests in this program cannot be read: %v", err)
		return f.all
	}
	c.clock(ctx, f)
	for _, object := range objects {
		if object.GetKind() == "CustomResourceDefinition" {
			c.kind(ctx, f, object)
		}
	}
	c.account = c.agent(ctx, f)
	c.installationID(ctx, f)
	c.rights(ctx, f, objects)
	c.policies(ctx, f, objects)
	c.page(ctx, f)
	return f.all
}

// kind checks that one of Berth's kinds is installed with the schema of this program.
func (c *Checker) kind(ctx context.Context, f *findings, wanted *unstructured.Unstructured) {
	name := wanted.GetName()
	found := &unstructured.Unstructured{}
	found.SetGroupVersionKind(wanted.GroupVersionKind())
	err := c.Client.Get(ctx, client.ObjectKeyFromObject(wanted), found)
	switch {
	case apierrors.IsNotFound(err):
		f.add(Problem, name, "the kind is not installed; %s", installHint)
	case apierrors.IsForbidden(err) && c.serves(wanted):
		f.add(Unknown, name, "the kind is served; you are not allowed to check whether it is that of this version")
	case apierrors.IsForbidden(err):
		f.add(Problem, name, "the kind is not served; %s", installHint)
	case err != nil:
		f.unseen(name, "the definition of the kind", err)
	case health.Of(found).Status != health.Healthy:
		f.add(Problem, name, "the kind is not served: %s", health.Of(found).Message)
	case !sameSchemas(found, wanted):
		f.add(Warning, name, "the kind is installed, but not that of this version of berth; install the one, or use the other")
	default:
		f.add(OK, name, "the kind is installed, and that of this version")
	}
}

// serves reports whether the API server serves a kind. Every user may read that.
func (c *Checker) serves(definition *unstructured.Unstructured) bool {
	kind, _, _ := unstructured.NestedString(definition.Object, "spec", "names", "kind")
	list, err := c.Kubernetes.Discovery().ServerResourcesForGroupVersion(v1alpha1.GroupVersion.String())
	return err == nil && slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Kind == kind })
}

// sameSchemas reports whether two definitions have the same schemas.
func sameSchemas(a, b *unstructured.Unstructured) bool {
	versions := func(definition *unstructured.Unstructured) string {
		all := map[string]any{}
		list, _, _ := unstructured.NestedSlice(definition.Object, "spec", "versions")
		for _, item := range list {
			version, _ := item.(map[string]any)
			all[fmt.Sprint(version["name"])] = []any{version["schema"], version["additionalPrinterColumns"]}
		}
		text, err := json.Marshal(all)
		return cmp.Or(string(text), fmt.Sprint(err))
	}
	return versions(a) == versions(b)
}

// agent checks that an agent runs and leads, and returns its account.
func (c *Checker) agent(ctx context.Context, f *findings) (account string) {
	holder, leads := c.lease(ctx)
	list, err := c.Kubernetes.AppsV1().Deployments(c.Namespace).List(ctx, metav1.ListOptions{LabelSelector: agentLabel})
	switch {
	case err != nil:
		f.unseen("agent", "the Deployments in the namespace "+c.Namespace, err)
	case len(list.Items) == 0 && holder != "":
		f.add(OK, "agent", "%s, which is no pod of a Deployment in the namespace %s", holder, c.Namespace)
	case len(list.Items) == 0 && leads.Result == Unknown:
		f.add(Unknown, "agent", "it is no Deployment in the namespace %s, and you are not allowed to check whether it runs elsewhere", c.Namespace)
	case len(list.Items) == 0:
		f.add(Problem, "agent", "there is no Deployment with the label %s in the namespace %s; %s, or name the agent's namespace with -n", agentLabel, c.Namespace, installHint)
	default:
		account, c.agents = list.Items[0].Spec.Template.Spec.ServiceAccountName, list.Items
		for i := range list.Items {
			c.deployment(f, &list.Items[i])
		}
	}
	leads.About = f.about
	f.all = append(f.all, leads)
	return cmp.Or(account, deploy.ServiceAccount)
}

func (c *Checker) deployment(f *findings, d *appsv1.Deployment) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(d)
	if err != nil {
		f.unseen("agent", "Deployment/"+d.Name, err)
		return
	}
	object := &unstructured.Unstructured{Object: content}
	object.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("Deployment"))
	var images []string
	for _, container := range d.Spec.Template.Spec.Containers {
		images = append(images, container.Image)
	}
	switch h := health.Of(object); {
	case d.Status.AvailableReplicas == 0:
		f.add(Problem, "agent", "Deployment/%s has no pod that is ready: %s; kubectl describe pods -n %s -l %s", d.Name, cmp.Or(h.Message, "it is scaled to 0"), c.Namespace, agentLabel)
	case h.Status != health.Healthy:
		f.add(Warning, "agent", "Deployment/%s runs and is being changed: %s", d.Name, h.Message)
	default:
		f.add(OK, "agent", "Deployment/%s runs %s", d.Name, strings.Join(images, ", "))
	}
}

// lease returns the holder of the lease.
func (c *Checker) lease(ctx context.Context) (holder string, f Finding) {
	lease, err := c.Kubernetes.CoordinationV1().Leases(c.Namespace).Get(ctx, leaseName, metav1.GetOptions{})
	f.Check, f.Result = "lease", Problem
	switch {
	case apierrors.IsForbidden(err):
		f.Result, f.Message = Unknown, "you are not allowed to read Lease/"+leaseName
	case apierrors.IsNotFound(err):
		f.Message = "no agent has ever led here: there is no Lease/" + leaseName + "; read its log: kubectl logs -n " + c.Namespace + " -l " + agentLabel
	case err != nil:
		f.Result, f.Message = Unknown, fmt.Sprintf("Lease/%s cannot be read: %v", leaseName, err)
	case lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity == "" || lease.Spec.RenewTime == nil:
		f.Message = "no agent leads: the last one released Lease/" + leaseName
	case c.Now().Sub(lease.Spec.RenewTime.Time) > leasePatience:
		f.Message = fmt.Sprintf("no agent leads: %s renewed Lease/%s at %s for the last time", *lease.Spec.HolderIdentity, leaseName, lease.Spec.RenewTime.UTC().Format(time.RFC3339))
	case lease.Spec.RenewTime.Sub(c.Now()) > clockPatience:
		holder = *lease.Spec.HolderIdentity
		f.Result = Warning
		f.Message = fmt.Sprintf("%s leads, but its clock is ahead of the API server's by %s; synchronize the clock of its node, because it may refuse signed webhooks", holder, lease.Spec.RenewTime.Sub(c.Now()).Round(time.Second))
	default:
		holder = *lease.Spec.HolderIdentity
		f.Result, f.Message = OK, holder+" leads"
	}
	return holder, f
}

// installationID checks the id that marks all objects of the installation.
func (c *Checker) installationID(ctx context.Context, f *findings) {
	secret, err := c.Kubernetes.CoreV1().Secrets(c.Namespace).Get(ctx, installationSecret, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		f.add(Warning, "id", "there is no Secret/%s, which an agent makes when it starts", installationSecret)
	case err != nil:
		f.unseen("id", "Secret/"+installationSecret, err)
	case len(secret.Data["id"]) == 0 || len(secret.Data["digest-key"]) == 0:
		f.add(Problem, "id", "Secret/%s has no id or no digest-key; restore them: with other values, the agent would not recognize its own objects", installationSecret)
	default:
		f.add(OK, "id", "the installation is %s", secret.Data["id"])
	}
}
