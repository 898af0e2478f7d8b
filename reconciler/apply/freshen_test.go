package apply

import (
	"net/http"
	"reflect"
	"strings"
	"testing"

	"berth.dev/berth/reconciler/plan"
)

// For a changed object, looking for stale defaults takes two dry runs, or none if it has no defaults. Values that
// the API server allocated stay.
func TestAChangeWithoutStaleDefaultsIsOneWrite(t *testing.T) {
	nodePort := with(front, "spec:", "spec:\n  type: NodePort")
	headless := with(front, "spec:", "spec:\n  clusterIP: None")
	for _, test := range []struct {
		name, before, after string
		dry                 int
	}{
		{"an image", pods, with(pods, "example.com/first:1", "example.com/first:2"), 2},
		{"a value", configMap, with(configMap, "fast", "slow"), 0},
		{"the selector of a Service", front, with(front, "app: front", "app: other"), 2},
		{"the selector of a Service with a port on the nodes", nodePort, with(nodePort, "app: front", "app: other"), 2},
		{"a port's name", nodePort, with(nodePort, "name: http", "name: web"), 2},
		{"the selector of a Service for a balancer", with(nodePort, "NodePort", "LoadBalancer\n  externalTrafficPolicy: Local"), with(with(nodePort, "NodePort", "LoadBalancer\n  externalTrafficPolicy: Local"), "app: front", "app: other"), 2},
		{"the selector of a headless Service", headless, with(headless, "app: front", "app: other"), 2},
		{"a claim's request", with(large, "2Gi", "1Gi"), large, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			var dry, written int
			w := newWorld(t, transport(func(r *http.Request) {
				switch {
				case r.Method != http.MethodPatch:
				case r.URL.Query().Get("dryRun") != "":
					dry++
				default:
					written++
				}
			}))
			live := w.created(test.before)
			dry, written = 0, 0
			r := w.do(plan.Change, test.after, live)
			if r.Err != nil && strings.HasPrefix(test.name, "a claim") {
				return // it is not bound, and no controller can enlarge it
			}
			w.must(Changed, r)
			if dry != test.dry || written != 1 {
				t.Errorf("%d dry runs and %d writes, want %d and 1", dry, written, test.dry)
			}
		})
	}
}

// A field with another manager is no default, and stays when an object changes.
func TestWhatOthersOwnIsNoStaleDefault(t *testing.T) {
	w := newWorld(t)
	named := with(pods, "      containers:", "      serviceAccountName: api\n      containers:")
	live := w.created(named)
	w.puts("injector", named, `[{"op":"add","path":"/spec/template/spec/containers/-","value":{"name":"proxy","image":"proxy","imagePullPolicy":"Never"}},{"op":"add","path":"/spec/template/spec/priority","value":7}]`)
	live.Ownership = w.seen(named).Ownership
	w.must(Changed, w.do(plan.Change, pods, live))
	spec := field(t, w.look(pods), "spec", "template", "spec").(map[string]any)
	if spec["serviceAccountName"] != nil || spec["serviceAccount"] != nil {
		t.Errorf("the account is still %v", spec["serviceAccountName"])
	}
	if spec["priority"] != int64(7) || len(spec["containers"].([]any)) != 2 || spec["containers"].([]any)[1].(map[string]any)["imagePullPolicy"] != "Never" {
		t.Errorf("what the injector added is gone: %v", spec)
	}
}

// Stale defaults are replaced even if fields of other managers block the change.
func TestStaleDefaultsGoWithWhatIsInTheWay(t *testing.T) {
	w := newWorld(t)
	named := with(pods, "      containers:", "      serviceAccountName: api\n      containers:")
	w.created(named)
	w.puts("dashboard", named, `[{"op":"replace","path":"/spec/template/spec/containers/0/env/0","value":{"name":"MODE","valueFrom":{"fieldRef":{"fieldPath":"spec.nodeName"}}}}]`)
	s := w.step(plan.Change, pods, w.seen(named))
	preview, refused := w.applier.Preview(t.Context(), w.target, s)
	if refused != nil {
		t.Fatal(refused)
	}
	w.must(Changed, w.run(s)[0])
	w.isAs(pods)
	if !reflect.DeepEqual(content(preview), content(w.look(pods))) {
		t.Errorf("the preview is %v", preview.Object["spec"])
	}
}

// A preview equals what a run makes of the object, whatever other clients have changed.
func TestAPreviewIsWhatTheRunMakes(t *testing.T) {
	for _, test := range edits {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.created(test.git)
			w.puts("dashboard", test.git, test.edit)
			s := w.step(plan.Correct, test.git, w.seen(test.git))
			preview, refused := w.applier.Preview(t.Context(), w.target, s)
			if refused != nil {
				t.Fatal(refused)
			}
			w.must(Corrected, w.run(s)[0])
			if got := content(w.look(test.git)); !reflect.DeepEqual(content(preview), got) {
				t.Errorf("the preview is\n%v\nthe object\n%v", content(preview), got)
			}
		})
	}
}
