package plan_test

import (
	"testing"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/plan"
)

// TestImmutable is about objects that cannot be changed in place.
func TestImmutable(t *testing.T) {
	fixed := func(o, changed manifest.Object) func(*world) {
		return func(w *world) {
			w.git(o, configMap("env"))
			w.settle()
			w.fix(o, "spec.selector: field is immutable")
			w.git(changed, configMap("env"))
			w.pass()
		}
	}
	replace := func(how string) edit { return annotated(manifest.AnnotationReplace, how) }
	check(t, []spec{
		{"it fails, and says which field", fixed(deployment("api"), deployment("api", version(2))), `
			keep Namespace/posts
			keep ConfigMap/posts/env
			change Deployment/posts/api: differs from Git [failed: spec.selector: field is immutable]
			Failed: Deployment/api (api.yaml:1): spec.selector: field is immutable`},
		{"unless Git allows a replacement", fixed(deployment("api", replace("when-immutable")), deployment("api", replace("when-immutable"), version(2))), `
			keep Namespace/posts
			keep ConfigMap/posts/env
			replace Deployment/posts/api: cannot be changed in place, and is re-created
			Going: Deployment/api: cannot be changed in place, and is re-created`},
		{"which waits for the old one to go", func(w *world) {
			fixed(deployment("api", replace("when-immutable")), deployment("api", replace("when-immutable"), version(2)))(w)
			w.pass()
		}, `
			keep Namespace/posts
			keep ConfigMap/posts/env
			create Deployment/posts/api: has to be re-created [blocked: is being deleted]
			Waiting: Deployment/api: is being deleted`},
		{"and is then created", func(w *world) {
			fixed(deployment("api", replace("when-immutable")), deployment("api", replace("when-immutable"), version(2)))(w)
			w.pass()
			w.finish("Deployment/api")
		}, `
			keep Namespace/posts
			keep ConfigMap/posts/env
			create Deployment/posts/api: is not in the cluster yet
			Going: Deployment/api: is not in the cluster yet`},
		{"also if the agent died in between", func(w *world) {
			fixed(deployment("api", replace("when-immutable")), deployment("api", replace("when-immutable"), version(2)))(w)
			w.crash(1)
			clear(w.in.Refusals)
			w.finish("Deployment/api")
		}, `
			keep Namespace/posts
			keep ConfigMap/posts/env
			create Deployment/posts/api: is not in the cluster yet
			Going: Deployment/api: is not in the cluster yet`},
		{"its pods may run on meanwhile", fixed(deployment("api", replace("orphan")), deployment("api", replace("orphan"), version(2))), `
			keep Namespace/posts
			keep ConfigMap/posts/env
			replace Deployment/posts/api: cannot be changed in place, and is re-created while its pods keep running
			Going: Deployment/api: cannot be changed in place, and is re-created while its pods keep running`},
		{"what holds data is never deleted for it", fixed(pvc("data", replace("when-immutable")), pvc("data", replace("when-immutable"), version(2))), `
			keep Namespace/posts
			keep ConfigMap/posts/env
			change PersistentVolumeClaim/posts/data: differs from Git [failed: spec.selector: field is immutable; berth.dev/replace does not hold for a PersistentVolumeClaim, whose deletion destroys data]
			Failed: PersistentVolumeClaim/data (data.yaml:1): spec.selector: field is immutable; berth.dev/replace does not hold for a PersistentVolumeClaim, whose deletion destroys data`},
		{"an annotation that means nothing allows nothing", fixed(deployment("api", replace("always")), deployment("api", replace("always"), version(2))), `
			keep Namespace/posts
			keep ConfigMap/posts/env
			change Deployment/posts/api: differs from Git [failed: spec.selector: field is immutable; the annotation berth.dev/replace: "always" is neither when-immutable nor orphan]
			Failed: Deployment/api (api.yaml:1): spec.selector: field is immutable; the annotation berth.dev/replace: "always" is neither when-immutable nor orphan`},
		{"an object of another client is not deleted", func(w *world) {
			w.in.Namespace.Shared = true
			w.write(w.in.Namespace.Object, "")
			w.write(deployment("api"), "")
			w.fix(deployment("api"), "spec.selector: field is immutable")
			w.git(deployment("api", replace("when-immutable")))
			w.pass()
		}, `
			keep Namespace/posts: was there before and is not Berth's
			change Deployment/posts/api: was made by another client and is adopted [failed: spec.selector: field is immutable; it was not made by Berth: to have it replaced, delete it by hand]
			Failed: Deployment/api (api.yaml:1): spec.selector: field is immutable; it was not made by Berth: to have it replaced, delete it by hand`},
		{"a successor that the API server refuses leaves the old one alone", func(w *world) {
			fixed(deployment("api", replace("when-immutable")), deployment("api", replace("when-immutable"), version(2)))(w)
			w.refuses[deployment("api").Key()] = plan.Refusal{Message: "spec.replicas: must be positive", Fatal: true}
			w.pass()
		}, `
			keep Namespace/posts
			keep ConfigMap/posts/env
			change Deployment/posts/api: differs from Git [failed: spec.replicas: must be positive]
			Failed: Deployment/api (api.yaml:1): spec.replicas: must be positive`},
	})
}
