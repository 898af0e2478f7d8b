package live

import (
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
)

var (
	secrets  = schema.GroupVersionKind{Version: "v1", Kind: "Secret"}
	bindings = schema.GroupVersionKind{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "RoleBinding"}
)

// confine starts Watches that watch Secrets only as the accounts of environments.
func confine(t *testing.T) *observer {
	t.Helper()
	rights := cluster(t).RESTConfig()
	o := observeAs(t, rights, Config{
		Confined: []schema.GroupKind{secrets.GroupKind()},
		As: func(user string) (metadata.Interface, error) {
			as := rest.CopyConfig(rights)
			as.Impersonate.UserName = user
			return metadata.NewForConfig(metadata.ConfigFor(as))
		},
	})
	role := parse(`
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: berth-environment}
rules: [{apiGroups: [""], resources: [secrets], verbs: [get, list, watch]}]
`)
	if _, err := o.resource(role).Apply(t.Context(), role.GetName(), role, metav1.ApplyOptions{FieldManager: people, Force: true}); err != nil {
		t.Fatal(err)
	}
	return o
}

// resident follows an environment in a namespace that need not exist.
func (o *observer) resident(name, namespace, account string) string {
	o.t.Helper()
	o.spaces[name], o.kinds[name] = namespace, []schema.GroupVersionKind{secrets, bindings}
	o.Follow(name, Following{Namespace: namespace, User: manifest.User(namespace, account), Kinds: o.kinds[name]})
	return name
}

func (o *observer) grant(environment string) *unstructured.Unstructured {
	o.t.Helper()
	return o.write(manifest.FieldManager, environment, manifest.Binding(o.spaces[environment], environment).Unstructured)
}

func (o *observer) secret(environment, name string) *unstructured.Unstructured {
	o.t.Helper()
	secret := parse("stringData: {password: swordfish}")
	secret.SetGroupVersionKind(secrets)
	secret.SetName(name)
	return o.write(manifest.FieldManager, environment, secret)
}

func (o *observer) known(environment string) observed.State {
	o.t.Helper()
	return o.await(environment, "all kinds to be known", func(seen observed.State) bool { return len(seen.Unknown) == 0 })
}

// Until there is a namespace, it has no Secrets, and nobody has to be asked.
func TestAMissingNamespaceHasNoSecrets(t *testing.T) {
	t.Parallel()
	o := confine(t)
	space := cluster(t).Namespace(t) + "-later"
	env := o.resident("berth."+space, space, manifest.DefaultAccount)
	o.known(env)
	if sent := o.cable.requests("secrets"); len(sent) > 0 {
		t.Errorf("requested %v", sent)
	}
	for round := range 2 {
		namespace := parse("apiVersion: v1\nkind: Namespace")
		namespace.SetName(space)
		namespace = o.write(manifest.FieldManager, env, namespace)
		o.grant(env)
		secret := o.secret(env, "keys")
		o.await(env, "the Secret", has(secret))
		if round == 0 {
			o.delete(namespace)
			o.until("the namespace to be gone", func() bool {
				_, err := o.resource(namespace).Get(t.Context(), space, metav1.GetOptions{})
				return apierrors.IsNotFound(err)
			})
			seen := o.await(env, "the Secret to be gone", lacks(secret))
			if len(seen.Unknown) > 0 {
				t.Errorf("without its namespace, unknown are %v", seen.Unknown)
			}
		}
	}
	if sent := o.cable.requests("/api/v1/secrets"); len(sent) > 0 {
		t.Errorf("requested the Secrets of all namespaces: %v", sent)
	}
}

func TestAnAccountWithoutRightsIsNamedUntilItHasThem(t *testing.T) {
	t.Parallel()
	o := confine(t)
	space := cluster(t).Namespace(t)
	env := o.resident("berth."+space, space, manifest.DefaultAccount)
	seen := o.await(env, "the refusal", func(seen observed.State) bool {
		return seen.Unknown[secrets.GroupKind()].State == observed.Ungranted
	})
	message := seen.Unknown[secrets.GroupKind()].Message
	for _, part := range []string{"cannot watch Secret", space + ":berth-apply", "kubectl create rolebinding berth-apply -n " + space + " --clusterrole=berth-environment --serviceaccount=" + space + ":berth-apply"} {
		if !strings.Contains(message, part) {
			t.Errorf("%q lacks %q", message, part)
		}
	}
	o.grant(env)
	o.known(env)
	o.await(env, "the Secret", has(o.secret(env, "keys")))
}

// The watch is that of the namespace, so one of the accounts is enough.
func TestEnvironmentsOfDifferentAccountsShareAWatch(t *testing.T) {
	t.Parallel()
	o := confine(t)
	space := cluster(t).Namespace(t)
	poor := o.resident("berth.poor."+space, space, "another")
	rich := o.resident("berth.rich."+space, space, manifest.DefaultAccount)
	o.grant(rich)
	o.known(rich)
	o.known(poor)
	o.await(rich, "the Secret", has(o.secret(rich, "keys")))

	o.resident(rich, space, "other")
	seen := o.await(rich, "the refusal of both", func(seen observed.State) bool {
		return seen.Unknown[secrets.GroupKind()].State == observed.Ungranted
	})
	if len(seen.Objects) != 2 {
		t.Errorf("an account without rights makes objects go: %v", seen.Objects)
	}
}

// An environment of scope Cluster may have Secrets in other namespaces. They are watched as its account as well.
func TestSecretsInOtherNamespaces(t *testing.T) {
	t.Parallel()
	o := confine(t)
	home, other := cluster(t).Namespace(t), cluster(t).Namespace(t)
	env := o.resident("berth."+home, home, manifest.DefaultAccount)
	o.grant(env)
	o.known(env)
	secret := parse("")
	secret.SetGroupVersionKind(secrets)
	secret.SetName("keys")
	secret.SetNamespace(other)
	o.Follow(env, Following{Namespace: home, User: manifest.User(home, manifest.DefaultAccount), Kinds: o.kinds[env], Keys: []manifest.Key{manifest.KeyOf(secret)}})
	o.await(env, "the other namespace to be refused", func(seen observed.State) bool {
		return strings.Contains(seen.Unknown[secrets.GroupKind()].Message, other)
	})
	binding := manifest.Binding(home, env).Unstructured
	binding.SetNamespace(other)
	o.write(manifest.FieldManager, env, binding)
	o.known(env)
	o.await(env, "the Secret", has(o.write(manifest.FieldManager, env, secret)))
}
