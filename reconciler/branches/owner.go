package branches

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/naming"
)

// AnnotationOnRemoval holds the entry's onRemoval on a namespace that Berth created. With it, an Environment can be
// re-created from its namespace alone.
const AnnotationOnRemoval = "berth.dev/on-removal"

// The marks of ownership on a namespace are those of every object of an environment.
const (
	LabelEnvironment      = "berth.dev/environment"
	AnnotationBranch      = "berth.dev/branch"
	AnnotationEnvironment = "berth.dev/environment"
)

// OwnerOf returns the Environment that a namespace claims as its owner, if it belongs to this installation and its marks are
// consistent: the label is the digest of the annotations, and the name follows from it. The marks prove nothing, because
// everyone who may write the namespace can set them.
func OwnerOf(ns *metav1.PartialObjectMetadata, installation string) (name string, spec v1alpha1.EnvironmentSpec, ok bool) {
	name = ns.Annotations[AnnotationEnvironment]
	repository, rest, _ := strings.Cut(name, ".")
	entry, _, _ := strings.Cut(rest, ".")
	spec = v1alpha1.EnvironmentSpec{
		Repository: repository,
		Entry:      entry,
		Branch:     ns.Annotations[AnnotationBranch],
		Namespace:  ns.Name,
		OnRemoval:  v1alpha1.RemovalPolicy(ns.Annotations[AnnotationOnRemoval]),
	}
	id := ns.Labels[LabelEnvironment]
	return name, spec, id == ID(spec, installation) && name == Name(spec)
}

// ID returns the id in the label of an environment's objects.
func ID(spec v1alpha1.EnvironmentSpec, installation string) string {
	return naming.ID(installation, spec.Repository, spec.Entry, spec.Branch)
}

// Name returns the only valid name of an Environment, so that no two share an id.
func Name(spec v1alpha1.EnvironmentSpec) string {
	return naming.Environment(spec.Repository, spec.Entry, spec.Branch)
}

// Remainders are the namespaces of a cluster that bear the label of an environment.
type Remainders struct {
	Cluster    string
	Namespaces []*metav1.PartialObjectMetadata
}

// Lost returns the missing Environments of a repository whose namespaces still exist in a cluster, sorted by name. Only
// namespaces to be deleted on removal need one: all others stay behind on purpose when their Environment is deleted.
func Lost(repository, installation string, in Remainders, have []v1alpha1.Environment) []Remains {
	exists := map[string]bool{}
	for _, env := range have {
		exists[env.Name], exists[Name(env.Spec)] = true, true
	}
	var list []Remains
	for _, ns := range in.Namespaces {
		claimed := ns.Annotations[AnnotationEnvironment]
		if !strings.HasPrefix(claimed, repository+".") || exists[claimed] || !ns.DeletionTimestamp.IsZero() {
			continue // this spares nearly all namespaces the digest, at every listing
		}
		name, spec, ok := OwnerOf(ns, installation)
		spec.Cluster = in.Cluster
		if ok && spec.OnRemoval == v1alpha1.RemovalDelete {
			list = append(list, Remains{Wanted: Wanted{Name: name, Spec: spec}, Namespace: ns})
		}
	}
	slices.SortFunc(list, func(a, b Remains) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Remains are a lost Environment, as reconstructed from its namespace.
type Remains struct {
	Wanted
	Namespace *metav1.PartialObjectMetadata
}

// CalledFor reports whether the Repository's entry leads to this namespace of this cluster and deletes it on removal. A literal entry never
// counts, because anyone may have created its namespace.
func (l Remains) CalledFor(repo *v1alpha1.Repository) bool {
	entry := naming.EntryOf(repo, &v1alpha1.Environment{Spec: l.Spec})
	if entry == nil {
		return false
	}
	patterns, err := naming.CompilePatterns(entry.Branches)
	deletes := entry.OnRemoval == "" || entry.OnRemoval == v1alpha1.RemovalDelete
	return err == nil && !patterns.Literal() && deletes && naming.PlaceOf(entry, l.Spec.Branch) == naming.Here(&v1alpha1.Environment{Spec: l.Spec})
}

// Warning returns the message about a namespace that is left alone.
func (l Remains) Warning() string {
	where, there := "", ""
	if l.Spec.Cluster != "" {
		where, there = " of "+ClusterName(l.Spec.Cluster), " there"
	}
	return fmt.Sprintf("namespace %s%s: its label names the environment %s, which does not exist, and nothing proves that Berth created the namespace; it is left alone; to remove the label%s: kubectl label namespace %s %s-",
		l.Spec.Namespace, where, l.Name, there, l.Spec.Namespace, LabelEnvironment)
}
