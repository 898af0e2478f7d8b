package branches

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/apitest"
	"berth.dev/berth/reconciler/naming"
)

func TestLost(t *testing.T) {
	repo := apitest.Repository()
	env := apitest.Environment(repo, "review", "feature/login")
	ns := func(change ...func(*metav1.PartialObjectMetadata)) metav1.PartialObjectMetadata {
		n := metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
			Name:   env.Spec.Namespace,
			Labels: map[string]string{LabelEnvironment: naming.ID("mine", "posts", "review", "feature/login")},
			Annotations: map[string]string{
				AnnotationBranch: "feature/login", AnnotationEnvironment: env.Name, AnnotationOnRemoval: "Delete",
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
		{name: "it is being deleted", ns: ns(func(n *metav1.PartialObjectMetadata) { n.DeletionTimestamp = &metav1.Time{Time: apitest.Noon} })},
		{name: "another installation's", ns: ns(func(n *metav1.PartialObjectMetadata) {
			n.Labels[LabelEnvironment] = naming.ID("theirs", "posts", "review", "feature/login")
		})},
		{name: "without labels", ns: ns(func(n *metav1.PartialObjectMetadata) { n.Labels = nil })},
		{name: "it says another branch than its label", ns: ns(func(n *metav1.PartialObjectMetadata) { n.Annotations[AnnotationBranch] = "main" })},
		{name: "it says another entry than its label", ns: ns(func(n *metav1.PartialObjectMetadata) {
			n.Annotations[AnnotationEnvironment] = "posts.production.feature-login"
		})},
		{name: "another repository's", ns: ns(func(n *metav1.PartialObjectMetadata) {
			n.Annotations[AnnotationEnvironment] = naming.Environment("other", "review", "feature/login")
			n.Labels[LabelEnvironment] = naming.ID("mine", "other", "review", "feature/login")
		})},
		{name: "it says another name than its label", ns: ns(func(n *metav1.PartialObjectMetadata) {
			n.Annotations[AnnotationEnvironment] = "posts.review.zzz"
		})},
		{name: "its Environment is there under another name", ns: ns(), have: []v1alpha1.Environment{{ObjectMeta: metav1.ObjectMeta{Name: "posts.review.zzz"}, Spec: env.Spec}}},
		{name: "left behind on purpose", ns: ns(func(n *metav1.PartialObjectMetadata) { n.Annotations[AnnotationOnRemoval] = "Orphan" })},
		{name: "without annotations", ns: ns(func(n *metav1.PartialObjectMetadata) { n.Annotations = nil })},
	} {
		t.Run(test.name, func(t *testing.T) {
			list := Lost("posts", "mine", Remainders{Namespaces: []*metav1.PartialObjectMetadata{&test.ns}}, test.have)
			if (len(list) == 1) != test.want {
				t.Fatalf("%d Environments were lost", len(list))
			}
			if !test.want {
				return
			}
			spec := env.Spec
			spec.Commit = ""
			if why := list[0].Warning(); !strings.HasSuffix(why, "to remove the label: kubectl label namespace posts-feature-login-hxtcaw berth.dev/environment-") {
				t.Errorf("it says %q", why)
			}
			if list[0].Name != env.Name || list[0].Spec != spec {
				t.Errorf("got %s %+v, want %s %+v", list[0].Name, list[0].Spec, env.Name, spec)
			}
		})
	}
}

// The marks of a namespace may be forged.
func TestOnlyWhatAnEntryLeadsToIsWrittenAgain(t *testing.T) {
	repo := apitest.Repository()
	env := apitest.Environment(repo, "review", "feature/login")
	of := func(entry, branch, namespace string) Remains {
		spec := env.Spec
		spec.Entry, spec.Branch, spec.Namespace = entry, branch, namespace
		return Remains{Wanted: Wanted{Spec: spec}}
	}
	for _, test := range []struct {
		name   string
		lost   Remains
		change func(*v1alpha1.Repository)
		want   bool
	}{
		{name: "the namespace of its branch", lost: of("review", "feature/login", env.Spec.Namespace), want: true},
		{name: "that of another branch", lost: of("review", "main", env.Spec.Namespace)},
		{name: "production's entry", lost: of("production", "main", "posts"),
			change: func(r *v1alpha1.Repository) { r.Spec.Environments[0].OnRemoval = v1alpha1.RemovalDelete }},
		{name: "an entry whose patterns are invalid", lost: of("review", "feature/login", env.Spec.Namespace),
			change: func(r *v1alpha1.Repository) { r.Spec.Environments[1].Branches = []v1alpha1.BranchPattern{"a b"} }},
		{name: "an entry that says that it deletes", lost: of("review", "feature/login", env.Spec.Namespace), want: true,
			change: func(r *v1alpha1.Repository) { r.Spec.Environments[1].OnRemoval = v1alpha1.RemovalDelete }},
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
			if got := test.lost.CalledFor(changed); got != test.want {
				t.Errorf("got %t", got)
			}
		})
	}
}
