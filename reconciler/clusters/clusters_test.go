package clusters

import (
	"context"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"berth.dev/berth/internal/clustertest"
	"berth.dev/berth/internal/faulttest"
	"berth.dev/berth/reconciler/live"
	"berth.dev/berth/reconciler/manifest"
)

const (
	patience = 3 * time.Minute
	// inhabitant is the same in both clusters, as that of an environment that moved from one to the other.
	inhabitant = "a1b2c3.posts"
)

// place is a cluster as the agent and its users see it.
type place struct {
	*Cluster
	t        *testing.T
	admin    kubernetes.Interface // not through the link
	link     *faulttest.Link
	config   *rest.Config // through the link
	requeued chan struct{}
	stop     func()
}

// settle makes a namespace with a ConfigMap in a cluster, and watches it through a link.
func settle(t *testing.T, in *clustertest.Cluster) *place {
	t.Helper()
	p := &place{t: t, admin: kubernetes.NewForConfigOrDie(in.RESTConfig()), requeued: make(chan struct{}, 1)}
	labels := map[string]string{manifest.LabelEnvironment: inhabitant}
	if _, err := p.admin.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "two-posts", Labels: labels}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"app", "old"} {
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
		if _, err := p.admin.CoreV1().ConfigMaps("two-posts").Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	p.link = faulttest.To(t, in.RESTConfig())
	p.config = p.link.Config(in.RESTConfig())
	p.watch(p.config)
	return p
}

// watch begins to watch a cluster, as an agent that starts.
func (p *place) watch(config *rest.Config) {
	p.t.Helper()
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		p.t.Fatal(err)
	}
	p.Cluster, err = New(Config{REST: config, HTTP: client, Now: time.Now, Jitter: func() float64 { return 0 }, Requeue: func(string) {
		select {
		case p.requeued <- struct{}{}:
		default:
		}
	}})
	if err != nil {
		p.t.Fatal(err)
	}
	p.Watches.Follow(inhabitant, live.Following{Namespace: "two-posts", Kinds: kinds})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = p.Run(ctx) // it returns no error
	}()
	p.stop = sync.OnceFunc(func() { cancel(); <-ended })
	p.t.Cleanup(p.stop)
}

var kinds = []schema.GroupVersionKind{{Version: "v1", Kind: "ConfigMap"}}

// sees returns the UIDs of what is known, by name, and whether that is everything.
func (p *place) sees() (objects map[string]types.UID, all bool) {
	seen := p.Watches.Observe(live.Query{Environment: inhabitant, Namespace: "two-posts", Kinds: kinds, Now: time.Now()})
	objects = map[string]types.UID{}
	for key, o := range seen.Objects {
		objects[key.Name] = o.UID
	}
	return objects, len(seen.Unknown) == 0
}

// eventually waits for a condition, which only a requeue can make true.
func (p *place) eventually(what string, ok func() bool) {
	p.t.Helper()
	for late := time.After(patience); !ok(); {
		select {
		case <-p.requeued:
		case <-late:
			objects, all := p.sees()
			p.t.Fatalf("waited in vain until %s; it sees %v, all: %t", what, objects, all)
		}
	}
}

func (p *place) knows(names ...string) {
	p.t.Helper()
	p.eventually("it knows everything", func() bool {
		objects, all := p.sees()
		for _, name := range names {
			all = all && objects[name] != ""
		}
		return all && len(objects) == len(names)
	})
}

// replace deletes an object, and creates another of its name.
func (p *place) replace(name string) types.UID {
	p.t.Helper()
	p.remove(name)
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{manifest.LabelEnvironment: inhabitant}}}
	created, err := p.admin.CoreV1().ConfigMaps("two-posts").Create(p.t.Context(), object, metav1.CreateOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	return created.UID
}

func (p *place) remove(name string) {
	p.t.Helper()
	if err := p.admin.CoreV1().ConfigMaps("two-posts").Delete(p.t.Context(), name, metav1.DeleteOptions{}); err != nil {
		p.t.Fatal(err)
	}
}

// Two clusters have objects of the same names and labels. Each value knows its own, and the trouble of one delays nothing of the
// other. What is not known is unknown, and never absent, or it would be created again or deleted.
func TestTheTroubleOfOneClusterIsItsOwn(t *testing.T) {
	east, west := settle(t, bareCluster(t)), settle(t, clustertest.Start(t, clustertest.Config{APIServerOnly: true}))
	east.knows("app", "old")
	west.knows("app", "old")
	here, _ := east.sees()
	if there, _ := west.sees(); here["app"] == there["app"] {
		t.Fatal("both know the same object")
	}

	east.link.Cut()
	made := west.replace("app")
	west.eventually("the other cluster knows its change", func() bool { objects, _ := west.sees(); return objects["app"] == made })
	unseen := east.replace("app")
	east.remove("old")
	if now, _ := east.sees(); now["app"] != here["app"] || now["old"] != here["old"] {
		t.Errorf("a cluster that cannot be reached has %v, and had %v", now, here)
	}
	if err := askedFor(east); err == nil {
		t.Error("a request through a link that is cut succeeded")
	}

	east.link.Mend()
	east.eventually("what happened meanwhile is known", func() bool {
		objects, _ := east.sees()
		return objects["app"] == unseen && objects["old"] == ""
	})
	if now, _ := west.sees(); now["app"] != made || now["old"] == "" {
		t.Errorf("the other cluster has %v", now)
	}
}

// An agent may start while one of its clusters cannot be reached, and end before it can.
func TestAClusterThatCannotBeReachedIsUnknown(t *testing.T) {
	far := settle(t, clustertest.Start(t, clustertest.Config{APIServerOnly: true}))
	far.knows("app", "old")
	far.stop()
	far.link.Cut()
	far.watch(far.config)
	if objects, all := far.sees(); all || len(objects) > 0 {
		t.Errorf("it sees %v, all: %t", objects, all)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if far.Watches.WaitForNamespaces(ended) == nil {
		t.Error("the namespaces count as known")
	}
	far.stop() // which returns
	far.watch(far.config)
	far.link.Mend()
	far.knows("app", "old")
}

func askedFor(p *place) error {
	ctx, cancel := context.WithTimeout(p.t.Context(), 5*time.Second)
	defer cancel()
	_, err := p.ReadNamespace(ctx, "two-posts")
	return err
}
