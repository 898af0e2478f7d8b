package branches

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/naming"
)

// AnnotationOnRemoval on a namespace that Berth made is what the entry says of removal, so that an
// Environment can be written again from its namespace alone.
const AnnotationOnRemoval = "berth.dev/on-removal"

// The marks of a namespace that say whose it is; they are those that every object of an environment has.
const (
	LabelEnvironment      = "berth.dev/environment"
	AnnotationBranch      = "berth.dev/branch"
	AnnotationEnvironment = "berth.dev/environment"
)

// OwnerOf returns the Environment that a namespace says it belongs to, if it is one of this installation
// and its marks agree with each other: the label is the digest of what the annotations say, and the name follows
// from it. Whoever may write the namespace may have written them, so that they prove nothing.
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
	return name, spec, id != "" && id == ID(spec, installation) && name == Name(spec)
}

// ID returns the id that the objects of an environment bear in their label.
func ID(spec v1alpha1.EnvironmentSpec, installation string) string {
	return naming.ID(installation, spec.Repository, spec.Entry, spec.Branch)
}

// Name is the only name that an Environment may have: so no two have one id.
func Name(spec v1alpha1.EnvironmentSpec) string {
	return naming.Environment(spec.Repository, spec.Entry, spec.Branch)
}

// Lost returns the Environments of a repository that do not exist while a namespace says that it is theirs. Only what
// is to be deleted one day needs one: the namespaces of all others are left behind on purpose when their Environment
// goes.
func Lost(repository, installation string, namespaces []metav1.PartialObjectMetadata, have []v1alpha1.Environment) []Remains {
	exists := map[string]bool{}
	for _, env := range have {
		exists[env.Name], exists[Name(env.Spec)] = true, true
	}
	var list []Remains
	for i := range namespaces {
		ns := &namespaces[i]
		name, spec, ok := OwnerOf(ns, installation)
		if ok && spec.Repository == repository && spec.OnRemoval == v1alpha1.RemovalDelete && !exists[name] && ns.DeletionTimestamp.IsZero() {
			list = append(list, Remains{Wanted: Wanted{Name: name, Spec: spec}, Namespace: ns})
		}
	}
	return list
}

// Remains are an Environment that was lost, as its namespace has it.
type Remains struct {
	Wanted
	Namespace *metav1.PartialObjectMetadata
}

// CalledFor says whether the Repository's entry leads to this namespace and deletes it one day. An entry that names its
// branches is never believed to have lost an Environment: its namespace may be anybody's.
func (l Remains) CalledFor(repo *v1alpha1.Repository) bool {
	entry := naming.EntryOf(repo, &v1alpha1.Environment{Spec: l.Spec})
	if entry == nil {
		return false
	}
	patterns, err := naming.CompilePatterns(entry.Branches)
	deletes := entry.OnRemoval == "" || entry.OnRemoval == v1alpha1.RemovalDelete
	return err == nil && !patterns.Literal() && deletes && naming.Namespace(entry.Namespace, l.Spec.Branch) == l.Spec.Namespace
}

// Warning tells people of a namespace that is left alone.
func (l Remains) Warning() string {
	return fmt.Sprintf("namespace %s: says that it belongs to the environment %s, which does not exist, and nothing proves it: it is left alone; to take the label off: kubectl label namespace %s %s-",
		l.Spec.Namespace, l.Name, l.Spec.Namespace, LabelEnvironment)
}
