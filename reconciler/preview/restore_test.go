package preview

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/naming"
)

func TestLost(t *testing.T) {
	repo := repository()
	env := environment(repo, "review", "feature/login")
	ns := func(change ...func(*metav1.PartialObjectMetadata)) metav1.PartialObjectMetadata {
		n := metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
			Name:   env.Spec.Namespace,
			Labels: map[string]string{labelEnvironment: naming.ID("mine", "posts", "review", "feature/login")},
			Annotations: map[string]string{
				annotationBranch: "feature/login", annotationEnvironment: env.Name, AnnotationOnRemoval: "Delete",
			},
		}}
		for _, f := range change {
			f(&n)
		}
		return n
	}
	for _, test := range []struct {
		name string
		ns   metav1.PartialObjectMetadata
		have []v1alpha1.Environment
		want bool
	}{
		{name: "its Environment is gone", ns: ns(), want: true},
		{name: "its Environment is there", ns: ns(), have: []v1alpha1.Environment{env}},
		{name: "it is being deleted", ns: ns(func(n *metav1.PartialObjectMetadata) { n.DeletionTimestamp = &metav1.Time{Time: noon} })},
		{name: "another installation's", ns: ns(func(n *metav1.PartialObjectMetadata) {
			n.Labels[labelEnvironment] = naming.ID("theirs", "posts", "review", "feature/login")
		})},
		{name: "nobody's", ns: ns(func(n *metav1.PartialObjectMetadata) { n.Labels = nil })},
		{name: "it says another branch than its label", ns: ns(func(n *metav1.PartialObjectMetadata) { n.Annotations[annotationBranch] = "main" })},
		{name: "it says another entry than its label", ns: ns(func(n *metav1.PartialObjectMetadata) {
			n.Annotations[annotationEnvironment] = "posts.production.feature-login"
		})},
		{name: "another repository's", ns: ns(func(n *metav1.PartialObjectMetadata) {
			n.Annotations[annotationEnvironment] = "other.review.feature-login"
			n.Labels[labelEnvironment] = naming.ID("mine", "other", "review", "feature/login")
		})},
		{name: "it says another name than its label", ns: ns(func(n *metav1.PartialObjectMetadata) {
			n.Annotations[annotationEnvironment] = "posts.review.zzz"
		})},
		{name: "its Environment is there under another name", ns: ns(), have: []v1alpha1.Environment{{ObjectMeta: metav1.ObjectMeta{Name: "posts.review.zzz"}, Spec: env.Spec}}},
		{name: "left behind on purpose", ns: ns(func(n *metav1.PartialObjectMetadata) { n.Annotations[AnnotationOnRemoval] = "Orphan" })},
		{name: "without annotations", ns: ns(func(n *metav1.PartialObjectMetadata) { n.Annotations = nil })},
	} {
		t.Run(test.name, func(t *testing.T) {
			list := lost("posts", "mine", []metav1.PartialObjectMetadata{test.ns}, test.have)
			if (len(list) == 1) != test.want {
				t.Fatalf("%d Environments were lost", len(list))
			}
			if !test.want {
				return
			}
			spec := env.Spec
			spec.Commit = ""
			if list[0].name != env.Name || list[0].spec != spec {
				t.Errorf("got %s %+v, want %s %+v", list[0].name, list[0].spec, env.Name, spec)
			}
		})
	}
}

// What a namespace says of itself may be somebody's invention.
func TestOnlyWhatAnEntryLeadsToIsWrittenAgain(t *testing.T) {
	repo := repository()
	env := environment(repo, "review", "feature/login")
	of := func(entry, branch, namespace string) remains {
		spec := env.Spec
		spec.Entry, spec.Branch, spec.Namespace = entry, branch, namespace
		return remains{wanted: wanted{spec: spec}}
	}
	for _, test := range []struct {
		name   string
		lost   remains
		change func(*v1alpha1.Repository)
		want   bool
	}{
		{name: "the namespace of its branch", lost: of("review", "feature/login", env.Spec.Namespace), want: true},
		{name: "that of another branch", lost: of("review", "main", env.Spec.Namespace)},
		{name: "production's entry", lost: of("production", "main", "posts-prod")},
		{name: "no entry", lost: of("gone", "feature/login", "elsewhere")},
		{name: "an entry that was renamed", lost: of("gone", "feature/login", env.Spec.Namespace), want: true},
		{name: "an entry that leaves everything behind", lost: of("review", "feature/login", env.Spec.Namespace),
			change: func(r *v1alpha1.Repository) { r.Spec.Environments[1].OnRemoval = v1alpha1.RemovalOrphan }},
	} {
		t.Run(test.name, func(t *testing.T) {
			changed := repo.DeepCopy()
			if test.change != nil {
				test.change(changed)
			}
			if got := test.lost.calledFor(changed); got != test.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

// Else a thousand new environments would have the whole repository looked at a thousand times.
func TestANamespaceWakesItsRepositoryOnlyWhenItsEnvironmentIsLost(t *testing.T) {
	w := newWorld(t)
	w.follow()
	w.branches("one", "feature/login")
	w.poll()
	w.healthy("feature/login")
	namespace := w.space("feature/login")
	repositories := NewRepositories(RepositoriesConfig{Client: w.client, Namespace: w.namespace, Installation: w.installation})
	ns := &metav1.PartialObjectMetadata{ObjectMeta: namespace.ObjectMeta}
	if woken := repositories.ownersOf(t.Context(), ns); len(woken) != 0 {
		t.Errorf("it wakes %v", woken)
	}
	ns.Annotations[annotationEnvironment], ns.Annotations[annotationBranch] = "posts.review.lost", "lost"
	ns.Labels[labelEnvironment] = naming.ID(w.installation, "posts", "review", "lost")
	if woken := repositories.ownersOf(t.Context(), ns); len(woken) != 1 || woken[0].Name != "posts" {
		t.Errorf("without its Environment it wakes %v", woken)
	}
}

// Else every repository would look through the namespaces of all, at every event.
func TestNamespacesAreFoundByRepository(t *testing.T) {
	r := NewRepositories(RepositoriesConfig{Installation: "mine"})
	ns := func(repository, removal string) *metav1.PartialObjectMetadata {
		return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
			Name:   "x",
			Labels: map[string]string{labelEnvironment: naming.ID("mine", "posts", "review", "f")},
			Annotations: map[string]string{
				annotationBranch: "f", annotationEnvironment: repository + ".review.f", AnnotationOnRemoval: removal,
			},
		}}
	}
	if got := r.repositoryIn(ns("posts", "Delete")); len(got) != 1 || got[0] != "posts" {
		t.Errorf("it belongs to %q, want posts", got)
	}
	if got := append(r.repositoryIn(ns("posts", "Orphan")), r.repositoryIn(ns("other", "Delete"))...); len(got) > 0 {
		t.Errorf("what needs no Environment, or is not what it says, belongs to %q", got)
	}
}
