package apply

import (
	"reflect"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/reconciler/observed"
	"berth.dev/berth/reconciler/plan"
)

// patchAs patches an object as a field manager.
func (w *world) patchAs(manager, text, patch string, subresource ...string) {
	w.t.Helper()
	o := w.object(text)
	_, err := w.resource(o).Patch(w.t.Context(), o.GetName(), types.MergePatchType, []byte(patch),
		metav1.PatchOptions{FieldManager: manager}, subresource...)
	if err != nil {
		w.t.Fatal(err)
	}
}

// takesOver returns the step that corrects additions of users, as the plan makes it.
func (w *world) takesOver(action plan.Action, text string, live *observed.Object) plan.Step {
	w.t.Helper()
	if live.Added == nil {
		w.t.Fatalf("nothing seems to have been added to %s", live.Key)
	}
	s := w.step(action, text, live)
	s.TakeOver = live.Added
	return s
}

func TestWhatPeopleAddedIsRemoved(t *testing.T) {
	w := newWorld(t)
	first := w.created(deployment)
	w.patchAs("kubectl-patch", deployment, `{"metadata":{"labels":{"theirs":"stays"}},"spec":{"minReadySeconds":7}}`)
	w.patchAs("kubectl-edit", deployment, `{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"2026-05-04T12:00:00Z"}}}}}`)
	w.patchAs("operator", deployment, `{"spec":{"progressDeadlineSeconds":77}}`)
	live := w.seen(deployment)
	if live.Added == nil || live.Added.String() != "kubectl-patch added spec.minReadySeconds" {
		t.Fatalf("added was %v", live.Added)
	}

	live = w.must(Corrected, w.run(w.takesOver(plan.Correct, deployment, live))[0])
	if live.Added != nil || live.Ownership != first.Ownership {
		t.Errorf("still added: %v; owned %q, at first %q", live.Added, live.Ownership, first.Ownership)
	}
	obj := w.look(deployment)
	for path, want := range map[string]any{
		"minReadySeconds": nil, "progressDeadlineSeconds": int64(77), "replicas": int64(2),
	} {
		if got := field(t, obj, "spec", path); got != want {
			t.Errorf("spec.%s is %v, want %v", path, got, want)
		}
	}
	if obj.GetLabels()["theirs"] != "stays" {
		t.Error("an added label was removed")
	}
	if got := field(t, obj, "spec", "template", "metadata", "annotations", "kubectl.kubernetes.io/restartedAt"); got == nil {
		t.Error("the restart was undone")
	}
}

func TestWhatKubectlMadeIsAdoptedWhole(t *testing.T) {
	w := newWorld(t)
	w.kubectl(with(configMap, "mode: fast", "mode: slow, EXTRA: x"))
	result := w.do(plan.Create, configMap, nil)
	w.classed(Exists, result)
	live := w.must(Changed, w.run(w.takesOver(plan.Change, configMap, result.Live))[0])
	if got := field(t, w.look(configMap), "data"); !reflect.DeepEqual(got, map[string]any{"mode": "fast"}) {
		t.Errorf("data is %v", got)
	}
	if live.Added != nil || live.Environment != environment {
		t.Errorf("it is not wholly ours: %+v", live)
	}
}

func TestWhatKubectlAppliedIsAdoptedWhole(t *testing.T) {
	w := newWorld(t)
	o := w.object(with(configMap, "mode: fast", "mode: slow, EXTRA: x"))
	if _, err := w.resource(o).Apply(t.Context(), o.GetName(), o.Unstructured, metav1.ApplyOptions{FieldManager: "kubectl"}); err != nil {
		t.Fatal(err)
	}
	w.must(Changed, w.run(w.takesOver(plan.Change, configMap, w.seen(configMap)))[0])
	if got := field(t, w.look(configMap), "data"); !reflect.DeepEqual(got, map[string]any{"mode": "fast"}) {
		t.Errorf("data is %v", got)
	}
}

