package report_test

import (
	"strings"
	"testing"

	"k8s.io/client-go/tools/events"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler/report"
)

func TestAMissedHookIsAWarningThatSaysWhereToLook(t *testing.T) {
	recorder := events.NewFakeRecorder(1)
	report.New(report.Config{Recorder: recorder}).HookMissed(&v1alpha1.Repository{}, "branch main moved to 1a2b3c4d")
	got := <-recorder.Events
	for _, part := range []string{"Warning HookMissed", "branch main moved to 1a2b3c4d", "recent deliveries", "spec.poll"} {
		if !strings.Contains(got, part) {
			t.Errorf("the event does not say %q: %s", part, got)
		}
	}
}
