package agent

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/internal/clustertest"
	"berth.dev/berth/internal/faulttest"
	"berth.dev/berth/reconciler/fleet"
	"berth.dev/berth/reconciler/naming"
)

// otherCluster is a second control plane.
var otherCluster = clustertest.Shared(clustertest.Config{})

// far is a world with another cluster, which the agent reaches over a network that can break, by the name staging.
type far struct {
	*world
	client client.Client // not over the link
	link   *faulttest.Link
	config *rest.Config // over the link
}

// newFar returns a world with another cluster, whose kubeconfig is in a Secret.
func newFar(t *testing.T) *far {
	w := newWorld(t)
	direct := otherCluster(t).RESTConfig()
	f := &far{world: w, link: faulttest.To(t, direct)}
	f.config = f.link.Config(direct)
	installKinds(t, otherCluster(t))
	var err error
	if f.client, err = client.New(direct, client.Options{Scheme: newScheme(t)}); err != nil {
		t.Fatal(err)
	}
	f.keep("staging", f.config)
	return f
}

// keep creates or changes the Secret of a cluster.
func (f *far) keep(name string, config *rest.Config) {
	f.t.Helper()
	file := api.NewConfig()
	file.CurrentContext = "there"
	file.Contexts["there"] = &api.Context{Cluster: "there", AuthInfo: "berth"}
	file.Clusters["there"] = &api.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData}
	file.AuthInfos["berth"] = &api.AuthInfo{Token: config.BearerToken, ClientCertificateData: config.CertData, ClientKeyData: config.KeyData}
	text, err := clientcmd.Write(*file)
	if err != nil {
		f.t.Fatal(err)
	}
	f.write(name, string(text))
}

func (f *far) write(name, kubeconfig string) {
	f.t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: name}, StringData: map[string]string{"value": kubeconfig}}
	err := f.world.client.Create(f.t.Context(), secret)
	if apierrors.IsAlreadyExists(err) {
		err = f.world.client.Patch(f.t.Context(), secret, client.Merge)
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

// noticed waits until the agent's cache has a Secret as it was written last. Until then, the agent uses the earlier one.
func (f *far) noticed(name string) {
	f.t.Helper()
	key, written := types.NamespacedName{Namespace: f.namespace, Name: name}, &corev1.Secret{}
	if err := f.world.client.Get(f.t.Context(), key, written); err != nil {
		f.t.Fatal(err)
	}
	f.eventually("the agent has noticed the Secret "+name, func() bool {
		seen := &corev1.Secret{}
		return f.agent.mgr.GetClient().Get(f.t.Context(), key, seen) == nil && seen.ResourceVersion == written.ResourceVersion
	})
}

// in lets entries use a cluster; "" is the agent's own.
func in(cluster string, entries ...string) func(*v1alpha1.Repository) {
	return func(r *v1alpha1.Repository) {
		for i := range r.Spec.Environments {
			entry := &r.Spec.Environments[i]
			for _, name := range entries {
				switch {
				case entry.Name != name:
				case cluster == "":
					entry.Cluster = nil
				default:
					entry.Cluster = &v1alpha1.ClusterReference{SecretRef: v1alpha1.SecretReference{Name: cluster}}
				}
			}
		}
	}
}

// spaceOf returns the name of the namespace of a branch.
func (w *world) spaceOf(branch string) string {
	if branch == "main" {
		return w.namespace + "-prod"
	}
	return w.namespace + "-" + naming.Slug(branch)
}

// object reads an object of a branch in the other cluster, and reports whether it is there.
func (f *far) object(branch, name string, o client.Object) bool {
	f.t.Helper()
	key := types.NamespacedName{Namespace: f.spaceOf(branch), Name: name}
	if _, cluster := o.(*corev1.Namespace); cluster {
		key = types.NamespacedName{Name: f.spaceOf(branch)}
	}
	err := f.client.Get(f.t.Context(), key, o)
	if client.IgnoreNotFound(err) != nil {
		f.t.Fatal(err)
	}
	return err == nil
}

// tells returns the text in the ConfigMap of a branch in the other cluster.
func (f *far) tells(branch string) string {
	cm := &corev1.ConfigMap{}
	f.object(branch, "app", cm)
	return cm.Data["text"]
}

// emptied waits until the other cluster has no namespace of a branch.
func (f *far) emptied(branch string) {
	f.t.Helper()
	f.eventually("the other cluster has nothing of "+branch, func() bool { return !f.object(branch, "", &corev1.Namespace{}) })
}

// edits changes the ConfigMap of a branch in the other cluster by hand.
func (f *far) edits(branch, text string) {
	f.t.Helper()
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: f.spaceOf(branch), Name: "app"}}
	patch := client.RawPatch(types.MergePatchType, []byte(`{"data":{"text":"`+text+`"}}`))
	if err := f.client.Patch(f.t.Context(), cm, patch); err != nil {
		f.t.Fatal(err)
	}
}

