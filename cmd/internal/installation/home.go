package installation

import (
	"context"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
)

// Goes reports whether the namespace is deleted: it was created for Berth, and holds nothing else.
func (s *Survey) Goes() bool { return s.Ours && len(s.Foreign) == 0 }

// namespace reads the agent's namespace and the Secrets in it.
func (r *Remover) namespace(ctx context.Context, s *Survey) error {
	ns := &corev1.Namespace{}
	err := r.Client.Get(ctx, client.ObjectKey{Name: r.Namespace}, ns)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	s.Namespace, s.Ours = ns, ns.Labels[partOf] == product
	secrets, err := r.secrets(ctx)
	for i := range secrets {
		if secrets[i].Labels[LabelCluster] != "" {
			s.Accounts = append(s.Accounts, secrets[i].Name)
		}
		switch secret := &secrets[i]; {
		case secret.Name == installationSecret:
			s.ID = string(secret.Data["id"])
		case ofUser(secret):
			s.Secrets = append(s.Secrets, secret.Name)
		}
	}
	return err
}

func (r *Remover) secrets(ctx context.Context) ([]corev1.Secret, error) {
	list := &corev1.SecretList{}
	err := r.Client.List(ctx, list, client.InNamespace(r.Namespace))
	return list.Items, err
}

// ofUser reports whether a Secret was created by a user, and not by the agent, for a ServiceAccount or by Helm.
func ofUser(secret *corev1.Secret) bool {
	return secret.Name != installationSecret && secret.Type != recordType && secret.Type != corev1.SecretTypeServiceAccountToken &&
		!strings.HasPrefix(string(secret.Type), "helm.sh/")
}

// foreign finds the objects that would be lost with the namespace, although they are not part of the installation.
func (r *Remover) foreign(ctx context.Context, s *Survey) error {
	s.Foreign = nil
	if !s.Ours {
		return nil
	}
	objects, unavailable, err := r.contents(ctx)
	if err != nil {
		return err
	}
	if err := r.addUsed(ctx, s, objects); err != nil {
		return err
	}
	present := map[types.UID]bool{}
	for i := range objects {
		present[objects[i].UID] = true
	}
	for i := range objects {
		object := &objects[i]
		if name := object.Kind + "/" + object.Name; !s.used[name] && !follows(object, present) && isForeign(object) {
			s.Foreign = append(s.Foreign, name)
		}
	}
	for _, api := range unavailable {
		s.Foreign = append(s.Foreign, "unknown objects of the API "+api+", which is unavailable")
	}
	return nil
}

// contents lists the metadata of everything in the namespace that can be deleted, except Berth's kinds and the Secrets that no
// user created. It returns the APIs that are unavailable too, because nothing shows what they hold.
func (r *Remover) contents(ctx context.Context) (objects []metav1.PartialObjectMetadata, unavailable []string, err error) {
	kinds, unavailable, err := r.discover(deletable)
	if err != nil {
		return nil, nil, err
	}
	for _, kind := range kinds {
		if kind.GroupKind() == corev1.SchemeGroupVersion.WithKind("Secret").GroupKind() {
			continue
		}
		list, err := r.list(ctx, kind, client.InNamespace(r.Namespace))
		if err != nil {
			return nil, nil, err
		}
		objects = append(objects, list...)
	}
	secrets, err := r.secrets(ctx)
	for i := range secrets {
		if ofUser(&secrets[i]) {
			secret := metav1.PartialObjectMetadata{ObjectMeta: secrets[i].ObjectMeta}
			secret.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
			objects = append(objects, secret)
		}
	}
	return objects, unavailable, err
}

// deletable reports whether a namespace with objects of a resource can lose them.
func deletable(resource metav1.APIResource) bool {
	return resource.Namespaced && slices.Contains(resource.Verbs, "list") && slices.Contains(resource.Verbs, "delete")
}

// follows reports whether an object is deleted with an owner, which is a Repository or Environment or in the same namespace.
func follows(object *metav1.PartialObjectMetadata, present map[types.UID]bool) bool {
	return slices.ContainsFunc(object.OwnerReferences, func(owner metav1.OwnerReference) bool {
		return present[owner.UID] || strings.HasPrefix(owner.APIVersion, v1alpha1.GroupVersion.Group+"/")
	})
}

