package installation

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	fakeclient "sigs.k8s.io/controller-runtime/pkg/client/fake"

	"berth.dev/berth/api/v1alpha1"
)

// cluster is a cluster with an installation in the namespace berth, in memory.
type cluster struct {
	*testing.T
	client  client.Client
	remover *Remover
	said    []string
}

// newCluster returns a cluster with an installation and further objects in its namespace.
func newCluster(t *testing.T, objects ...client.Object) *cluster {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	repository := &v1alpha1.Repository{ObjectMeta: named("posts", nil), Spec: v1alpha1.RepositorySpec{SecretRef: &v1alpha1.SecretReference{Name: "posts-git"}}}
	agent := &appsv1.Deployment{ObjectMeta: named("berth", ours)}
	agent.Spec.Template.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "registry-pull"}}
	agent.Spec.Template.Spec.Volumes = []corev1.Volume{{Name: "ca", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "company-ca"}}}}}
	installed := []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "berth", Labels: ours}}, repository, agent,
		&corev1.Service{ObjectMeta: named("berth", ours)}, &corev1.ServiceAccount{ObjectMeta: named("berth-agent", ours)},
		&corev1.Secret{ObjectMeta: named(installationSecret, nil), Data: map[string][]byte{"id": []byte("abc")}},
		&corev1.Secret{ObjectMeta: named("record", map[string]string{recordType: "posts"}), Type: recordType},
		&corev1.Secret{ObjectMeta: named("sh.helm.release.v1.berth.v1", nil), Type: "helm.sh/release.v1"},
		&corev1.Secret{ObjectMeta: named("posts-git", nil)}, &corev1.Secret{ObjectMeta: named("registry-pull", nil)},
		&corev1.ConfigMap{ObjectMeta: named("company-ca", nil)},
		&corev1.ConfigMap{ObjectMeta: named("kube-root-ca.crt", nil)}, &corev1.ServiceAccount{ObjectMeta: named("default", nil)},
		&corev1.Event{ObjectMeta: named("berth.1", nil)}, &rbacv1.RoleBinding{ObjectMeta: named("developers", nil)},
	}
	c := &cluster{T: t, client: fakeclient.NewClientBuilder().WithScheme(scheme).WithObjects(append(installed, objects...)...).Build()}
	kubernetes := fake.NewClientset()
	kubernetes.Resources = []*metav1.APIResourceList{
		resources("v1", "ConfigMap", "Event", "PersistentVolumeClaim", "Pod", "Secret", "Service", "ServiceAccount"),
		resources("apps/v1", "Deployment", "ReplicaSet"),
		resources("rbac.authorization.k8s.io/v1", "Role", "RoleBinding"),
		resources(coordinationv1.SchemeGroupVersion.String(), "Lease"),
	}
	c.remover = &Remover{
		Client: c.client, Kubernetes: kubernetes, Namespace: "berth", Applications: KeepThem,
		ServerTime: func(context.Context) (time.Time, error) { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), nil },
		Progress:   func(line string) { c.said = append(c.said, line) },
	}
	return c
}

var ours = map[string]string{partOf: product, "app.kubernetes.io/name": product}

func named(name string, labels map[string]string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "berth", Name: name, Labels: labels}
}

func resources(version string, kinds ...string) *metav1.APIResourceList {
	list := &metav1.APIResourceList{GroupVersion: version}
	for _, kind := range kinds {
		list.APIResources = append(list.APIResources, metav1.APIResource{
			Name: strings.ToLower(kind) + "s", Kind: kind, Namespaced: true, Verbs: metav1.Verbs{"list", "delete", "patch"},
		})
	}
	return list
}

func (c *cluster) survey() *Survey {
	c.Helper()
	s, err := c.remover.Survey(c.Context())
	if err != nil {
		c.Fatal(err)
	}
	return s
}

func (c *cluster) remove(s *Survey) {
	c.Helper()
	if err := c.remover.Remove(c.Context(), s); err != nil {
		c.Fatal(err)
	}
}

// exists reports whether the object with the kind and name of another exists.
func (c *cluster) exists(object client.Object) bool {
	c.Helper()
	err := c.client.Get(c.Context(), client.ObjectKeyFromObject(object), object.DeepCopyObject().(client.Object))
	if client.IgnoreNotFound(err) != nil {
		c.Fatal(err)
	}
	return err == nil
}

func (c *cluster) create(object client.Object) {
	c.Helper()
	if err := c.client.Create(c.Context(), object); err != nil {
		c.Fatal(err)
	}
}

