package plan_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/reconciler/manifest"
	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
)

// add lets a user add fields to an object. scale lets another client scale it.
func (w *world) add(short, manager string, fields ...string) {
	w.change(short, func(l *observed.Object) { l.Added = &observed.Additions{Manager: manager, Fields: fields} })
}

func (w *world) scale(short, manager string) {
	w.change(short, func(l *observed.Object) { l.Scaler, l.Ownership, l.Replicas = manager, "without replicas", false })
}

// scaleToZero leaves no name, because a number that is zero is in no managed fields.
func (w *world) scaleToZero(short string) {
	w.change(short, func(l *observed.Object) { l.Scaler, l.Ownership, l.Replicas = "", "without replicas, at zero", false })
}

// TestAdditions is about fields that users add to our objects.
func TestAdditions(t *testing.T) {
	check(t, []spec{
		{"what people added is taken back", func(w *world) {
			w.git(configMap("env"), configMap("other"))
			w.settle()
			w.add("ConfigMap/env", "kubectl-patch", "data.EXTRA")
		}, `
			keep Namespace/posts
			correct ConfigMap/posts/env: kubectl-patch added data.EXTRA
			keep ConfigMap/posts/other
			Settled`},
		{"and then nothing", func(w *world) {
			w.git(configMap("env"))
			w.settle()
			w.add("ConfigMap/env", "kubectl-patch", "data.EXTRA")
			w.settle()
		}, `
			keep Namespace/posts
			keep ConfigMap/posts/env
			Settled`},
		{"unless Git leaves it to them", func(w *world) {
			w.git(configMap("env", annotated(manifest.AnnotationDrift, "ignore")))
			w.settle()
			w.add("ConfigMap/env", "kubectl-patch", "data.EXTRA")
		}, `
			keep Namespace/posts
			keep ConfigMap/posts/env
			Settled`},
		{"who changed an object is named", func(w *world) {
			w.git(configMap("env"))
			w.settle()
			w.disturb("ConfigMap/env")
			w.change("ConfigMap/env", func(l *observed.Object) { l.Rival = "kubectl-edit" })
		}, `
			keep Namespace/posts
			correct ConfigMap/posts/env: was changed by kubectl-edit
			Settled`},
		{"so is who scaled it", func(w *world) {
			w.git(deployment("api", replicas(2)))
			w.settle()
			w.scale("Deployment/api", "kubectl")
		}, `
			keep Namespace/posts
			correct Deployment/posts/api: was scaled by kubectl
			Settled`},
	})
}

// TestTools is about objects that other tools manage.
func TestTools(t *testing.T) {
	helms := func(w *world) {
		w.in.Namespace.Shared = true
		w.write(w.in.Namespace.Object, "")
		w.write(configMap("env"), "")
		w.change("ConfigMap/env", func(l *observed.Object) { l.Tool = "Helm (release posts/posts)" })
	}
	check(t, []spec{
		{"what belongs to another tool is not taken", func(w *world) {
			helms(w)
			w.git(configMap("env"), configMap("other"))
		}, `
			keep Namespace/posts: was there before and is not Berth's
			keep ConfigMap/posts/env [failed: belongs to Helm (release posts/posts); stop that tool from managing it, without deleting it, and set the annotation berth.dev/adopt: "true" in Git, or rename the one in Git]
			create ConfigMap/posts/other: is not in the cluster yet
			Failed: ConfigMap/env (env.yaml:1): belongs to Helm (release posts/posts); stop that tool from managing it, without deleting it, and set the annotation berth.dev/adopt: "true" in Git, or rename the one in Git`},
		{"unless Git says so", func(w *world) {
			helms(w)
			w.git(configMap("env", annotated(manifest.AnnotationAdopt, "true")))
		}, `
			keep Namespace/posts: was there before and is not Berth's
			change ConfigMap/posts/env: was made by another client and is adopted
			Going: ConfigMap/env: was made by another client and is adopted`},
		{"and what was ours before stays ours", func(w *world) {
			w.git(configMap("env"))
			w.settle()
			w.change("ConfigMap/env", func(l *observed.Object) { l.Tool = "Helm (release posts/posts)" })
		}, `
			keep Namespace/posts
			keep ConfigMap/posts/env
			Settled`},
	})
}

func autoscaler(name string) manifest.Object {
	target := map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
	return object("autoscaling/v2", "HorizontalPodAutoscaler", name, field(target, "spec", "scaleTargetRef"))
}