// The kinds differ in the API server's defaults, which then seem to be kubectl's.
func TestAdoptionOfManyKinds(t *testing.T) {
	for name, text := range map[string]string{
		"Deployment":  deployment,
		"StatefulSet": statefulSet,
		"Service":     "{apiVersion: v1, kind: Service, metadata: {name: api, namespace: NS}, spec: {selector: {app: api}, type: NodePort, ports: [{port: 80}]}}",
		"claim":       claim,
		"CronJob":     "{apiVersion: batch/v1, kind: CronJob, metadata: {name: tidy, namespace: NS}, spec: {schedule: '@daily', jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: b}]}}}}}}",
		"Namespace":   "{apiVersion: v1, kind: Namespace, metadata: {name: NS-own}}",
		"RoleBinding": roleBinding,
		"Secret":      secret,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			before := w.kubectl(text)
			s := w.step(plan.Change, text, w.seen(text))
			s.TakeOver = s.Live.Added
			if live := w.must(Changed, w.run(s)[0]); live.Added != nil {
				t.Errorf("still added: %s", live.Added)
			}
			if after := w.look(text); !reflect.DeepEqual(before.Object["spec"], after.Object["spec"]) {
				t.Errorf("its spec changed\nfrom %v\nto   %v", before.Object["spec"], after.Object["spec"])
			}
		})
	}
}

func TestManagedFieldsThatWereReset(t *testing.T) {
	w := newWorld(t)
	w.created(configMap)
	w.patchAs("kubectl-edit", configMap, `{"data":{"EXTRA":"x"}}`)
	w.patchAs("other-client", configMap, `{"metadata":{"managedFields":[{}]}}`)
	live := w.must(Corrected, w.do(plan.Correct, configMap, w.seen(configMap)))
	if live.Added == nil || live.Added.Manager != "before-first-apply" {
		t.Fatalf("added was %v", live.Added)
	}
	w.must(Corrected, w.run(w.takesOver(plan.Correct, configMap, live))[0])
	if got := field(t, w.look(configMap), "data"); !reflect.DeepEqual(got, map[string]any{"mode": "fast"}) {
		t.Errorf("data is %v", got)
	}
}

func TestTakeOverOnlyOfWhatWasSeen(t *testing.T) {
	w := newWorld(t)
	w.created(configMap)
	w.patchAs("kubectl-edit", configMap, `{"data":{"EXTRA":"x"}}`)
	s := w.takesOver(plan.Correct, configMap, w.seen(configMap))
	w.delete(configMap)
	w.refused(Conflict, "infra/app.yaml:12: ConfigMap/NS/settings: was deleted or re-created by another client in the meantime; it is tried again", w.run(s)[0])
	w.kubectl(configMap)
	w.classed(Conflict, w.run(s)[0])
}

func TestReplicasAreLeftToWhoScales(t *testing.T) {
	w := newWorld(t)
	live := w.created(deployment)
	if live.Scaler != "" {
		t.Fatalf("%s seems to scale it", live.Scaler)
	}
	w.patchAs("kube-controller-manager", deployment, `{"spec":{"replicas":5}}`, "scale")
	live = w.seen(deployment)
	if live.Scaler != "kube-controller-manager" {
		t.Fatalf("%q seems to scale it", live.Scaler)
	}
	s := w.step(plan.Correct, deployment, live)
	s.Leave = []string{"spec.replicas"}
	live = w.must(Unchanged, w.run(s)[0])
	if got := field(t, w.look(deployment), "spec", "replicas"); got != int64(5) || live.Scaler == "" {
		t.Fatalf("there are %v replicas, scaled by %q", got, live.Scaler)
	}
	// The autoscaler is deleted, and Git's number is restored.
	live = w.must(Corrected, w.do(plan.Correct, deployment, live))
	if got := field(t, w.look(deployment), "spec", "replicas"); got != int64(2) || live.Scaler != "" {
		t.Errorf("there are %v replicas, scaled by %q", got, live.Scaler)
	}
}

// One commit adds an autoscaler and removes the number of replicas.
func TestReplicasAreHeldUntilSomebodyScales(t *testing.T) {
	w := newWorld(t)
	live := w.created(deployment)
	without := with(deployment, "  replicas: 2\n", "")
	if !live.Replicas {
		t.Fatal("the number does not seem to be ours")
	}
	s := w.step(plan.Change, without, live)
	s.Hold = []string{"spec.replicas"}
	live = w.must(Changed, w.run(s)[0])
	if got := field(t, w.look(deployment), "spec", "replicas"); got != int64(2) || !live.Replicas {
		t.Fatalf("there are %v replicas, ours: %t", got, live.Replicas)
	}
	w.patchAs("kube-controller-manager", deployment, `{"spec":{"replicas":5}}`, "scale")
	if live = w.seen(deployment); live.Replicas {
		t.Fatal("the number is still ours")
	}
	w.must(Unchanged, w.do(plan.Correct, without, live))
	if got := field(t, w.look(deployment), "spec", "replicas"); got != int64(5) {
		t.Errorf("there are %v replicas", got)
	}
	t.Run("without an autoscaler, the API server makes one of them", func(t *testing.T) {
		w := newWorld(t)
		w.must(Changed, w.do(plan.Change, without, w.created(deployment)))
		if got := field(t, w.look(deployment), "spec", "replicas"); got != int64(1) {
			t.Errorf("there are %v replicas", got)
		}
	})
}