var home = &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "berth"}}

func TestUninstallDeletesANamespaceThatHoldsOnlyTheInstallation(t *testing.T) {
	c := newCluster(t)
	s := c.survey()
	if !s.Goes() {
		t.Errorf("the namespace stays, because of %q", s.Foreign)
	}
	c.remove(s)
	if c.exists(home) {
		t.Error("the namespace remains")
	}
}

func TestUninstallKeepsANamespaceWithForeignObjects(t *testing.T) {
	shop := &appsv1.Deployment{ObjectMeta: named("shop", nil)}
	replicas := &appsv1.ReplicaSet{ObjectMeta: named("shop-1", nil)}
	shop.UID, replicas.OwnerReferences = "shop", []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: "shop", UID: "shop"}}
	for name, foreign := range map[string][]client.Object{
		"Deployment/shop":             {shop, replicas},
		"Pod/shell":                   {&corev1.Pod{ObjectMeta: named("shell", nil)}},
		"Service/shop":                {&corev1.Service{ObjectMeta: named("shop", nil)}},
		"ConfigMap/shop":              {&corev1.ConfigMap{ObjectMeta: named("shop", nil)}},
		"Secret/shop":                 {&corev1.Secret{ObjectMeta: named("shop", nil)}},
		"ServiceAccount/ci":           {&corev1.ServiceAccount{ObjectMeta: named("ci", nil)}},
		"PersistentVolumeClaim/files": {&corev1.PersistentVolumeClaim{ObjectMeta: named("files", nil)}},
		"PersistentVolumeClaim/marks": {&corev1.PersistentVolumeClaim{ObjectMeta: named("marks", ours)}},
	} {
		t.Run(strings.ReplaceAll(name, "/", " "), func(t *testing.T) {
			c := newCluster(t, foreign...)
			s := c.survey()
			if !slices.Equal(s.Foreign, []string{name}) {
				t.Errorf("the foreign objects are %q, want %q", s.Foreign, name)
			}
			c.remove(s)
			for _, object := range append(foreign, home, &corev1.Secret{ObjectMeta: named("posts-git", nil)}) {
				if !c.exists(object) {
					t.Errorf("%T %s is gone", object, object.GetName())
				}
			}
			for _, object := range []client.Object{
				&appsv1.Deployment{ObjectMeta: named("berth", nil)}, &corev1.Service{ObjectMeta: named("berth", nil)},
				&corev1.Secret{ObjectMeta: named(installationSecret, nil)}, &corev1.Secret{ObjectMeta: named("record", nil)},
			} {
				if c.exists(object) {
					t.Errorf("%T %s remains", object, object.GetName())
				}
			}
			if !c.survey().Nothing() {
				t.Error("a second removal would find something")
			}
		})
	}
}

// Once its Repository is gone, only the Environment names the Secret with the kubeconfig of its cluster.
func TestUninstallKnowsTheKubeconfigsOfEnvironments(t *testing.T) {
	env := &v1alpha1.Environment{ObjectMeta: named("posts.review.login", nil), Spec: v1alpha1.EnvironmentSpec{Cluster: "staging"}}
	s := newCluster(t, env, &corev1.Secret{ObjectMeta: named("staging", nil)}).survey()
	if !s.Goes() || !slices.Equal(s.Clusters(), []string{"staging"}) {
		t.Errorf("the namespace stays, because of %q; the clusters are %q", s.Foreign, s.Clusters())
	}
}

// A prompt can stay open for hours.
func TestUninstallKeepsANamespaceWithObjectsCreatedSinceTheSurvey(t *testing.T) {
	c := newCluster(t)
	s := c.survey()
	shop := &appsv1.Deployment{ObjectMeta: named("shop", nil)}
	c.create(shop)
	c.remove(s)
	if !c.exists(home) || !c.exists(shop) {
		t.Error("the Deployment that a user created after the survey is gone")
	}
	if !slices.Equal(s.Foreign, []string{"Deployment/shop"}) {
		t.Errorf("the foreign objects are %q", s.Foreign)
	}
}

func TestUninstallKnowsTheSecretsOfRepositoriesAfterAnInterruption(t *testing.T) {
	c := newCluster(t)
	s := c.survey()
	if err := c.remover.claimSecrets(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if err := c.remover.deleteRepositories(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if s := c.survey(); !s.Goes() {
		t.Errorf("the namespace stays, because of %q", s.Foreign)
	}
}