// notes waits until the Repository has a condition with a text.
func (f *far) notes(condition, text string) {
	f.t.Helper()
	f.eventually("the Repository has "+condition+" with "+text, func() bool {
		c := meta.FindStatusCondition(f.repository().Status.Conditions, condition)
		return c != nil && strings.Contains(c.Message, text)
	})
}

func TestEnvironmentsInAnotherCluster(t *testing.T) {
	f := newFar(t)
	f.branches("one", "f0")
	f.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: "pull"}, StringData: map[string]string{"a": "b"}})
	f.follow(in("staging", "review"), func(r *v1alpha1.Repository) {
		r.Spec.Environments[1].CopySecrets = []v1alpha1.SecretReference{{Name: "pull"}}
	})
	f.healthy("main", "f0")
	if f.tells("f0") != "one" || f.space("f0") != nil || !f.object("f0", "pull", &corev1.Secret{}) {
		t.Fatalf("there it says %q; it has a namespace here: %t", f.tells("f0"), f.space("f0") != nil)
	}
	if f.object("main", "", &corev1.Namespace{}) || f.says("main") != "one" {
		t.Error("production runs in the other cluster")
	}
	if env := f.environment("f0"); env.Spec.Cluster != "staging" {
		t.Errorf("its cluster is %q", env.Spec.Cluster)
	}

	f.branches("two", "f0")
	f.poll()
	f.healthy("f0")
	f.edits("f0", "by hand")
	f.eventually("the edit is reverted", func() bool { return f.tells("f0") == "two" })

	f.restart()
	f.edits("f0", "by hand")
	f.eventually("the edit is reverted by an agent that restarted", func() bool { return f.tells("f0") == "two" })

	f.code.Delete("f0")
	f.changeRepository(func(r *v1alpha1.Repository) { r.Spec.GoneAfter = metav1.Duration{Duration: time.Millisecond} })
	f.poll()
	f.poll()
	f.emptied("f0")
	f.gone("f0")
}

// The same namespace in two clusters is two places.
func TestOneNamespaceInTwoClusters(t *testing.T) {
	f := newFar(t)
	f.branches("one", "f0")
	f.follow(func(r *v1alpha1.Repository) {
		twin := r.Spec.Environments[1]
		twin.Name = "twin"
		r.Spec.Environments = append(r.Spec.Environments, twin)
	}, in("staging", "twin"))
	f.eventually("both are healthy", func() bool {
		healthy := 0
		for _, env := range f.environments() {
			if env.Spec.Branch == "f0" && env.Status.HealthyCommit == f.code.Head("f0") {
				healthy++
			}
		}
		return healthy == 2
	})
	if f.says("f0") != "one" || f.tells("f0") != "one" {
		t.Errorf("here it says %q, and there %q", f.says("f0"), f.tells("f0"))
	}
}

