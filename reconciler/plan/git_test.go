package plan_test

import (
	"cmp"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/internal/objecttest"
	"berth.dev/berth/reconciler/manifest"
)

// The vocabulary of manifests: it describes Git in as few words as a test needs.

// edit changes an object.
type edit = objecttest.Edit

var (
	field     = objecttest.Field
	annotated = objecttest.Annotated
	runs      = objecttest.Runs
	ttl       = objecttest.TTL
	deadline  = objecttest.Deadline
)

func object(apiVersion, kind, name string, edits ...edit) manifest.Object {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion(apiVersion)
	u.SetKind(kind)
	u.SetName(name)
	if scoped, _ := manifest.ClusterScoped(u.GroupVersionKind().GroupKind()); !scoped {
		u.SetNamespace("posts")
	}
	for _, e := range edits {
		e(u)
	}
	return manifest.Object{Unstructured: u, Origin: manifest.Origin{File: name + ".yaml", Line: 1}}
}

func configMap(name string, edits ...edit) manifest.Object {
	return object("v1", "ConfigMap", name, edits...)
}

func pvc(name string, edits ...edit) manifest.Object {
	return object("v1", "PersistentVolumeClaim", name, edits...)
}

func namespace(name string, edits ...edit) manifest.Object {
	return object("v1", "Namespace", name, edits...)
}

func deployment(name string, edits ...edit) manifest.Object {
	return object("apps/v1", "Deployment", name, edits...)
}

func webhook(name string) manifest.Object {
	return object("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", name)
}

// widget returns a custom resource. widgets returns the definition of its kind.
func widget(name string, edits ...edit) manifest.Object {
	return object("example.com/v1", "Widget", name, edits...)
}

func widgets(edits ...edit) manifest.Object {
	names := field(map[string]any{"kind": "Widget"}, "spec", "names")
	return object("apiextensions.k8s.io/v1", "CustomResourceDefinition", "widgets.example.com",
		append(edits, field("example.com", "spec", "group"), names)...)
}

func job(name string, edits ...edit) manifest.Object {
	return object("batch/v1", "Job", name, append([]edit{runs("app:1")}, edits...)...)
}

// wave puts an object into a wave. version changes its content.
func wave(n int) edit { return annotated(manifest.AnnotationWave, strconv.Itoa(n)) }

func version(n int64) edit { return field(n, "spec", "version") }

func within(namespace string) edit {
	return func(u *unstructured.Unstructured) { u.SetNamespace(namespace) }
}

// cluster makes an object cluster-scoped.
func cluster(u *unstructured.Unstructured) { u.SetNamespace("") }

func suspended(u *unstructured.Unstructured) { field(true, "spec", "suspend")(u) }

func once(u *unstructured.Unstructured) { annotated(manifest.AnnotationJob, "once")(u) }

func everyCommit(u *unstructured.Unstructured) { annotated(manifest.AnnotationJob, "every-commit")(u) }

func terminate(u *unstructured.Unstructured) {
	annotated(manifest.AnnotationJobReplace, "terminate")(u)
}

// sealed returns a set of manifests as the renderer does, with digests and in order.
func sealed(objects ...manifest.Object) manifest.Set {
	set := manifest.Set{Objects: slices.Clone(objects)}
	if err := set.Seal([]byte("key"), nil); err != nil {
		panic(err)
	}
	slices.SortStableFunc(set.Objects, func(a, b manifest.Object) int {
		pa, _ := manifest.PlaceOf(a)
		pb, _ := manifest.PlaceOf(b)
		return cmp.Or(pa.Compare(pb), a.Key().Compare(b.Key()))
	})
	return set
}