// isForeign reports whether an object, if nothing of the installation uses it, is neither Berth's nor the cluster's. A volume
// claim is always foreign, because Berth installs none.
func isForeign(object *metav1.PartialObjectMetadata) bool {
	kind := object.GroupVersionKind().GroupKind().String()
	switch {
	case !object.DeletionTimestamp.IsZero(), slices.Contains(passive, kind), slices.Contains(ofCluster[kind], object.Name):
		return false
	case kind == "PersistentVolumeClaim":
		return true
	}
	return object.Labels[partOf] != product
}

// passive are the kinds that do nothing by themselves: they describe, limit or grant what other objects in the namespace do, or
// what people may do with these.
var passive = []string{
	"Event", "Event.events.k8s.io", "Endpoints", "EndpointSlice.discovery.k8s.io", "Lease.coordination.k8s.io",
	"ResourceQuota", "LimitRange", "NetworkPolicy.networking.k8s.io", "PodDisruptionBudget.policy", "HorizontalPodAutoscaler.autoscaling",
	"Role.rbac.authorization.k8s.io", "RoleBinding.rbac.authorization.k8s.io",
}

// ofCluster are the names of the objects, by kind, that Kubernetes, OpenShift and Istio create in each namespace.
var ofCluster = map[string][]string{
	"ServiceAccount": {"default", "builder", "deployer"},
	"ConfigMap":      {"kube-root-ca.crt", "openshift-service-ca.crt", "istio-ca-root-cert"},
}

// addUsed remembers the Secrets and ConfigMaps that the Repositories, the Environments and Berth's objects in the
// namespace name.
func (r *Remover) addUsed(ctx context.Context, s *Survey, objects []metav1.PartialObjectMetadata) error {
	if s.used == nil {
		s.used = map[string]bool{}
	}
	var owners []any
	for i := range s.Repositories {
		owners = append(owners, &s.Repositories[i].Spec)
	}
	for i := range s.Environments {
		spec := &s.Environments[i].Spec
		owners = append(owners, spec)
		s.used["Secret/"+spec.Cluster] = true // the name of its kubeconfig
	}
	for _, owner := range owners {
		spec, err := runtime.DefaultUnstructuredConverter.ToUnstructured(owner)
		if err != nil {
			return err
		}
		addNamed(s.used, "", spec)
	}
	for i := range objects {
		if objects[i].Labels[partOf] != product || metav1.GetControllerOf(&objects[i]) != nil {
			continue
		}
		object := &unstructured.Unstructured{}
		object.SetGroupVersionKind(objects[i].GroupVersionKind())
		switch err := r.Client.Get(ctx, client.ObjectKeyFromObject(&objects[i]), object); {
		case err == nil:
			addNamed(s.used, "", object.Object)
		case !apierrors.IsNotFound(err):
			return err
		}
	}
	return nil
}

// addNamed adds the Secrets and ConfigMaps that a part of an object names, as Kind/name. It recognizes references by the keys
// of the API conventions: secretRef.name, secretName, imagePullSecrets[].name, configMap.name and so on.
func addNamed(names map[string]bool, key string, value any) {
	switch value := value.(type) {
	case []any:
		for _, item := range value {
			addNamed(names, key, item)
		}
	case map[string]any:
		for inner, item := range value {
			name, isText := item.(string)
			path := strings.ToLower(key + "." + inner)
			switch {
			case !isText || !strings.HasSuffix(path, "name"):
				addNamed(names, inner, item)
			case strings.Contains(path, "secret"):
				names["Secret/"+name] = true
			case strings.Contains(path, "configmap"):
				names["ConfigMap/"+name] = true
			}
		}
	}
}

// claimSecrets labels the Secrets that are deleted with the namespace. Once the Repositories are gone, nothing else shows
// whose they are, if the command is interrupted and started again.
func (r *Remover) claimSecrets(ctx context.Context, s *Survey) error {
	if !s.Goes() {
		return nil
	}
	secrets, err := r.secrets(ctx)
	if err != nil {
		return err
	}
	for i := range secrets {
		secret := &secrets[i]
		if !s.used["Secret/"+secret.Name] || secret.Labels[partOf] == product {
			continue
		}
		patch := []byte(`{"metadata":{"labels":{"` + partOf + `":"` + product + `"}}}`)
		err := r.Client.Patch(ctx, secret, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(manager))
		if client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	return nil
}