func TestAClusterThatCannotBeReachedHoldsItsEnvironments(t *testing.T) {
	f := newFar(t)
	f.branches("one", "f0", "f1", "f2")
	f.follow(in("staging", "review"))
	f.healthy("main", "f0", "f1", "f2")
	before := f.uids()

	f.link.Cut()
	for _, branch := range []string{"f0", "f1"} {
		if text := f.becomes(branch, v1alpha1.ReasonWaiting); !strings.Contains(text, "cluster staging cannot be reached since ") {
			t.Errorf("%s says %q", branch, text)
		}
	}
	f.notes(v1alpha1.ConditionClusterUnavailable, "cluster staging cannot be reached since ")
	if got, want := f.agent.fleet.States(), []fleet.State{{Name: "staging", Known: true}}; !slices.Equal(got, want) {
		t.Errorf("the metrics get %v, want %v", got, want)
	}
	f.edits("f0", "by hand")
	f.edits("f2", "by hand")
	f.branches("two", "f0")
	f.code.Commit("main", content("two"), "two")
	f.code.Delete("f1")
	f.changeRepository(func(r *v1alpha1.Repository) { r.Spec.GoneAfter = metav1.Duration{Duration: time.Millisecond} })
	f.poll()
	f.healthy("main") // the agent's own cluster goes on
	f.poll()
	f.eventually("the environment of the deleted branch waits for its cluster", func() bool {
		return f.readyMessageHas("f1", "its deletion waits for that; if the cluster is gone for good, delete the Environment without it: berth confirm posts.review.f1 (for all in that cluster: berth confirm --cluster staging)")
	})
	f.askToConfirm() // which is about other deletions
	f.poll()
	if f.tells("f0") != "by hand" || f.tells("f1") != "one" {
		t.Errorf("something was changed: %q, %q", f.tells("f0"), f.tells("f1"))
	}

	f.link.Mend()
	f.healthy("f0")
	if got, want := f.agent.fleet.States(), []fleet.State{{Name: "staging", Usable: true, Known: true}}; !slices.Equal(got, want) {
		t.Errorf("the metrics get %v, want %v", got, want)
	}
	f.emptied("f1")
	f.gone("f1")
	if f.tells("f0") != "two" || f.uids()["posts.review.f0"] != before["posts.review.f0"] {
		t.Errorf("f0 says %q", f.tells("f0"))
	}
	f.eventually("the edit of f2, which has no new commit, is reverted", func() bool { return f.tells("f2") == "one" })
	f.eventually("the condition is gone", func() bool {
		return meta.FindStatusCondition(f.repository().Status.Conditions, v1alpha1.ConditionClusterUnavailable) == nil
	})
}

func TestAnAgentStartsWhileAClusterCannotBeReached(t *testing.T) {
	f := newFar(t)
	f.branches("one", "f0")
	f.follow(in("staging", "review"))
	f.healthy("main", "f0")
	f.agent.stop()
	f.link.Cut()
	f.start()
	f.becomes("f0", v1alpha1.ReasonWaiting)
	f.code.Commit("main", content("two"), "two")
	f.poll()
	f.healthy("main")
	f.link.Mend()
	f.healthy("f0")
}

func TestAnEntryMovesToAnotherCluster(t *testing.T) {
	f := newFar(t)
	f.branches("one", "f0")
	f.follow()
	f.healthy("main", "f0")
	f.changeRepository(in("staging", "production", "review"))
	f.eventually("the preview is in the other cluster", func() bool { return f.tells("f0") == "one" && f.space("f0") == nil })
	f.healthy("f0")
	if text := f.becomes("main", v1alpha1.ReasonWaiting); !strings.Contains(text, "its entry belongs to the cluster staging now") || !strings.Contains(text, "of the agent's own cluster") {
		t.Errorf("production says %q", text)
	}
	f.code.Commit("main", content("two"), "two")
	f.poll()
	f.repositorySays(v1alpha1.ReasonWaiting, "berth confirm posts.production.main")
	if f.says("main") != "one" || f.object("main", "", &corev1.Namespace{}) {
		t.Error("production moved by itself")
	}
	f.changeEnvironment("main", func(env *v1alpha1.Environment) { annotate(env, v1alpha1.AnnotationConfirmed, "1") })
	f.eventually("production is in the other cluster", func() bool { return f.tells("main") == "two" })
	if f.says("main") != "one" {
		t.Error("production did not stay where it was")
	}
	f.changeRepository(in("", "review"))
	f.emptied("f0")
	f.healthy("f0")
}

