package preview

import (
	"context"
	"errors"
	"fmt"
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
// and its marks agree with each other: the label is the digest of what the annotations say, and the name follows
// from it. Whoever may write the namespace may have written them, so that they prove nothing.
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
	return name, spec, id != "" && id == idOf(spec, installation) && name == nameOf(spec)
}

func idOf(spec v1alpha1.EnvironmentSpec, installation string) string {
	return naming.ID(installation, spec.Repository, spec.Entry, spec.Branch)
}

// nameOf is the only name that an Environment may have: so no two have one id.
func nameOf(spec v1alpha1.EnvironmentSpec) string {
	return naming.Environment(spec.Repository, spec.Entry, spec.Branch)
}

// lost returns the Environments of a repository that do not exist while a namespace says that it is theirs. Only what
// is to be deleted one day needs one: the namespaces of all others are left behind on purpose when their Environment
// goes.
func lost(repository, installation string, namespaces []metav1.PartialObjectMetadata, have []v1alpha1.Environment) []remains {
	exists := map[string]bool{}
	for _, env := range have {
		exists[env.Name], exists[nameOf(env.Spec)] = true, true
	}
	var list []remains
	for i := range namespaces {
		ns := &namespaces[i]
		name, spec, ok := ownerOf(ns, installation)
		if ok && spec.Repository == repository && spec.OnRemoval == v1alpha1.RemovalDelete && !exists[name] && ns.DeletionTimestamp.IsZero() {
			list = append(list, remains{wanted: wanted{name: name, spec: spec}, namespace: ns})
		}
	}
	return list
}

// remains are an Environment that was lost, as its namespace has it.
type remains struct {
	wanted
	namespace *metav1.PartialObjectMetadata
}

// calledFor says whether the Repository's entry leads to this namespace and deletes it one day. An entry that names its
// branches is never believed to have lost an Environment: its namespace may be anybody's.
func (l remains) calledFor(repo *v1alpha1.Repository) bool {
	entry := naming.EntryOf(repo, &v1alpha1.Environment{Spec: l.spec})
	if entry == nil {
		return false
	}
	patterns, err := naming.CompilePatterns(entry.Branches)
	deletes := entry.OnRemoval == "" || entry.OnRemoval == v1alpha1.RemovalDelete
	return err == nil && !patterns.Literal() && deletes && naming.Namespace(entry.Namespace, l.spec.Branch) == l.spec.Namespace
}

// warning tells people of a namespace that is left alone.
func (l remains) warning() string {
	return fmt.Sprintf("namespace %s: says that it belongs to the environment %s, which does not exist, and nothing proves it: it is left alone; to take the label off: kubectl label namespace %s %s-",
		l.spec.Namespace, l.name, l.spec.Namespace, labelEnvironment)
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

// restore writes the Environments of a Repository that were lost while their namespaces were not, if it is proved that
// Berth made those. Evidence and brake then decide about them as about any other. It returns warnings of the others.
func (r *Repositories) restore(ctx context.Context, repo *v1alpha1.Repository, have []v1alpha1.Environment) (warnings []string, err error) {
	var all metav1.PartialObjectMetadataList
	all.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NamespaceList"))
	if err := r.Client.List(ctx, &all, client.MatchingFields{indexRepository: repo.Name}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, err
	}
	var errs []error
	for _, l := range lost(repo.Name, r.Installation, all.Items, have) {
		made, err := r.Made(ctx, l.name, idOf(l.spec, r.Installation), l.namespace)
		switch {
		case err != nil:
		case !made || !l.calledFor(repo):
			warnings = append(warnings, l.warning())
		default:
			err = r.rewrite(ctx, repo.Namespace, l.wanted)
		}
		errs = append(errs, err)
	}
	return warnings, errors.Join(errs...)
}

func (r *Repositories) rewrite(ctx context.Context, namespace string, w wanted) error {
	if confirmed, err := r.isLost(ctx, namespace, w); !confirmed || err != nil {
		return err
	}
	r.Log.Warn("writing an Environment again, because its namespace is there", "environment", w.name, "namespace", w.spec.Namespace)
	return r.Client.Apply(ctx, environmentApply(namespace, w), client.ForceOwnership, fieldOwner)
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