func replicas(n int64) edit { return field(n, "spec", "replicas") }

const controllerManager = "kube-controller-manager"

// TestAutoscalers is about who sets the number of replicas.
func TestAutoscalers(t *testing.T) {
	scaled := func(w *world) {
		w.git(deployment("api", replicas(2)), autoscaler("api"))
		w.settle()
		w.scale("Deployment/api", controllerManager)
		w.settle()
	}
	check(t, []spec{
		{"before an autoscaler has scaled anything, Git says how many", func(w *world) {
			w.git(deployment("api", replicas(2)), autoscaler("api"))
			w.pass()
		}, `
			keep Namespace/posts
			keep Deployment/posts/api (Progressing: 0 of 1 ready)
			keep HorizontalPodAutoscaler/posts/api
			Going: Deployment/api: 0 of 1 ready`},
		{"what an autoscaler has set is left to it", func(w *world) {
			w.git(deployment("api", replicas(2)), autoscaler("api"))
			w.settle()
			w.scale("Deployment/api", controllerManager)
		}, `
			keep Namespace/posts
			correct Deployment/posts/api: was changed by another client [leaves spec.replicas]
			keep HorizontalPodAutoscaler/posts/api
			Settled`},
		{"and then nothing", scaled, `
			keep Namespace/posts
			keep Deployment/posts/api
			keep HorizontalPodAutoscaler/posts/api
			Settled`},
		{"also when Git changes something else, or the number", func(w *world) {
			scaled(w)
			w.git(deployment("api", replicas(3), version(2)), autoscaler("api"))
		}, `
			keep Namespace/posts
			change Deployment/posts/api: differs from Git [leaves spec.replicas]
			keep HorizontalPodAutoscaler/posts/api
			Going: Deployment/api: differs from Git`},
		{"a Deployment that was deleted begins with Git's number", func(w *world) {
			scaled(w)
			w.remove("Deployment/api")
			w.finish("Deployment/api")
		}, `
			keep Namespace/posts
			correct Deployment/posts/api: was deleted by another client
			keep HorizontalPodAutoscaler/posts/api
			Settled`},
		{"until the autoscaler is gone, its number stays", func(w *world) {
			scaled(w)
			w.git(deployment("api", replicas(2)))
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			delete HorizontalPodAutoscaler/posts/api: is no longer in Git
			Going: HorizontalPodAutoscaler/api: is no longer in Git`},
		{"and then Git's is back", func(w *world) {
			scaled(w)
			w.git(deployment("api", replicas(2)))
			w.pass()
		}, `
			keep Namespace/posts
			correct Deployment/posts/api: was scaled by kube-controller-manager, and no known autoscaler scales it now
			Going: Deployment/api: was scaled by kube-controller-manager, and no known autoscaler scales it now`},
		{"an autoscaler that Git does not know is left alone as well", func(w *world) {
			w.git(deployment("api", replicas(2)))
			w.settle()
			w.scale("Deployment/api", "keda")
			w.settle()
			w.git(deployment("api", replicas(2), version(2)))
		}, `
			keep Namespace/posts
			change Deployment/posts/api: differs from Git [leaves spec.replicas]
			Going: Deployment/api: differs from Git`},
		{"but not a person, even one who comes after an autoscaler", func(w *world) {
			w.git(deployment("api", replicas(2)))
			w.settle()
			w.scale("Deployment/api", "keda")
			w.settle()
			w.change("Deployment/api", func(l *observed.Object) { l.Scaler = "kubectl" })
		}, `
			keep Namespace/posts
			correct Deployment/posts/api: was scaled by kubectl, and no known autoscaler scales it now
			Settled`},
		{"where Git says no number there is nothing to leave", func(w *world) {
			w.git(deployment("api"), autoscaler("api"))
			w.settle()
			w.change("Deployment/api", func(l *observed.Object) { l.Scaler = controllerManager })
		}, `
			keep Namespace/posts
			keep Deployment/posts/api
			keep HorizontalPodAutoscaler/posts/api
			Settled`},
		{"a number that leaves Git when an autoscaler comes is kept until it scales", func(w *world) {
			w.git(deployment("api", replicas(2)))
			w.settle()
			w.git(deployment("api"), autoscaler("api"))
		}, `
			keep Namespace/posts
			change Deployment/posts/api: differs from Git [keeps spec.replicas]
			create HorizontalPodAutoscaler/posts/api: is not in the cluster yet
			Going: Deployment/api: differs from Git; HorizontalPodAutoscaler/api: is not in the cluster yet`},
		{"also when it is corrected meanwhile", func(w *world) {
			w.git(deployment("api", replicas(2)), autoscaler("api"))
			w.settle()
			w.git(deployment("api"), autoscaler("api"))
			w.settle()
			w.change("Deployment/api", func(l *observed.Object) { l.Replicas, l.Ownership = true, "others" })
		}, `
			keep Namespace/posts
			correct Deployment/posts/api: was changed by another client [keeps spec.replicas]
			keep HorizontalPodAutoscaler/posts/api
			Settled`},
		{"a number that leaves Git without an autoscaler is given up", func(w *world) {
			w.git(deployment("api", replicas(2)))
			w.settle()
			w.git(deployment("api"))
		}, `
			keep Namespace/posts
			change Deployment/posts/api: differs from Git
			Going: Deployment/api: differs from Git`},
		{"zero is a number like any other", func(w *world) {
			w.git(deployment("api", replicas(2)), autoscaler("api"))
			w.settle()
			w.scaleToZero("Deployment/api")
		}, `
			keep Namespace/posts
			correct Deployment/posts/api: was changed by another client [leaves spec.replicas]
			keep HorizontalPodAutoscaler/posts/api
			Settled`},
		{"also for the next commit", func(w *world) {
			w.git(deployment("api", replicas(2)), autoscaler("api"))
			w.settle()
			w.scaleToZero("Deployment/api")
			w.settle()
			w.git(deployment("api", replicas(2), version(2)), autoscaler("api"))
		}, `
			keep Namespace/posts
			change Deployment/posts/api: differs from Git [leaves spec.replicas]
			keep HorizontalPodAutoscaler/posts/api
			Going: Deployment/api: differs from Git`},
		{"and Git's number is back when the autoscaler is gone", func(w *world) {
			w.git(deployment("api", replicas(2)), autoscaler("api"))
			w.settle()
			w.scaleToZero("Deployment/api")
			w.settle()
			w.git(deployment("api", replicas(2)))
			w.pass()
		}, `
			keep Namespace/posts
			correct Deployment/posts/api: was scaled by another client, and no known autoscaler scales it now
			Going: Deployment/api: was scaled by another client, and no known autoscaler scales it now`},
		{"an autoscaler that Git does not know may go to zero, too", func(w *world) {
			w.git(deployment("api", replicas(2)))
			w.settle()
			w.scale("Deployment/api", "keda")
			w.settle()
			w.scaleToZero("Deployment/api")
		}, `
			keep Namespace/posts
			correct Deployment/posts/api: was changed by another client [leaves spec.replicas]
			Settled`},
		{"a null is no number: what runs is kept until the autoscaler scales", func(w *world) {
			w.git(deployment("api", replicas(4)))
			w.settle()
			w.git(deployment("api", field(nil, "spec", "replicas")), autoscaler("api"))
		}, `
			keep Namespace/posts
			change Deployment/posts/api: differs from Git [keeps spec.replicas]
			create HorizontalPodAutoscaler/posts/api: is not in the cluster yet
			Going: Deployment/api: differs from Git; HorizontalPodAutoscaler/api: is not in the cluster yet`},
		{"a canary scales what it takes the place of", func(w *world) {
			target := field(map[string]any{"kind": "Deployment", "name": "api"}, "spec", "targetRef")
			w.git(deployment("api", replicas(2)), object("flagger.app/v1beta1", "Canary", "api", target))
			w.settle()
			w.scaleToZero("Deployment/api")
		}, `
			keep Namespace/posts
			correct Deployment/posts/api: was changed by another client [leaves spec.replicas]
			keep Canary/posts/api
			Settled`},
		{"the CA bundles that cert-manager injects are its own", func(w *world) {
			asks := annotated("cert-manager.io/inject-ca-from", "posts/ca")
			w.git(object("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "api", asks), widgets(asks),
				object("apiregistration.k8s.io/v1", "APIService", "v1.posts", asks))
		}, `
			create Namespace/posts: is not in the cluster yet
			create CustomResourceDefinition/widgets.example.com: is not in the cluster yet [leaves spec.conversion.webhook.clientConfig.caBundle]
			create ValidatingWebhookConfiguration/api: is not in the cluster yet [leaves webhooks.*.clientConfig.caBundle]
			create APIService/v1.posts: is not in the cluster yet [leaves spec.caBundle]
			Going: Namespace/posts, CustomResourceDefinition/widgets.example.com, ValidatingWebhookConfiguration/api: is not in the cluster yet; and 1 more`},
		{"and those of OpenShift's operators", func(w *world) {
			w.git(configMap("ca", annotated("service.beta.openshift.io/inject-cabundle", "true")), configMap("env"),
				configMap("trusted", func(u *unstructured.Unstructured) {
					u.SetLabels(map[string]string{"config.openshift.io/inject-trusted-cabundle": "true"})
				}))
		}, `
			create Namespace/posts: is not in the cluster yet
			create ConfigMap/posts/ca: is not in the cluster yet [leaves data]
			create ConfigMap/posts/env: is not in the cluster yet
			create ConfigMap/posts/trusted: is not in the cluster yet [leaves data]
			Going: Namespace/posts, ConfigMap/ca, ConfigMap/env: is not in the cluster yet; and 1 more`},
		{"istiod decides how its webhook fails", func(w *world) {
			w.git(object("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "istio",
				func(u *unstructured.Unstructured) { u.SetLabels(map[string]string{"istio.io/rev": "default"}) }))
		}, `
			create Namespace/posts: is not in the cluster yet
			create ValidatingWebhookConfiguration/istio: is not in the cluster yet [leaves webhooks.*.clientConfig.caBundle, webhooks.*.failurePolicy]
			Going: Namespace/posts, ValidatingWebhookConfiguration/istio: is not in the cluster yet`},
		{"the rules of an aggregated ClusterRole are its controller's", func(w *world) {
			aggregation := field(map[string]any{}, "aggregationRule")
			w.git(object("rbac.authorization.k8s.io/v1", "ClusterRole", "all", aggregation, field([]any{}, "rules")))
		}, `
			create Namespace/posts: is not in the cluster yet
			create ClusterRole/all: is not in the cluster yet [leaves rules]
			Going: Namespace/posts, ClusterRole/all: is not in the cluster yet`},
	})
}

// A scaler without a name is looked up, but only then.
func TestScalingWithoutAName(t *testing.T) {
	seeks := func(w *world) bool {
		i := slices.IndexFunc(w.plan().Steps, func(s plan.Step) bool { return s.Key.Kind == "Deployment" })
		return w.plan().Steps[i].Seek
	}
	w := newWorld(t)
	w.git(deployment("api", replicas(2)))
	if seeks(w) {
		t.Error("it is looked for who scaled what is not there")
	}
	w.settle()
	if seeks(w) {
		t.Error("a search for who scaled an object that was not scaled")
	}
	w.scaleToZero("Deployment/api")
	if !seeks(w) {
		t.Error("it is not looked for who scaled to zero")
	}
}

// Trim removes the fields that others own, in each entry of a list if the path says so. It also removes the map that
// becomes empty.
func TestTrim(t *testing.T) {
	hook := func(name string) any {
		return map[string]any{"name": name, "clientConfig": map[string]any{"caBundle": "Cg==", "url": "https://example.com"}}
	}
	u := &unstructured.Unstructured{Object: map[string]any{"webhooks": []any{hook("a"), hook("b"), "no hook"}, "spec": map[string]any{"replicas": int64(2)}}}
	plan.Step{Leave: []string{"webhooks.*.clientConfig.caBundle", "spec.replicas", "spec.template.missing"}}.Trim(u)
	bare := func(name string) any {
		return map[string]any{"name": name, "clientConfig": map[string]any{"url": "https://example.com"}}
	}
	want := map[string]any{"webhooks": []any{bare("a"), bare("b"), "no hook"}} // an empty spec would be a field of ours
	if !reflect.DeepEqual(u.Object, want) {
		t.Errorf("left is %v, want %v", u.Object, want)
	}
}

// TestFights is about objects that another client changes again and again.
func TestFights(t *testing.T) {
	fight := func(w *world) {
		w.git(configMap("env"), configMap("other"))
		w.settle()
		w.fight("ConfigMap/env")
	}
	check(t, []spec{
		{"backs off, names the rival, and corrects the others", func(w *world) {
			fight(w)
			w.disturb("ConfigMap/env")
			w.disturb("ConfigMap/other")
		}, `
			keep Namespace/posts
			correct ConfigMap/posts/env: was changed by another client [blocked: is changed again and again by other-operator, and corrected less often; let only one of the two write it, or set berth.dev/drift: ignore]
			correct ConfigMap/posts/other: was changed by another client
			Settled`},
		{"is tried again later", func(w *world) {
			fight(w)
			w.disturb("ConfigMap/env")
			w.after(time.Minute)
		}, `
			keep Namespace/posts
			correct ConfigMap/posts/env: was changed by another client
			keep ConfigMap/posts/other
			Settled`},
		{"is not over with a moment's calm", func(w *world) {
			fight(w)
			w.after(time.Minute)
		}, `
			keep Namespace/posts
			keep ConfigMap/posts/env [blocked: is changed again and again by other-operator, and corrected less often; let only one of the two write it, or set berth.dev/drift: ignore]
			keep ConfigMap/posts/other
			Settled`},
		{"but with a longer one", func(w *world) {
			fight(w)
			w.after(3 * time.Minute)
		}, `
			keep Namespace/posts
			keep ConfigMap/posts/env
			keep ConfigMap/posts/other
			Settled`},
		{"holds up nothing that Git changes", func(w *world) {
			fight(w)
			w.disturb("ConfigMap/env")
			w.git(configMap("env", version(2)), configMap("other"))
		}, `
			keep Namespace/posts
			change ConfigMap/posts/env: differs from Git
			keep ConfigMap/posts/other
			Going: ConfigMap/env: differs from Git`},
		{"holds up no other object, no later wave and no deletion", func(w *world) {
			w.git(deployment("api"), deployment("web", wave(1)), configMap("old"))
			w.settle()
			w.fight("Deployment/api")
			w.disturb("Deployment/api")
			w.git(deployment("api"), deployment("web", wave(1), version(2)))
			w.pass()
			w.finish("Deployment/web")
		}, `
			keep Namespace/posts
			correct Deployment/posts/api: was changed by another client [blocked: is changed again and again by other-operator, and corrected less often; let only one of the two write it, or set berth.dev/drift: ignore]
			keep Deployment/posts/web
			delete ConfigMap/posts/old: is no longer in Git
			Going: ConfigMap/old: is no longer in Git`},
		{"over an object that rolls out, and is as Git says, its health decides", func(w *world) {
			w.git(deployment("api"))
			w.settle()
			w.git(deployment("api", version(2)))
			w.pass()
			w.fight("Deployment/api")
		}, `
			keep Namespace/posts
			keep Deployment/posts/api (Progressing: 0 of 1 ready)
			Going: Deployment/api: 0 of 1 ready`},
		{"but the sync waits for its own rollout", func(w *world) {
			w.git(deployment("api"), deployment("web", wave(1)))
			w.settle()
			w.git(deployment("api", version(2)), deployment("web", wave(1), version(2)))
			w.pass()
			w.fight("Deployment/api")
			w.disturb("Deployment/api")
		}, `
			keep Namespace/posts
			correct Deployment/posts/api: was changed by another client [blocked: is changed again and again by other-operator, and corrected less often; let only one of the two write it, or set berth.dev/drift: ignore]
			change Deployment/posts/web: differs from Git [blocked: waits for Deployment/api in wave 0]
			Going: Deployment/api: is changed again and again by other-operator, and corrected less often; let only one of the two write it, or set berth.dev/drift: ignore; and 1 more`},
		{"over an object that is deleted again and again, something is missing", func(w *world) {
			fight(w)
			w.remove("ConfigMap/env")
		}, `
			keep Namespace/posts
			correct ConfigMap/posts/env: was deleted by another client [blocked: is changed again and again by other-operator, and corrected less often; let only one of the two write it, or set berth.dev/drift: ignore]
			keep ConfigMap/posts/other
			Degraded: ConfigMap/env: is changed again and again by other-operator, and corrected less often; let only one of the two write it, or set berth.dev/drift: ignore`},
	})
}

// An object whose correction a fight delays is a warning for users.
func TestFightsWarn(t *testing.T) {
	w := newWorld(t)
	w.git(configMap("env"))
	w.settle()
	w.fight("ConfigMap/env")
	w.disturb("ConfigMap/env")
	want := []string{"ConfigMap/env is changed again and again by other-operator, and corrected less often; let only one of the two write it, or set berth.dev/drift: ignore"}
	if got := w.plan().Warnings; !slices.Equal(got, want) {
		t.Errorf("the warnings are %q, want %q", got, want)
	}
}