func TestAClusterThatIsGoneForGood(t *testing.T) {
	f := newFar(t)
	f.branches("one", "f0")
	f.follow(in("staging", "review"))
	f.healthy("f0")
	if err := f.world.client.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: "staging"}}); err != nil {
		t.Fatal(err)
	}
	if text := f.becomes("f0", v1alpha1.ReasonWaiting); !strings.Contains(text, "the Secret staging with the kubeconfig of the cluster staging does not exist") {
		t.Errorf("it says %q", text)
	}
	f.changeEnvironment("f0", func(env *v1alpha1.Environment) { annotate(env, v1alpha1.AnnotationConfirmed, "early") }) // nothing asked for it
	f.changeRepository(in("", "review"))
	f.eventually("its deletion waits", func() bool { return f.readyMessageHas("f0", "its deletion waits for that") })
	before := f.environment("f0").UID
	f.changeEnvironment("f0", func(env *v1alpha1.Environment) { annotate(env, v1alpha1.AnnotationConfirmed, "now") })
	f.eventually("it is made in the agent's own cluster", func() bool {
		env := f.environment("f0")
		return env != nil && env.UID != before && env.Spec.Cluster == ""
	})
	f.healthy("f0")
	if f.tells("f0") != "one" {
		t.Error("what ran in the other cluster was deleted")
	}
}

func TestAClusterWithTwoNames(t *testing.T) {
	f := newFar(t)
	f.keep("twin", f.config)
	f.keep("home", f.cluster.RESTConfig())
	f.branches("one", "f0")
	f.follow(in("staging", "review"))
	f.healthy("f0")
	f.changeRepository(in("twin", "production"))
	f.notes(v1alpha1.ConditionClusterUnavailable, "the kubeconfigs in Secret/staging and Secret/twin lead to the same cluster")
	f.changeRepository(in("home", "production"))
	f.notes(v1alpha1.ConditionClusterUnavailable, "the kubeconfig in Secret/home leads to the agent's own cluster")
	f.branches("two", "f0")
	f.poll()
	f.healthy("f0")
}

func TestAKubeconfigIsRotated(t *testing.T) {
	f := newFar(t)
	f.branches("one", "f0")
	f.follow(in("staging", "review"))
	f.healthy("f0")
	f.write("staging", "no: kubeconfig\n")
	f.becomes("f0", v1alpha1.ReasonWaiting)
	broken := rest.CopyConfig(f.config)
	broken.CertData, broken.KeyData, broken.BearerToken = nil, nil, "nobody"
	f.keep("staging", broken)
	f.eventually("the cluster refuses the credentials", func() bool {
		return f.readyMessageHas("f0", "cluster staging refuses the agent's credentials since ")
	})
	broken.BearerToken = "e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"exp":1577880000}`)) + ".e30"
	f.keep("staging", broken)
	f.eventually("the end of the token is named", func() bool {
		return f.readyMessageHas("f0", ": the token ended at 2020-01-01T12:00:00Z; renew them: berth cluster add staging")
	})
	f.branches("two", "f0")
	f.poll()
	f.keep("staging", f.config)
	f.healthy("f0")
	if f.tells("f0") != "two" {
		t.Errorf("it says %q", f.tells("f0"))
	}
}

