package installation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/deploy"
	"berth.dev/berth/reconciler/manifest"
)

// Survey is what an installation consists of.
type Survey struct {
	// Namespace is nil if it does not exist. Ours reports whether it was created for Berth.
	Namespace *corev1.Namespace
	Ours      bool
	// Foreign are the objects in a namespace of Berth's that are not part of the installation, as Kind/name.
	Foreign []string
	// ID is the id in the labels of the installation's objects, "" if it is lost.
	ID           string
	Repositories []v1alpha1.Repository
	Environments []v1alpha1.Environment
	// Secrets are those that users created in the namespace.
	Secrets []string
	// Accounts are the names of the other clusters that berth cluster add gave the agent an account in.
	Accounts []string
	// Dead is why no agent can delete the environments, "" if one runs.
	Dead string
	// Others are the namespaces of other installations in the cluster. Objects of the cluster are shared with them.
	Others []string
	// Shared are the cluster-scoped objects that are deleted with the installation: those that no other needs.
	Shared []*unstructured.Unstructured
	// Definitions are Berth's kinds, if no other installation needs them.
	Definitions []*unstructured.Unstructured

	used map[string]bool // the Secrets and ConfigMaps that the installation uses, as Kind/name
}

// Nothing reports whether there is nothing to remove.
func (s *Survey) Nothing() bool {
	return len(s.Shared) == 0 && len(s.Definitions) == 0 && len(s.Repositories) == 0 && len(s.Environments) == 0 && !s.Goes() && s.ID == ""
}

// Deleted returns the environments that the removal deletes with everything in them, unless it keeps all.
func (s *Survey) Deleted() []v1alpha1.Environment { return s.with(v1alpha1.RemovalDelete) }

// Kept returns the environments that keep running in any case.
func (s *Survey) Kept() []v1alpha1.Environment {
	return slices.DeleteFunc(slices.Clone(s.Environments), func(e v1alpha1.Environment) bool { return e.Spec.OnRemoval == v1alpha1.RemovalDelete })
}

// Clusters returns the names of all other clusters that the agent reaches, sorted: also those with a kubeconfig of a user.
func (s *Survey) Clusters() []string {
	names := slices.Clone(s.Accounts)
	for i := range s.Environments {
		names = append(names, s.Environments[i].Spec.Cluster)
	}
	for i := range s.Repositories {
		for _, entry := range s.Repositories[i].Spec.Environments {
			if entry.Cluster != nil {
				names = append(names, entry.Cluster.SecretRef.Name)
			}
		}
	}
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(name string) bool { return name == "" })
}

func (s *Survey) with(policy v1alpha1.RemovalPolicy) (list []v1alpha1.Environment) {
	for _, env := range s.Environments {
		if env.Spec.OnRemoval == policy {
			list = append(list, env)
		}
	}
	return list
}

// Lost reports that nothing can delete environments: no agent runs, and without the id nothing proves what Berth created.
func (s *Survey) Lost() bool { return s.Dead != "" && s.ID == "" }

// knowsMarks reports whether the marks of the installation are known: by its id, or because the cluster has no other.
func (s *Survey) knowsMarks() bool { return s.ID != "" || len(s.Others) == 0 }

// marked reports whether an object has the label of the installation.
func (s *Survey) marked(object *metav1.PartialObjectMetadata) bool {
	id, _, found := strings.Cut(object.Labels[manifest.LabelEnvironment], ".")
	return found && (s.ID == "" || id == s.ID)
}

// The names that the agent gives its objects.
const (
	leaseName          = "berth-agent"
	installationSecret = "berth-installation"
	recordType         = "berth.dev/record"
)

