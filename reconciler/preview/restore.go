package preview

import (
	"context"
	"errors"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/naming"
)

// AnnotationOnRemoval on a namespace that Berth made is what the entry says of removal, so that an
// Environment can be written again from its namespace alone.
const AnnotationOnRemoval = "berth.dev/on-removal"

// The marks of a namespace that say whose it is; they are those that every object of an environment has.
const (
	labelEnvironment      = "berth.dev/environment"
	annotationBranch      = "berth.dev/branch"
	annotationEnvironment = "berth.dev/environment"
)

// ownerOf returns the Environment that a namespace says it belongs to, if it is one of this installation
// and its marks are true: the label is the digest of what the annotations say.
func ownerOf(ns *metav1.PartialObjectMetadata, installation string) (name string, spec v1alpha1.EnvironmentSpec, ok bool) {
	name = ns.Annotations[annotationEnvironment]
	repository, rest, _ := strings.Cut(name, ".")
	entry, _, _ := strings.Cut(rest, ".")
	spec = v1alpha1.EnvironmentSpec{
		Repository: repository,
		Entry:      entry,
		Branch:     ns.Annotations[annotationBranch],
		Namespace:  ns.Name,
		OnRemoval:  v1alpha1.RemovalPolicy(ns.Annotations[AnnotationOnRemoval]),
	}
	id := ns.Labels[labelEnvironment]
	return name, spec, id != "" && id == naming.ID(installation, spec.Repository, spec.Entry, spec.Branch)
}

// lost returns the Environments of a repository that have a namespace but do not exist, as they can be
// written again. Only what is to be deleted one day needs one for that: the namespaces of all others are
// left behind on purpose when their Environment goes.
func lost(repository, installation string, namespaces []metav1.PartialObjectMetadata, have []v1alpha1.Environment) []wanted {
	exists := map[string]bool{}
	for _, env := range have {
		exists[env.Name] = true
	}
	var list []wanted
	for i := range namespaces {
		ns := &namespaces[i]
		name, spec, ok := ownerOf(ns, installation)
		if ok && spec.Repository == repository && spec.OnRemoval == v1alpha1.RemovalDelete && !exists[name] && ns.DeletionTimestamp.IsZero() {
			list = append(list, wanted{name: name, spec: spec})
		}
	}
	return list
}

// indexRepository is the index by which the namespaces of a repository are found among those of all: they are looked
// at whenever the repository is.
const indexRepository = "berth.dev/repository"

// repositoryIn returns the repository of a namespace whose Environment has to be there.
func (r *Repositories) repositoryIn(o client.Object) []string {
	ns, ok := o.(*metav1.PartialObjectMetadata)
	if !ok {
		return nil
	}
	_, spec, ours := ownerOf(ns, r.Installation)
	if !ours || spec.OnRemoval != v1alpha1.RemovalDelete {
		return nil
	}
	return []string{spec.Repository}
}

// restore writes the Environments of a repository that were lost while their namespaces were not.
// Evidence and brake then decide about them as about any other.
func (r *Repositories) restore(ctx context.Context, repo types.NamespacedName, have []v1alpha1.Environment) error {
	var all metav1.PartialObjectMetadataList
	all.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NamespaceList"))
	if err := r.Client.List(ctx, &all, client.MatchingFields{indexRepository: repo.Name}, client.UnsafeDisableDeepCopy); err != nil {
		return err
	}
	var errs []error
	for _, w := range lost(repo.Name, r.Installation, all.Items, have) {
		confirmed, err := r.isLost(ctx, repo.Namespace, w)
		if confirmed && err == nil {
			r.Log.Warn("writing an Environment again, for its namespace is there", "environment", w.name, "namespace", w.spec.Namespace)
			err = r.Client.Apply(ctx, environmentApply(repo.Namespace, w), client.ForceOwnership, fieldOwner)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// isLost asks the API server itself: what is remembered of namespaces and Environments may be of
// different ages, and one that is just being deleted must not come back.
func (r *Repositories) isLost(ctx context.Context, namespace string, w wanted) (bool, error) {
	ns := &metav1.PartialObjectMetadata{}
	ns.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	err := r.Reader.Get(ctx, types.NamespacedName{Name: w.spec.Namespace}, ns)
	if err != nil || !ns.DeletionTimestamp.IsZero() {
		return false, client.IgnoreNotFound(err)
	}
	err = r.Reader.Get(ctx, types.NamespacedName{Namespace: namespace, Name: w.name}, &v1alpha1.Environment{})
	return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
}

// isGoing says whether one of our own kinds is being deleted, or is deleted: its objects then go because
// of that and not because somebody wants what they stand for gone.
func isGoing(ctx context.Context, reader client.Reader, plural string) (bool, error) {
	crd := &metav1.PartialObjectMetadata{}
	crd.APIVersion, crd.Kind = "apiextensions.k8s.io/v1", "CustomResourceDefinition"
	err := reader.Get(ctx, types.NamespacedName{Name: plural + "." + v1alpha1.GroupVersion.Group}, crd)
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	return !crd.DeletionTimestamp.IsZero(), err
}