// Whoever can push a branch could read a kubeconfig that is copied into its namespace.
func TestAKubeconfigIsNotCopied(t *testing.T) {
	f := newFar(t)
	f.branches("one", "f0")
	f.follow(in("staging", "production"))
	f.healthy("main")
	other := &v1alpha1.Repository{ObjectMeta: metav1.ObjectMeta{Name: "thief", Namespace: f.namespace}, Spec: v1alpha1.RepositorySpec{
		URL: f.code.URL(), Environments: []v1alpha1.Entry{{
			Name: "review", Branches: []v1alpha1.BranchPattern{"f0"}, Path: "infra/k8s", Namespace: f.namespace + "-thief",
			CopySecrets: []v1alpha1.SecretReference{{Name: "staging"}},
		}},
	}}
	f.create(other)
	f.eventually("the entry is refused", func() bool {
		for _, env := range f.environments() {
			ready := meta.FindStatusCondition(env.Status.Conditions, v1alpha1.ConditionReady)
			if env.Spec.Repository == "thief" && ready != nil && strings.Contains(ready.Message, "it has the kubeconfig of the cluster staging, which no environment may read") {
				return true
			}
		}
		return false
	})
}

// However a cluster fails, its environments say so, keep running, and delay no other.
func TestTheTroubleOfAnotherCluster(t *testing.T) {
	for _, test := range []struct {
		name    string
		breaks  func(*far)
		mends   func(*far)
		message string
	}{
		{"nothing arrives", func(f *far) { f.link.Hang() }, func(f *far) { f.link.Mend() }, "cluster staging cannot be reached since "},
		{"it takes longer than a probe waits", func(f *far) { f.link.Delay(6 * time.Second) }, func(f *far) { f.link.Mend() }, ": its API server does not answer"},
		{"a load balancer answers", func(f *far) { f.link.Answer(503) }, func(f *far) { f.link.Mend() }, "cluster staging cannot be reached since "},
		{"its certificate has expired", func(f *far) { f.link.Expire() }, func(f *far) { f.link.Mend() }, ": the certificate of its server is not valid now, but from "},
		{
			"the agent has no rights", func(f *far) { config, _ := f.outsider(); f.keep("staging", config); f.noticed("staging") }, func(f *far) { f.keep("staging", f.config) },
			"cluster staging refuses the agent since ",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFar(t)
			f.branches("one", "f0")
			f.follow(in("staging", "review"))
			f.healthy("main", "f0")
			test.breaks(f)
			f.branches("two", "f0")
			f.code.Commit("main", content("two"), "two")
			f.poll()
			f.healthy("main")
			if text := f.becomes("f0", v1alpha1.ReasonWaiting); !strings.Contains(text, test.message) {
				t.Errorf("it says %q", text)
			}
			f.notes(v1alpha1.ConditionClusterUnavailable, test.message)
			if f.tells("f0") != "one" {
				t.Errorf("its ConfigMap says %q", f.tells("f0"))
			}
			f.code.Commit("main", content("three"), "three")
			f.poll()
			f.healthy("main")
			test.mends(f)
			f.healthy("f0")
			if f.tells("f0") != "two" {
				t.Errorf("afterwards its ConfigMap says %q", f.tells("f0"))
			}
		})
	}
}

// outsider returns the configuration of an account without rights, and its name.
func (f *far) outsider() (config *rest.Config, user string) {
	f.t.Helper()
	namespace := otherCluster(f.t).Namespace(f.t)
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "outsider"}}
	if err := f.client.Create(f.t.Context(), account); err != nil {
		f.t.Fatal(err)
	}
	config, err := otherCluster(f.t).ConfigFor(f.t.Context(), namespace, "outsider")
	if err != nil {
		f.t.Fatal(err)
	}
	return f.link.Config(config), "system:serviceaccount:" + namespace + ":outsider"
}