func TestRulesOfAnAggregatedClusterRole(t *testing.T) {
	const role = "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: NS}, rules: [], aggregationRule: {clusterRoleSelectors: [{matchLabels: {to: NS}}]}}"
	w := newWorld(t)
	s := w.step(plan.Create, role, nil)
	s.Leave = []string{"rules"}
	w.must(Created, w.run(s)[0])
	w.patchAs("clusterrole-aggregation-controller", role, `{"rules":[{"apiGroups":[""],"resources":["pods"],"verbs":["get"]}]}`)
	s.Live, s.Action = w.seen(role), plan.Change
	w.run(s)
	if rules, _ := field(t, w.look(role), "rules").([]any); len(rules) != 1 {
		t.Errorf("the rules are %v", rules)
	}
}

func TestWhatOtherToolsOwn(t *testing.T) {
	w := newWorld(t)
	w.kubectl(with(configMap, "metadata: {", "metadata: {annotations: {meta.helm.sh/release-name: web, meta.helm.sh/release-namespace: NS}, "))
	r := w.do(plan.Create, configMap, nil)
	w.refused(Claimed, `infra/app.yaml:12: ConfigMap/NS/settings: belongs to Helm (release NS/web); stop that tool from managing it, without deleting it, and `+
		`set the annotation berth.dev/adopt: "true" in Git, or rename the one in Git`, r)
	if r.Live != nil {
		t.Error("it is remembered, though it is not watched")
	}
	adopting := with(configMap, "metadata: {", `metadata: {annotations: {berth.dev/adopt: "true"}, `)
	r = w.do(plan.Create, adopting, nil)
	w.classed(Exists, r)
	w.must(Changed, w.do(plan.Change, adopting, r.Live))
	if again := w.do(plan.Change, configMap, w.seen(configMap)); again.Err != nil {
		t.Error(again.Err)
	}
}

func TestReplaceWhatCannotBeChanged(t *testing.T) {
	for _, test := range []struct {
		how       string
		finalizer string
	}{{"when-immutable", "foregroundDeletion"}, {"orphan", "orphan"}} {
		t.Run(test.how, func(t *testing.T) {
			w := newWorld(t)
			annotated := with(statefulSet, "metadata: {name: db,", "metadata: {name: db, annotations: {berth.dev/replace: "+test.how+"},")
			old := w.created(annotated)
			newer := with(annotated, "serviceName: db", "serviceName: other")
			w.classed(Immutable, w.do(plan.Change, newer, old))
			change := w.step(plan.Change, newer, old)
			change.MayReplace = true
			if r := w.applier.Validate(t.Context(), w.target, []plan.Step{change})[0]; r.Err != nil {
				t.Errorf("validated, it is refused: %v", r.Err)
			}
			live := w.must(Replaced, w.do(plan.Replace, newer, old))
			if live == nil || !slices.Equal(live.Finalizers, []string{test.finalizer}) {
				t.Fatalf("what is left is %+v", live)
			}
			w.patch(newer, `{"metadata":{"finalizers":null}}`)
			if live := w.created(newer); live.UID == old.UID {
				t.Error("it is the old one")
			}
		})
	}
}

func TestReplaceKeepsWhatHasNoValidSuccessor(t *testing.T) {
	w := newWorld(t)
	annotated := with(statefulSet, "metadata: {name: db,", "metadata: {name: db, annotations: {berth.dev/replace: orphan},")
	old := w.created(annotated)
	w.classed(Invalid, w.do(plan.Replace, with(annotated, "serviceName: db", "serviceName: other, replicas: -1"), old))
	if obj := w.look(statefulSet); obj == nil || obj.GetDeletionTimestamp() != nil {
		t.Error("it was deleted")
	}
}

func TestAnswersNameTheRival(t *testing.T) {
	w := newWorld(t)
	w.created(configMap)
	w.patchAs("other-operator", configMap, `{"data":{"mode":"slow"}}`)
	if live := w.seen(configMap); live.Rival != "other-operator" {
		t.Errorf("the rival is %q", live.Rival)
	}
}