// Survey finds what is installed. It changes nothing.
func (r *Remover) Survey(ctx context.Context) (*Survey, error) {
	s := &Survey{}
	for _, look := range []func(context.Context, *Survey) error{r.namespace, r.kinds, r.foreign, r.agent, r.others, r.shared} {
		if err := look(ctx, s); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// kinds reads the Repositories and Environments, if the cluster knows them.
func (r *Remover) kinds(ctx context.Context, s *Survey) error {
	repositories, environments := &v1alpha1.RepositoryList{}, &v1alpha1.EnvironmentList{}
	here := client.InNamespace(r.Namespace)
	err := errors.Join(r.listKind(ctx, repositories, here), r.listKind(ctx, environments, here))
	s.Repositories, s.Environments = repositories.Items, environments.Items
	return err
}

// listKind lists objects of one of Berth's kinds. A kind that is not installed has none.
func (r *Remover) listKind(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	err := r.Client.List(ctx, list, options...)
	if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// agent finds out whether an agent runs that can delete environments.
func (r *Remover) agent(ctx context.Context, s *Survey) error {
	lease, err := r.Kubernetes.CoordinationV1().Leases(r.Namespace).Get(ctx, leaseName, metav1.GetOptions{})
	if client.IgnoreNotFound(err) != nil {
		return err
	}
	now, timeErr := r.ServerTime(ctx)
	if timeErr != nil {
		return fmt.Errorf("reading the API server's clock: %w", timeErr)
	}
	switch {
	case err != nil:
		s.Dead = fmt.Sprintf("no agent has led in the namespace %s", r.Namespace)
	case !held(lease):
		s.Dead = "no agent holds Lease/" + leaseName
	case now.Sub(lease.Spec.RenewTime.Time) > leaseAge:
		s.Dead = fmt.Sprintf("no agent has renewed Lease/%s since %s", leaseName, lease.Spec.RenewTime.UTC().Format(time.RFC3339))
	}
	return nil
}

// others finds the namespaces of other installations: those that a ClusterRoleBinding of the agent names, and those with
// objects of Berth's kinds, which would be deleted with the kinds.
func (r *Remover) others(ctx context.Context, s *Survey) error {
	bindings, err := r.Kubernetes.RbacV1().ClusterRoleBindings().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for i := range bindings.Items {
		if bindings.Items[i].RoleRef.Name != "berth-agent" {
			continue
		}
		for _, subject := range bindings.Items[i].Subjects {
			ns := &corev1.Namespace{}
			if subject.Namespace == r.Namespace || subject.Namespace == "" || slices.Contains(s.Others, subject.Namespace) {
				continue
			}
			// A binding that outlived its namespace grants nothing.
			switch err := r.Client.Get(ctx, client.ObjectKey{Name: subject.Namespace}, ns); {
			case err == nil:
				s.Others = append(s.Others, subject.Namespace)
			case !apierrors.IsNotFound(err):
				return err
			}
		}
	}
	repositories, environments := &v1alpha1.RepositoryList{}, &v1alpha1.EnvironmentList{}
	if err := errors.Join(r.listKind(ctx, repositories), r.listKind(ctx, environments)); err != nil {
		return err
	}
	for i := range repositories.Items {
		s.addOther(repositories.Items[i].Namespace, r.Namespace)
	}
	for i := range environments.Items {
		s.addOther(environments.Items[i].Namespace, r.Namespace)
	}
	return nil
}

func (s *Survey) addOther(namespace, own string) {
	if namespace != own && !slices.Contains(s.Others, namespace) {
		s.Others = append(s.Others, namespace)
	}
}

// clusterKinds are the cluster-scoped kinds of an installation, besides its definitions. Policies are deleted first, because they
// limit who may change the rest.
var clusterKinds = []metav1.GroupVersionKind{
	{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "ValidatingAdmissionPolicyBinding"},
	{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "ValidatingAdmissionPolicy"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRoleBinding"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRole"},
}

// shared finds the objects of the cluster that are part of this installation only.
func (r *Remover) shared(ctx context.Context, s *Survey) error {
	objects, err := deploy.Objects()
	if err != nil {
		return err
	}
	installed := map[string]bool{}
	for _, object := range objects {
		installed[Name(object)] = true
	}
	for _, kind := range clusterKinds {
		list := &unstructured.UnstructuredList{}
		list.SetAPIVersion(kind.Group + "/" + kind.Version)
		list.SetKind(kind.Kind + "List")
		if err := r.Client.List(ctx, list); err != nil {
			return err
		}
		for i := range list.Items {
			object := &list.Items[i]
			if object.GetLabels()[partOf] != product && !installed[Name(object)] {
				continue
			}
			if r.goes(object, s.Others) {
				s.Shared = append(s.Shared, object)
			}
		}
	}
	if len(s.Others) > 0 {
		return nil
	}
	for _, object := range objects {
		if !isDefinition(object) {
			continue
		}
		found := &unstructured.Unstructured{}
		found.SetGroupVersionKind(object.GroupVersionKind())
		switch err := r.Client.Get(ctx, client.ObjectKeyFromObject(object), found); {
		case err == nil:
			s.Definitions = append(s.Definitions, found)
		case !apierrors.IsNotFound(err):
			return err
		}
	}
	return nil
}

// goes reports whether no other installation needs a cluster-scoped object. While there are others, only a binding all of whose
// subjects are in the namespace of this one goes: one of users or groups may be theirs.
func (r *Remover) goes(object *unstructured.Unstructured, others []string) bool {
	if len(others) == 0 {
		return true
	}
	subjects, _, _ := unstructured.NestedSlice(object.Object, "subjects")
	return object.GetKind() == "ClusterRoleBinding" && len(subjects) > 0 && !slices.ContainsFunc(subjects, func(item any) bool {
		subject, _ := item.(map[string]any)
		return subject["namespace"] != r.Namespace
	})
}

// Check returns why the user may not remove what a Survey found, by dry runs. It changes nothing.
func (r *Remover) Check(ctx context.Context, s *Survey) error {
	objects := slices.Concat(s.Shared, s.Definitions)
	all := make([]client.Object, 0, len(objects)+1)
	for _, object := range objects {
		all = append(all, object)
	}
	if s.Goes() {
		all = append(all, s.Namespace)
	}
	var errs []error
	for _, object := range all {
		if err := r.Client.Delete(ctx, object, client.DryRunAll); client.IgnoreNotFound(err) != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