// The token of an account there is valid for a day.
func TestTheEndOfCredentialsIsReported(t *testing.T) {
	f := newFar(t)
	config, user := f.outsider()
	rights := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: f.namespace},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: user}},
	}
	there, err := client.New(otherCluster(t).RESTConfig(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := there.Create(t.Context(), rights); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = there.Delete(context.Background(), rights) })
	f.keep("staging", config)
	f.branches("one", "f0")
	f.follow(in("staging", "review"))
	f.healthy("f0")
	f.notes(v1alpha1.ConditionClusterAccessExpires, "the token of the cluster staging ends at ")
	f.keep("staging", f.config)
	f.eventually("the condition is gone", func() bool {
		return meta.FindStatusCondition(f.repository().Status.Conditions, v1alpha1.ConditionClusterAccessExpires) == nil
	})
}

// A slow cluster is not an outage.
func TestASlowClusterIsUsed(t *testing.T) {
	f := newFar(t)
	f.link.Delay(200 * time.Millisecond)
	f.branches("one", "f0")
	f.follow(in("staging", "review"))
	f.healthy("main", "f0")
}

// The Secret leads to another cluster than before, in which nothing of the environment ran.
func TestAKubeconfigThatLeadsElsewhere(t *testing.T) {
	f := newFar(t)
	f.branches("one", "f0")
	f.follow(in("staging", "review"))
	f.healthy("f0")
	third := thirdCluster(t)
	installKinds(t, third)
	f.keep("staging", third.RESTConfig())
	f.noticed("staging")
	f.branches("two", "f0")
	f.poll()
	text := f.becomes("f0", v1alpha1.ReasonWaiting)
	if !strings.Contains(text, "the name staging leads to another cluster than the one in which the environment ran") {
		t.Errorf("it says %q", text)
	}
	f.restart()
	f.becomes("f0", v1alpha1.ReasonWaiting)
	f.changeEnvironment("f0", func(env *v1alpha1.Environment) { annotate(env, v1alpha1.AnnotationConfirmed, "1") })
	f.healthy("f0")
	there, err := client.New(third.RESTConfig(), client.Options{Scheme: newScheme(t)})
	if err != nil {
		t.Fatal(err)
	}
	cm := &corev1.ConfigMap{}
	if err := there.Get(t.Context(), types.NamespacedName{Namespace: f.spaceOf("f0"), Name: "app"}, cm); err != nil || cm.Data["text"] != "two" || f.tells("f0") != "one" {
		t.Errorf("in the new cluster it says %q (%v), and in the old one %q", cm.Data["text"], err, f.tells("f0"))
	}
}

// thirdCluster is a third control plane.
var thirdCluster = clustertest.Shared(clustertest.Config{})

// A cluster may list a namespace without its Environment, and not answer a question about it. The other clusters go on.
func TestALostEnvironmentInAClusterThatDoesNotAnswer(t *testing.T) {
	f := newFar(t)
	f.branches("one", "f0")
	f.follow(in("staging", "review"))
	f.healthy("main", "f0")
	f.agent.stop()
	f.code.Delete("f0")
	lost := f.environment("f0")
	lost.Finalizers = nil
	if err := errors.Join(f.world.client.Update(t.Context(), lost), f.world.client.Delete(t.Context(), lost)); err != nil {
		t.Fatal(err)
	}
	config, user := f.outsider()
	there, err := client.New(otherCluster(t).RESTConfig(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	rights := []client.Object{
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: f.namespace}, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"namespaces"}, Verbs: []string{"list", "watch"}},
			{APIGroups: []string{""}, Resources: []string{"namespaces"}, ResourceNames: []string{metav1.NamespaceSystem}, Verbs: []string{"get"}},
		}},
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: f.namespace},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: f.namespace},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: user}},
		},
	}
	for _, o := range rights {
		if err := there.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = there.Delete(context.Background(), o) })
	}
	f.keep("staging", config)
	f.start()
	f.notes(v1alpha1.ConditionReady, "lost environments in the cluster staging are not re-created before the next listing")
	f.code.Commit("main", content("two"), "two")
	f.poll()
	f.healthy("main")
	if f.says("main") != "two" {
		t.Errorf("its ConfigMap says %q", f.says("main"))
	}
}
