package apply

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"berth.dev/berth/reconciler/plan"
)

const account = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: api, namespace: NS}
imagePullSecrets: [{name: registry}]
`

// OpenShift adds a pull secret to every ServiceAccount, in a list that one manager owns as a whole.
func TestAListThatOthersExtend(t *testing.T) {
	w := newWorld(t)
	w.created(account)
	pulls := func() string {
		list, _, _ := unstructured.NestedSlice(w.look(account).Object, "imagePullSecrets")
		return fmt.Sprint(list)
	}
	corrects := func() Result {
		s := w.step(plan.Correct, account, w.seen(account))
		s.Share = "imagePullSecrets"
		return w.run(s)[0]
	}
	w.patchAs("openshift-controller-manager", account, `{"imagePullSecrets":[{"name":"dockercfg"},{"name":"registry"}]}`)
	w.must(Unchanged, corrects())
	if got, want := pulls(), "[map[name:dockercfg] map[name:registry]]"; got != want {
		t.Errorf("the list is %s, want %s", got, want)
	}
	w.patchAs("openshift-controller-manager", account, `{"imagePullSecrets":[{"name":"dockercfg"}]}`)
	w.must(Corrected, corrects())
	if got, want := pulls(), "[map[name:registry]]"; got != want {
		t.Errorf("where ours is missing the list is %s, want %s", got, want)
	}
	w.patchAs("kubectl-edit", account, `{"imagePullSecrets":[{"name":"registry"},{"name":"mine"}]}`)
	w.must(Corrected, corrects())
	if got, want := pulls(), "[map[name:registry]]"; got != want {
		t.Errorf("what a person adds stays: the list is %s, want %s", got, want)
	}
}

// After scaling to zero, the scaler is unknown. It counts as an autoscaler if one exists, and as drift otherwise.
func TestScalingToZero(t *testing.T) {
	const scaler = `
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: keda-hpa-api, namespace: NS}
spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: api}, maxReplicas: 5}
`
	for _, test := range []struct {
		name, scaler, scaledBy string
		replicas               int64
	}{
		{"by an autoscaler", scaler, "HorizontalPodAutoscaler/keda-hpa-api", 0},
		{"by a person", "", "", 2},
		{"by a person, beside the autoscaler of another", with(scaler, "name: api}", "name: other}"), "", 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.created(deployment)
			if test.scaler != "" {
				w.created(test.scaler)
			}
			w.patchAs("keda-operator", deployment, `{"spec":{"replicas":0}}`, "scale")
			live := w.seen(deployment)
			if live.Replicas || live.Scaler != "" {
				t.Fatalf("the number of replicas has an owner: ours %t, %q", live.Replicas, live.Scaler)
			}
			s := w.step(plan.Correct, deployment, live)
			s.Seek = true
			result := w.run(s)[0]
			if result.Err != nil || result.Step.ScaledBy != test.scaledBy {
				t.Errorf("it was scaled by %q, want %q (%v)", result.Step.ScaledBy, test.scaledBy, result.Err)
			}
			if got, _, _ := unstructured.NestedInt64(w.look(deployment).Object, "spec", "replicas"); got != test.replicas {
				t.Errorf("it has %d replicas, want %d", got, test.replicas)
			}
		})
	}
}
