package plan_test

import (
	"testing"
	"time"
)

// TestOlderProblems is about problems of objects that are older than what Git says now.
func TestOlderProblems(t *testing.T) {
	const invalid = "spec.replicas: Invalid value: -1; correct it in Git"
	check(t, []spec{
		{"an edit that cannot be reverted is its object's own problem, and no later commit's", func(w *world) {
			w.git(configMap("env"), configMap("old"), deployment("api"))
			w.settle()
			w.disturb("ConfigMap/env")
			w.refuse(configMap("env"), invalid)
			w.pass()
			w.git(configMap("env"), deployment("api", version(2)), configMap("new"))
			w.settle()
		}, `
			keep Namespace/posts
			correct ConfigMap/posts/env: was changed by another client [blocked: spec.replicas: Invalid value: -1; correct it in Git]
			keep ConfigMap/posts/new
			keep Deployment/posts/api
			Settled`},
		{"when its time has come, others do not wait for it", func(w *world) {
			w.git(configMap("env"), deployment("api"))
			w.settle()
			w.disturb("ConfigMap/env")
			w.refuse(configMap("env"), invalid)
			w.pass()
			w.git(configMap("env"), deployment("api", version(2)))
			w.after(time.Minute)
		}, `
			keep Namespace/posts
			correct ConfigMap/posts/env: was changed by another client
			change Deployment/posts/api: differs from Git
			Going: ConfigMap/env: was changed by another client; Deployment/api: differs from Git`},
		{"a missing object that is refused keeps the sync open, but stops no other", func(w *world) {
			w.git(configMap("env"), deployment("api"))
			w.settle()
			w.remove("ConfigMap/env")
			w.refuse(configMap("env"), invalid)
			w.pass()
			w.git(configMap("env"), deployment("api", version(2)))
		}, `
			keep Namespace/posts
			correct ConfigMap/posts/env: was deleted by another client [failed: spec.replicas: Invalid value: -1; correct it in Git]
			change Deployment/posts/api: differs from Git
			Failed: ConfigMap/env (env.yaml:1): spec.replicas: Invalid value: -1; correct it in Git`},
		{"an object that another client took over after it was applied stops no other", func(w *world) {
			w.git(configMap("env"), deployment("api"))
			w.settle()
			w.write(configMap("env"), theirs)
			w.git(configMap("env"), deployment("api", version(2)))
			w.settle()
		}, `
			keep Namespace/posts
			keep ConfigMap/posts/env [blocked: belongs to another environment; two environments cannot share an object: remove it from one of them]
			keep Deployment/posts/api
			Settled`},
		{"a problem that arises after the sync makes the environment Degraded", func(w *world) {
			w.git(configMap("env"), deployment("api"))
			w.settle()
			w.disturb("ConfigMap/env")
			w.refuse(configMap("env"), invalid)
			w.pass()
		}, `
			keep Namespace/posts
			correct ConfigMap/posts/env: was changed by another client [failed: spec.replicas: Invalid value: -1; correct it in Git]
			keep Deployment/posts/api
			Degraded: ConfigMap/env (env.yaml:1): spec.replicas: Invalid value: -1; correct it in Git`},
	})
}
