package plan_test

import (
	"testing"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
)

// TestHandover is about objects that move in Git between environments in one namespace.
func TestHandover(t *testing.T) {
	heir := func(w *world, o manifest.Object) {
		w.in.Heirs = map[manifest.Key]string{o.Key(): "posts.frontend.main"}
	}
	release := func(w *world, o manifest.Object) { w.in.Released = map[manifest.Key]bool{o.Key(): true} }
	check(t, []spec{
		{"what another wants is not deleted", func(w *world) {
			left(w, deployment("web"), configMap("old"))
			heir(w, deployment("web"))
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			keep Deployment/posts/web: is handed over to posts.frontend.main, which has it in Git now
			delete ConfigMap/posts/old: is no longer in Git
			Going: ConfigMap/old: is no longer in Git`},
		{"nothing is deleted before it is known what the other wants", func(w *world) {
			left(w, deployment("web"))
			w.in.Undecided = "posts.frontend.main"
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			delete Deployment/posts/web: is no longer in Git [blocked: waits for posts.frontend.main in the same namespace, which may want it]
			Going: Deployment/web: waits for posts.frontend.main in the same namespace, which may want it`},
		{"what another lets go is taken over as it is", func(w *world) {
			taken(w)
			w.write(deployment("web"), theirs)
			w.finish("Deployment/web")
			w.git(deployment("web"))
			release(w, deployment("web"))
		}, `
			keep Namespace/posts: was there before and is not Berth's
			change Deployment/posts/web: is handed over by another environment
			Going: Deployment/web: is handed over by another environment`},
		{"not what it keeps", func(w *world) {
			taken(w)
			w.write(deployment("web"), theirs)
			w.git(deployment("web"))
		}, `
			keep Namespace/posts: was there before and is not Berth's
			keep Deployment/posts/web [failed: belongs to another environment; two environments cannot share an object: remove it from one of them]
			Failed: Deployment/web (web.yaml:1): belongs to another environment; two environments cannot share an object: remove it from one of them`},
		{"a Job that ran for the other does not run again", func(w *world) {
			taken(w)
			w.write(sealed(job("migrate")).Objects[0], theirs)
			w.finish("Job/migrate")
			w.git(job("migrate"))
			release(w, job("migrate"))
		}, `
			keep Namespace/posts: was there before and is not Berth's
			correct Job/posts/migrate: lacks Berth's marks
			Going: Job/migrate: lacks Berth's marks`},
	})
}

func TestATeardownHandsOver(t *testing.T) {
	w := newWorld(t)
	taken(w)
	w.git(deployment("api"), deployment("web"))
	w.settle()
	w.in.Heirs = map[manifest.Key]string{deployment("web").Key(): "posts.frontend.main"}
	want := lines(`
		keep Deployment/posts/web: is handed over [blocked: waits for posts.frontend.main to take it over, which has it in Git now]
		delete Deployment/posts/api: the environment is torn down
		Going: 2 to delete: Deployment/web: waits for posts.frontend.main to take it over, which has it in Git now; Deployment/api: the environment is torn down`)
	if got := w.teardown().String(); got != want {
		t.Errorf("the plan is\n%s\n\nand should be\n%s", got, want)
	}
}

// A null is no number. Kubernetes advises to set none if there is an autoscaler.
func TestNoNumberOfReplicas(t *testing.T) {
	null := field(nil, "spec", "replicas")
	check(t, []spec{
		{"that becomes null in the commit that brings an autoscaler is kept", func(w *world) {
			w.git(deployment("api", replicas(4)))
			w.settle()
			w.git(deployment("api", null), autoscaler("api"))
		}, `
			keep Namespace/posts
			change Deployment/posts/api: differs from Git [keeps spec.replicas]
			create HorizontalPodAutoscaler/posts/api: is not in the cluster yet
			Going: Deployment/api: differs from Git; HorizontalPodAutoscaler/api: is not in the cluster yet`},
		{"is not sent where another client has set one", func(w *world) {
			w.git(deployment("api", replicas(2)))
			w.settle()
			w.change("Deployment/api", func(l *observed.Object) { l.Scaler, l.Replicas = "kube-controller-manager", false })
			w.git(deployment("api", null), autoscaler("api"))
		}, `
			keep Namespace/posts
			change Deployment/posts/api: differs from Git [leaves spec.replicas]
			create HorizontalPodAutoscaler/posts/api: is not in the cluster yet
			Going: Deployment/api: differs from Git; HorizontalPodAutoscaler/api: is not in the cluster yet`},
	})
}
