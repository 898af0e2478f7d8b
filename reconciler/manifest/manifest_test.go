package manifest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"berth.dev/berth/reconciler/manifest"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// object reads one object from YAML, as if from a file x.yaml.
func object(t *testing.T, text string) manifest.Object {
	t.Helper()
	o := manifest.Object{Unstructured: &unstructured.Unstructured{}, Origin: manifest.Origin{File: "x.yaml", Line: 1}}
	encoded, err := yaml.YAMLToJSON([]byte(text))
	if err == nil {
		err = o.UnmarshalJSON(encoded)
	}
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// kinded returns an object of a kind, with an optional wave.
func kinded(apiVersion, kind, wave string) manifest.Object {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion(apiVersion)
	u.SetKind(kind)
	u.SetName("x")
	if wave != "" {
		u.SetAnnotations(map[string]string{manifest.AnnotationWave: wave})
	}
	return manifest.Object{Unstructured: u, Origin: manifest.Origin{File: "x.yaml", Line: 7}}
}

const (
	deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: api, namespace: posts}\nspec: {replicas: 3, ratio: 0.5, text: \"<&> é \\n\", none: null, list: [a, true]}\n"
	job        = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: migrate}\nspec: {template: {spec: {containers: [{name: a, image: \"app:1\"}]}}}\n"
	secret     = "apiVersion: v1\nkind: Secret\nmetadata: {name: api}\ndata: {password: aHVudGVyMg==}\n"
)

// The digests are stored in users' clusters. A changed digest runs every migration of every user again, or writes
// every object again. If a case fails, the code is wrong and not the case.
func TestDigestsNeverChange(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"an object", deployment, "1:bq6qefuo2exvylm345tg3l6jh2"},
		{"a Job", job, "1:marj3hwsyckyqexpt5alp5djbx"},
		{"a Secret, keyed", secret, "1:7fvyw26oxj3nthy3vispvljqzl"},
		{"an object without content", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n", "1:bfye6rmcfbzretm4g4aeqb3cwh"},
		{"a Job without a spec", "apiVersion: batch/v1\nkind: Job\nmetadata: {name: a}\n", "1:hdqltxubp5sfys7mg7anji7fro"},
	} {
		if got := sealed(t, c.text, "key"); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
	if got, want := manifest.Digest("refs/heads/feature/login"), "hxtcaw3pvazo2ncitiliietyek"; got != want {
		t.Errorf("a text: got %s, want %s", got, want)
	}
}

func sealed(t *testing.T, text, key string) string {
	t.Helper()
	set := manifest.Set{Objects: []manifest.Object{object(t, text)}}
	if err := set.Seal([]byte(key), nil); err != nil {
		t.Fatal(err)
	}
	return set.Objects[0].Digest
}

func TestWhatADigestDependsOn(t *testing.T) {
	for _, c := range []struct {
		reason, a, b string
		same         bool
	}{
		{"the order of keys does not count", "{apiVersion: v1, kind: A, x: {b: 1, a: 2}}", "{x: {a: 2, b: 1}, kind: A, apiVersion: v1}", true},
		{"the order of a list does", "{apiVersion: v1, kind: A, x: [a, b]}", "{apiVersion: v1, kind: A, x: [b, a]}", false},
		{"a number is not a text", "{apiVersion: v1, kind: A, x: 1}", "{apiVersion: v1, kind: A, x: '1'}", false},
		{"a label counts", deployment, strings.Replace(deployment, "name: api", "name: api, labels: {a: b}", 1), false},
		{"a Job's spec counts", job, strings.Replace(job, "app:1", "app:2", 1), false},
		{"a Job's metadata does not", job, strings.Replace(job, "name: migrate", "name: migrate, labels: {commit: a}", 1), true},
		{"nor how long a Job stays afterwards", job, strings.Replace(job, "spec: {", "spec: {ttlSecondsAfterFinished: 60, ", 1), true},
		{"nor a Job's version of the API", job, strings.Replace(job, "batch/v1", "batch/v2", 1), true},
		{"a Job of another group is like any object", strings.Replace(job, "batch/v1", "example.com/v1", 1),
			strings.Replace(strings.Replace(job, "batch/v1", "example.com/v1", 1), "name: migrate", "name: other", 1), false},
	} {
		if same := sealed(t, c.a, "key") == sealed(t, c.b, "key"); same != c.same {
			t.Errorf("%s: the same digest is %v", c.reason, same)
		}
	}
	if sealed(t, secret, "key") == sealed(t, secret, "other key") {
		t.Error("a Secret's digest does not depend on the key: its values can be guessed")
	}
	if sealed(t, deployment, "key") != sealed(t, deployment, "other key") {
		t.Error("a Deployment's digest depends on the key")
	}
}

func TestWhatMayHoldDecryptedValuesHasAKeyedDigest(t *testing.T) {
	thing := strings.Replace(deployment, "apps/v1", "example.com/v1", 1)
	seal := func(text, key string, kinds manifest.Kinds) manifest.Object {
		set := manifest.Set{Objects: []manifest.Object{object(t, text)}}
		if err := set.Seal([]byte(key), kinds); err != nil {
			t.Fatal(err)
		}
		return set.Objects[0]
	}
	for _, c := range []struct {
		name, text string
		kinds      manifest.Kinds
		keyed      bool
	}{
		{"no kind", deployment, nil, false},
		{"another kind", deployment, manifest.Kinds{"ConfigMap"}, false},
		{"the kind", deployment, manifest.Kinds{"ConfigMap", "Deployment"}, true},
		{"the kind and its group", deployment, manifest.Kinds{"Deployment.apps"}, true},
		{"a kind of others by its name alone", thing, manifest.Kinds{"Deployment"}, false},
		{"a kind of others", thing, manifest.Kinds{"Deployment.example.com"}, true},
		{"Jobs", job, manifest.Kinds{"Job"}, true},
		{"Secrets", secret, nil, true},
		{"a kind of others that is called Secret", strings.Replace(secret, "v1", "example.com/v1", 1), nil, false},
	} {
		o := seal(c.text, "key", c.kinds)
		if keyed := o.Digest != seal(c.text, "other key", c.kinds).Digest; keyed != c.keyed {
			t.Errorf("%s: the digest is keyed: %t", c.name, keyed)
		}
		if o.As(o.Digest).Digest != o.Digest || o.As("") != nil || o.As("1:another") != nil {
			t.Errorf("%s: it is not what it is, or something else", c.name)
		}
		all := manifest.Kinds{"Deployment", "Deployment.example.com", "Job"}
		for _, kinds := range []manifest.Kinds{nil, all} {
			before := seal(c.text, "key", kinds).Digest
			if as := o.As(before); as == nil || as.Digest != before || as.As(o.Digest).Digest != o.Digest {
				t.Errorf("%s: it is not taken for what it was when %v were keyed", c.name, kinds)
			}
		}
	}
}

// Rendering, digests and masks ask the same question.
func TestWhichKindsMayHoldSecrets(t *testing.T) {
	kinds := manifest.Kinds{"ConfigMap", "Widget", "Gadget.example.com"}
	for _, test := range []struct {
		group, kind string
		want        bool
	}{
		{"", "Secret", true},
		{"example.com", "Secret", false},
		{"", "ConfigMap", true},
		{"apps", "Deployment", false},
		{"example.com", "Widget", false}, // the kinds of others need their group
		{"example.com", "Gadget", true},
		{"other.example.com", "Gadget", false},
	} {
		if got := kinds.MayHoldSecrets(schema.GroupKind{Group: test.group, Kind: test.kind}); got != test.want {
			t.Errorf("%s of %q: %t", test.kind, test.group, got)
		}
	}
}

func TestSealNamesWhatHasNoDigest(t *testing.T) {
	o := kinded("v1", "ConfigMap", "")
	o.Object["data"] = math.NaN()
	err := manifest.Set{Objects: []manifest.Object{o}}.Seal(nil, nil)
	if want := "x.yaml:7: ConfigMap/x cannot be digested: json: unsupported value: NaN"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestPlaces(t *testing.T) {
	// In the order of a sync.
	order := []manifest.Object{
		kinded("v1", "Namespace", ""),
		kinded("apiextensions.k8s.io/v1", "CustomResourceDefinition", ""),
		kinded("v1", "ResourceQuota", ""),
		kinded("v1", "ServiceAccount", ""),
		kinded("rbac.authorization.k8s.io/v1", "Role", ""),
		kinded("rbac.authorization.k8s.io/v1", "RoleBinding", ""),
		kinded("v1", "ConfigMap", ""),
		kinded("v1", "Secret", ""),
		kinded("v1", "PersistentVolumeClaim", ""),
		kinded("v1", "Service", ""),
		kinded("example.com/v1", "Thing", "-9223372036854775808"),
		kinded("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "-2"),
		kinded("v1", "ConfigMap", "-1"), // before the objects that refer to it, whatever their phases would be
		kinded("apps/v1", "Deployment", "-1"),
		kinded("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "-1"),
		kinded("v1", "Secret", "0"),
		kinded("batch/v1", "Job", ""),
		kinded("apps/v1", "StatefulSet", ""),
		kinded("apps/v1", "Deployment", ""),
		kinded("batch/v1", "CronJob", ""),
		kinded("networking.k8s.io/v1", "Ingress", ""),
		kinded("example.com/v1", "Thing", ""),
		kinded("apps/v1", "Deployment", "1"),
		kinded("example.com/v1", "Thing", "9223372036854775807"),
		kinded("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", ""),
		kinded("apiregistration.k8s.io/v1", "APIService", ""),
	}
	for i := range order {
		for j := range order {
			a, errA := manifest.PlaceOf(order[i])
			b, errB := manifest.PlaceOf(order[j])
			if errA != nil || errB != nil {
				t.Fatal(errA, errB)
			}
			if got, want := a.Compare(b), compare(i, j); got != want {
				t.Errorf("%s (%v) against %s (%v): %d, want %d", order[i].GetKind(), a, order[j].GetKind(), b, got, want)
			}
		}
	}
}

func compare(i, j int) int {
	switch {
	case i < j:
		return -1
	case i > j:
		return 1
	}
	return 0
}

func TestCustomKindsOfKnownNamesHaveNoRank(t *testing.T) {
	place, err := manifest.PlaceOf(kinded("serving.knative.dev/v1", "Service", ""))
	if err != nil || place.Phase != manifest.Main {
		t.Errorf("got %v, %v; want the main phase", place, err)
	}
}

func TestAWaveIsAnInteger(t *testing.T) {
	for _, wave := range []string{"first", "1.5", " 1", "99999999999999999999"} {
		_, err := manifest.PlaceOf(kinded("apps/v1", "Deployment", wave))
		want := fmt.Sprintf("x.yaml:7: Deployment/x has the annotation berth.dev/wave: %q, which is not an integer", wave)
		if err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

func TestClusterScoped(t *testing.T) {
	for _, c := range []struct {
		group, kind   string
		scoped, known bool
	}{
		{"", "Namespace", true, true},
		{"", "ConfigMap", false, true},
		{"apps", "Deployment", false, true},
		{"rbac.authorization.k8s.io", "ClusterRole", true, true},
		{"rbac.authorization.k8s.io", "Role", false, true},
		{"storage.k8s.io", "StorageClass", true, true},
		{"example.com", "Namespace", false, false},
	} {
		scoped, known := manifest.ClusterScoped(schema.GroupKind{Group: c.group, Kind: c.kind})
		if scoped != c.scoped || known != c.known {
			t.Errorf("%s.%s: %v, %v; want %v, %v", c.kind, c.group, scoped, known, c.scoped, c.known)
		}
	}
}

func TestUnique(t *testing.T) {
	set := manifest.Set{Objects: []manifest.Object{
		object(t, deployment),
		object(t, strings.Replace(deployment, "apps/v1", "apps/v1beta1", 1)), // another version is the same object
		object(t, strings.Replace(deployment, "apps/v1", "example.com/v1", 1)),
		object(t, strings.Replace(deployment, "posts", "other", 1)),
		object(t, deployment),
	}}
	for i := range set.Objects {
		set.Objects[i].Origin.Line = i + 1
	}
	errs := set.Unique()
	var texts []string
	for _, err := range errs {
		texts = append(texts, err.Error())
	}
	want := []string{
		"x.yaml:2: Deployment/posts/api is already defined at x.yaml:1; remove one of the two",
		"x.yaml:5: Deployment/posts/api is already defined at x.yaml:1; remove one of the two",
	}
	if !slices.Equal(texts, want) {
		t.Errorf("got  %q\nwant %q", texts, want)
	}
	var duplicate *manifest.DuplicateError
	if !errors.As(errs[0], &duplicate) || duplicate.First.Line != 1 {
		t.Errorf("%#v is no *DuplicateError with the first origin", errs[0])
	}
}

func TestKeys(t *testing.T) {
	key := object(t, deployment).Key()
	if got := key.String() + " " + key.Short() + " " + key.GroupKind().String(); got != "Deployment/posts/api Deployment/api Deployment.apps" {
		t.Errorf("got %s", got)
	}
	if got := object(t, job).Key().String(); got != "Job/migrate" {
		t.Errorf("got %s", got)
	}
	// As keys of a record, and back.
	for _, key := range []manifest.Key{key, {Kind: "Namespace", Name: "posts"}, {Group: "rbac.authorization.k8s.io", Kind: "Role", Namespace: "a", Name: "system:b.c"}} {
		encoded, err := json.Marshal(map[manifest.Key]int{key: 1})
		if err != nil {
			t.Fatal(err)
		}
		var decoded map[manifest.Key]int
		if err := json.Unmarshal(encoded, &decoded); err != nil || decoded[key] != 1 {
			t.Errorf("%s came back as %v, %v", encoded, decoded, err)
		}
	}
	if err := new(manifest.Key).UnmarshalText([]byte("Deployment/api")); err == nil {
		t.Error("a text that is no key was read")
	}
	keys := []manifest.Key{{Kind: "B", Name: "a"}, {Kind: "A", Namespace: "b", Name: "a"}, {Kind: "A", Namespace: "a", Name: "b"}, {Kind: "A", Namespace: "a", Name: "a", Group: "z"}, {Kind: "A", Namespace: "a", Name: "a"}}
	slices.SortFunc(keys, manifest.Key.Compare)
	if got := fmt.Sprint(keys); got != "[A/a/a A/a/a A/a/b A/b/a B/a]" || keys[0].Group != "" {
		t.Errorf("got %s", got)
	}
}

func TestSet(t *testing.T) {
	set := manifest.Set{Objects: []manifest.Object{object(t, job), object(t, deployment), object(t, job), object(t, secret)}}
	if got := fmt.Sprint(set.Len(), set.Kinds()); got != "4 [/v1, Kind=Secret apps/v1, Kind=Deployment batch/v1, Kind=Job]" {
		t.Errorf("got %s", got)
	}
	if got := fmt.Sprint(manifest.Origin{File: "a"}, manifest.Origin{File: "a", Line: 2}); got != "a a:2" {
		t.Errorf("got %s", got)
	}
}

func TestNamespace(t *testing.T) {
	o := manifest.Namespace("posts", map[string]string{manifest.LabelEnvironment: "a.b"}, map[string]string{manifest.AnnotationBranch: "main"})
	if o.Key() != (manifest.Key{Kind: "Namespace", Name: "posts"}) || o.GetLabels()[manifest.LabelEnvironment] != "a.b" || o.Digest == "" {
		t.Errorf("got %v with the digest %q", o.Object, o.Digest)
	}
}
