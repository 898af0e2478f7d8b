package observed_test

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
)

// entry returns an entry of an object's managed fields. who is the manager, with the subresource after a colon.
func entry(who, fields string, at ...time.Duration) metav1.ManagedFieldsEntry {
	manager, subresource, _ := strings.Cut(who, ":")
	e := metav1.ManagedFieldsEntry{
		Manager: manager, Subresource: subresource, Operation: metav1.ManagedFieldsOperationUpdate,
		APIVersion: "apps/v1", FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(fields),
	}
	if manager == manifest.FieldManager {
		e.Operation = metav1.ManagedFieldsOperationApply
	}
	for _, d := range at {
		e.Time = &metav1.Time{Time: noon.Add(d)}
	}
	return e
}

func reduced(entries ...metav1.ManagedFieldsEntry) observed.Object {
	o := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: "api", ManagedFields: entries}}
	return observed.ReduceMetadata(o, deployment("api").GroupVersionKind())
}

func TestWhatPeopleAdded(t *testing.T) {
	ours := entry("berth", `{"f:spec":{"f:replicas":{},"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"api\"}":{".":{},"f:image":{},"f:name":{}}}}}}}`)
	env := func(name string) string {
		return `{"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"api\"}":{"f:env":{".":{},"k:{\"name\":\"` + name + `\"}":{".":{},"f:name":{},"f:value":{}}}}}}}}}`
	}
	whole := entry("berth", `{"f:spec":{"f:selector":{},"f:strategy":{"f:type":{}}}}`)
	old := entry("kubectl-edit", `{"f:spec":{"f:paused":{}}}`)
	old.APIVersion = "apps/v1beta1"
	tests := []struct {
		name    string
		entries []metav1.ManagedFieldsEntry
		want    string
	}{
		{"no other manager", []metav1.ManagedFieldsEntry{ours}, ""},
		{"a variable", []metav1.ManagedFieldsEntry{ours, entry("kubectl-set", env("DEBUG"))}, `kubectl-set added spec.template.spec.containers[name="api"].env`},
		{"fields that are ours too", []metav1.ManagedFieldsEntry{ours, entry("kubectl-edit", `{"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"api\"}":{"f:image":{}}}}}}}`)}, ""},
		{"many fields", []metav1.ManagedFieldsEntry{ours, entry("kubectl-patch", `{"f:spec":{"f:a":{},"f:b":{},"f:c":{},"f:d":{},"f:e":{}}}`)}, "kubectl-patch added spec.a, spec.b, spec.c and 2 more"},
		{"a whole pod template's part, by a controller", []metav1.ManagedFieldsEntry{ours, entry("istio", env("DEBUG"))}, ""},
		{"labels and annotations", []metav1.ManagedFieldsEntry{ours, entry("kubectl-edit", `{"f:metadata":{"f:labels":{"f:a":{}},"f:annotations":{".":{},"f:b":{}},"f:finalizers":{"v:\"x\"":{}}}}`)}, ""},
		{"replicas, a restart, a status", []metav1.ManagedFieldsEntry{
			ours, entry("kubectl-edit", `{"f:spec":{"f:replicas":{},"f:template":{"f:metadata":{"f:annotations":{".":{},"f:kubectl.kubernetes.io/restartedAt":{}}}}},"f:status":{"f:x":{}}}`),
		}, ""},
		{"the scale subresource", []metav1.ManagedFieldsEntry{ours, entry("kubectl:scale", `{"f:spec":{"f:paused":{}}}`)}, ""},
		{"another version of the API", []metav1.ManagedFieldsEntry{ours, old}, ""},
		{"the version of the API in which Berth applied it", []metav1.ManagedFieldsEntry{old, entry("kubectl-patch", `{"f:spec":{"f:minReadySeconds":{}}}`), ours}, "kubectl-patch added spec.minReadySeconds"},
		{"one field, by two", []metav1.ManagedFieldsEntry{ours, entry("kubectl-edit", `{"f:spec":{"f:paused":{}}}`), entry("kubectl-patch", `{"f:spec":{"f:paused":{},"f:minReadySeconds":{}}}`)}, "kubectl-edit added spec.paused, spec.minReadySeconds"},
		{"exactly as many fields as a message names", []metav1.ManagedFieldsEntry{ours, entry("kubectl-patch", `{"f:spec":{"f:a":{},"f:b":{},"f:c":{}}}`)}, "kubectl-patch added spec.a, spec.b, spec.c"},
		{"an object that kubectl made in two versions of the API", []metav1.ManagedFieldsEntry{entry("kubectl-create", `{"f:spec":{"f:paused":{}}}`), old}, "kubectl-create added spec.paused"},
		{"an object that kubectl made", []metav1.ManagedFieldsEntry{entry("kubectl-create", `{"f:spec":{"f:paused":{}}}`)}, "kubectl-create added spec.paused"},
		{"managed fields that were reset", []metav1.ManagedFieldsEntry{ours, entry("before-first-apply", `{"f:metadata":{"f:finalizers":{}},"f:spec":{"f:paused":{},"f:volumeName":{}}}`)}, "before-first-apply added spec.paused"},
		{"one field more than a message names", []metav1.ManagedFieldsEntry{ours, entry("kubectl-patch", `{"f:spec":{"f:a":{},"f:b":{},"f:c":{},"f:d":{}}}`)}, "kubectl-patch added spec.a, spec.b, spec.c and 1 more"},
		{"a field of a struct that Berth owns whole", []metav1.ManagedFieldsEntry{whole, entry("kubectl-edit", `{"f:spec":{"f:selector":{"f:matchLabels":{"f:a":{}}}}}`)}, "kubectl-edit added spec.selector.matchLabels"},
		{"a struct whole of which Berth owns a field", []metav1.ManagedFieldsEntry{whole, entry("kubectl-edit", `{"f:spec":{"f:strategy":{}}}`)}, "kubectl-edit added spec.strategy"},
		{"what cannot be read", []metav1.ManagedFieldsEntry{ours, entry("kubectl-edit", `{"f:spec":{"f:paused":{}}} and more`)}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := ""
			if a := reduced(test.entries...).Added; a != nil {
				got = a.String()
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestTakeOver(t *testing.T) {
	ours := entry("berth", `{"f:spec":{"f:replicas":{}}}`)
	hpa := entry("kube-controller-manager:scale", `{"f:spec":{"f:replicas":{}}}`)
	tests := []struct {
		name    string
		entries []metav1.ManagedFieldsEntry
		want    string
	}{
		{"nothing to take", []metav1.ManagedFieldsEntry{ours, hpa}, `berth {"f:spec":{"f:replicas":{}}}; kube-controller-manager {"f:spec":{"f:replicas":{}}}`},
		{"all of it", []metav1.ManagedFieldsEntry{ours, entry("kubectl-edit", `{"f:spec":{"f:paused":{}}}`), hpa}, `kube-controller-manager {"f:spec":{"f:replicas":{}}}; berth {"f:spec":{"f:paused":{},"f:replicas":{}}}`},
		{"all but labels", []metav1.ManagedFieldsEntry{ours, entry("kubectl-edit", `{"f:metadata":{"f:labels":{"f:a":{}}},"f:spec":{"f:paused":{}}}`)},
			`kubectl-edit {"f:metadata":{"f:labels":{"f:a":{}}}}; berth {"f:spec":{"f:paused":{},"f:replicas":{}}}`},
		{"nothing of a controller's", []metav1.ManagedFieldsEntry{ours, entry("operator", `{"f:spec":{"f:strategy":{}}}`), entry("kubectl-edit", `{"f:spec":{"f:paused":{}}}`)},
			`operator {"f:spec":{"f:strategy":{}}}; berth {"f:spec":{"f:paused":{},"f:replicas":{}}}`},
		{"nothing of an entry without fields", []metav1.ManagedFieldsEntry{ours, {Manager: "kubectl-edit", APIVersion: "apps/v1"}}, `berth {"f:spec":{"f:replicas":{}}}; kubectl-edit `},
		{"what was never ours", []metav1.ManagedFieldsEntry{entry("kubectl-create", `{"f:spec":{"f:paused":{}}}`), entry("kubectl-patch", `{"f:spec":{"f:minReadySeconds":{}}}`)},
			`berth {"f:spec":{"f:minReadySeconds":{},"f:paused":{}}}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			entries, err := observed.TakeOver(test.entries)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range entries {
				got = append(got, e.Manager+" "+e.FieldsV1.GetRawString())
			}
			if text := strings.Join(got, "; "); text != test.want {
				t.Errorf("got  %s\nwant %s", text, test.want)
			}
			live := reduced(entries...)
			if live.Added != nil {
				t.Errorf("after it there is still: %s", live.Added)
			}
		})
	}
}

func TestWhoScalesAndWhoWroteLast(t *testing.T) {
	ours := func(fields string) metav1.ManagedFieldsEntry { return entry("berth", fields, time.Minute) }
	replicas := `{"f:spec":{"f:replicas":{}}}`
	tests := []struct {
		name          string
		entries       []metav1.ManagedFieldsEntry
		scaler, rival string
	}{
		{"no other manager", []metav1.ManagedFieldsEntry{ours(replicas)}, "", ""},
		{"an autoscaler", []metav1.ManagedFieldsEntry{ours(`{}`), entry("kube-controller-manager:scale", replicas, time.Hour)}, "kube-controller-manager", "kube-controller-manager"},
		{"an autoscaler that wanted what Git says", []metav1.ManagedFieldsEntry{ours(replicas), entry("kube-controller-manager:scale", replicas, 0)}, "", ""},
		{"a person", []metav1.ManagedFieldsEntry{ours(`{}`), entry("kubectl:scale", replicas, time.Hour)}, "kubectl", "kubectl"},
		{"another manager before us", []metav1.ManagedFieldsEntry{ours(replicas), entry("kubectl-edit", `{}`, time.Second)}, "", ""},
		{"a controller's status", []metav1.ManagedFieldsEntry{ours(replicas), entry("kube-controller-manager:status", `{}`, time.Hour)}, "", ""},
		{"another manager at the same time", []metav1.ManagedFieldsEntry{ours(replicas), entry("operator", `{}`, time.Minute)}, "", "operator"},
		{"another manager after our first write, and before our last", []metav1.ManagedFieldsEntry{entry("berth", `{}`, 2*time.Hour), ours(replicas), entry("operator", `{}`, time.Hour)}, "", ""},
		{"another manager without a time", []metav1.ManagedFieldsEntry{ours(replicas), entry("operator", `{}`)}, "", ""},
		{"an autoscaler, of what only another field of Berth's is named like", []metav1.ManagedFieldsEntry{ours(`{"f:spec":{"f:template":{"f:replicas":{}}}}`), entry("kube-controller-manager:scale", replicas, 0)}, "kube-controller-manager", ""},
		{"an autoscaler of other fields", []metav1.ManagedFieldsEntry{ours(`{}`), entry("kube-controller-manager:scale", `{"f:spec":{"f:paused":{}}}`, 0)}, "", ""},
		{"a manager that does not scale", []metav1.ManagedFieldsEntry{ours(`{}`), entry("operator", replicas, 0)}, "", ""},
		{"the newest of several", []metav1.ManagedFieldsEntry{ours(replicas), entry("operator", `{}`, 3*time.Hour), entry("kubectl-edit", `{}`, time.Hour)}, "", "operator"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if live := reduced(test.entries...); live.Scaler != test.scaler || live.Rival != test.rival {
				t.Errorf("scaled by %q, last written by %q, want %q and %q", live.Scaler, live.Rival, test.scaler, test.rival)
			}
		})
	}
}

func TestTheLastWriteMayBeOurs(t *testing.T) {
	berth := func(at time.Duration) metav1.ManagedFieldsEntry { return entry("berth", `{}`, at) }
	kubectl := func(at time.Duration) metav1.ManagedFieldsEntry { return entry("kubectl", `{}`, at) }
	for name, test := range map[string]struct {
		fields []metav1.ManagedFieldsEntry
		want   bool
	}{
		"no fields":                    {nil, false},
		"ours alone":                   {[]metav1.ManagedFieldsEntry{berth(time.Second)}, true},
		"ours last":                    {[]metav1.ManagedFieldsEntry{berth(2 * time.Second), kubectl(time.Second)}, true},
		"another client's last":        {[]metav1.ManagedFieldsEntry{berth(time.Second), kubectl(2 * time.Second)}, false},
		"another client's status last": {[]metav1.ManagedFieldsEntry{berth(time.Second), entry("kubelet:status", `{}`, 2*time.Second)}, false},
		"in the same second":           {[]metav1.ManagedFieldsEntry{kubectl(time.Second), berth(time.Second)}, true},
		"never ours":                   {[]metav1.ManagedFieldsEntry{kubectl(time.Second)}, false},
		"an entry without time":        {[]metav1.ManagedFieldsEntry{entry("berth", `{}`)}, false},
	} {
		if got := observed.MayBeOurs(test.fields); got != test.want {
			t.Errorf("%s: %t, want %t", name, got, test.want)
		}
	}
}

func TestWhoseToolAnObjectIs(t *testing.T) {
	labelled := func(name, value string) edit {
		return func(u *unstructured.Unstructured) { u.SetLabels(map[string]string{name: value}) }
	}
	by := func(manager string) edit { return managed(entry(manager, `{}`)) }
	tests := []struct {
		name string
		edit edit
		want string
	}{
		{"without an owner", labelled("app", "api"), ""},
		{"Argo CD, by its writes and the label of its application", func(u *unstructured.Unstructured) {
			by("argocd-controller")(u)
			labelled("app.kubernetes.io/instance", "posts")(u)
		}, "Argo CD (application posts)"},
		{"Helm, by its writes, with the label of a release", func(u *unstructured.Unstructured) {
			by("helm")(u)
			labelled("app.kubernetes.io/instance", "posts")(u)
		}, "Helm"},
		{"without an owner, with the label of a release", labelled("app.kubernetes.io/instance", "posts"), ""},
		{"a label that anybody may write", labelled("app.kubernetes.io/managed-by", "Helm"), ""},
		{"Helm, by its annotation", annotated("meta.helm.sh/release-name", "posts"), "Helm (release /posts)"},
		{"Helm, by its writes", by("helm"), "Helm"},
		{"Helm, by its writes after a person's", managed(entry("kubectl-edit", `{}`), entry("helm", `{}`)), "Helm"},
		{"Flux, by its label", labelled("kustomize.toolkit.fluxcd.io/name", "posts"), "Flux (Kustomization /posts)"},
		{"Flux, for Helm", labelled("helm.toolkit.fluxcd.io/name", "posts"), "Flux (HelmRelease /posts)"},
		{"Argo CD, by its annotation", annotated("argocd.argoproj.io/tracking-id", "posts:apps/Deployment:posts/api"), "Argo CD (posts:apps/Deployment:posts/api)"},
		{"Argo CD, by its label", labelled("argocd.argoproj.io/instance", "posts"), "Argo CD (application posts)"},
		{"Argo CD, by its writes", by("argocd-controller"), "Argo CD"},
		{"ours, and Helm's before", func(u *unstructured.Unstructured) {
			labelled(manifest.LabelEnvironment, "a1b2c3.posts-main")(u)
			annotated("meta.helm.sh/release-name", "posts")(u)
		}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := deployment("api", test.edit)
			if got := observed.ReduceMetadata(o, o.GroupVersionKind()).Tool; got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestWhoseSizeAClaimHas(t *testing.T) {
	size := field("30Gi", "spec", "resources", "requests", "storage")
	requests := `{"f:spec":{"f:resources":{"f:requests":{"f:storage":{}}}}}`
	tests := []struct {
		name   string
		object *unstructured.Unstructured
		want   string
	}{
		{"Berth's", object("v1", "PersistentVolumeClaim", "db", size, managed(entry("berth", requests))), ""},
		{"a resizer's", object("v1", "PersistentVolumeClaim", "db", size, managed(entry("berth", `{"f:spec":{}}`), entry("resizer", requests))), "30Gi"},
		{"Berth's, of a claim without a size", object("v1", "PersistentVolumeClaim", "db", managed(entry("resizer", `{}`))), ""},
		{"of another kind", object("example.com/v1", "PersistentVolumeClaim", "db", size), ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := observed.Reduce(test.object).Enlarged; got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestWhoExtendsAList(t *testing.T) {
	secrets := `{"f:imagePullSecrets":{}}`
	tests := []struct {
		name    string
		entries []metav1.ManagedFieldsEntry
		want    bool
	}{
		{"Berth", []metav1.ManagedFieldsEntry{entry("berth", secrets)}, false},
		{"a person", []metav1.ManagedFieldsEntry{entry("kubectl-edit", secrets)}, false},
		{"a controller", []metav1.ManagedFieldsEntry{entry("berth", secrets), entry("openshift-controller-manager", secrets)}, true},
		{"a controller beside Berth, whichever comes first", []metav1.ManagedFieldsEntry{entry("openshift-controller-manager", secrets), entry("berth", secrets)}, true},
		{"no manager", nil, false},
		{"a controller of another field", []metav1.ManagedFieldsEntry{entry("openshift-controller-manager", `{"f:secrets":{}}`)}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := observed.OwnedByController(test.entries, "imagePullSecrets"); got != test.want {
				t.Errorf("got %t, want %t", got, test.want)
			}
		})
	}
}
