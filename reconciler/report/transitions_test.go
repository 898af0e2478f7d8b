package report

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
)

var noon = time.Date(2026, time.March, 4, 12, 0, 0, 0, time.UTC)

// status returns the status of an Environment at a commit, with the reason and message of Ready and with additions.
func status(commit, ready, message string, more ...func(*v1alpha1.EnvironmentStatus)) v1alpha1.EnvironmentStatus {
	s := v1alpha1.EnvironmentStatus{ShortCommit: commit}
	if ready != "" {
		s.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Reason: ready, Message: message}}
	}
	for _, add := range more {
		add(&s)
	}
	return s
}

func condition(kind, message string) func(*v1alpha1.EnvironmentStatus) {
	return func(s *v1alpha1.EnvironmentStatus) {
		s.Conditions = append(s.Conditions, metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Message: message})
	}
}

func syncs(history ...v1alpha1.SyncStatus) func(*v1alpha1.EnvironmentStatus) {
	return func(s *v1alpha1.EnvironmentStatus) { s.History = history }
}

func TestTransitions(t *testing.T) {
	failedA := v1alpha1.SyncStatus{Commit: "a", Outcome: failed, Reason: "Deployment/web: crashes"}
	healthyA, healthyB := v1alpha1.SyncStatus{Commit: "a", Outcome: healthy}, v1alpha1.SyncStatus{Commit: "b", Outcome: healthy}
	stalled := condition(v1alpha1.ConditionStalled, "")
	for _, test := range []struct {
		name          string
		before, after v1alpha1.EnvironmentStatus
		want          string
	}{
		{"nothing is said for the first time", status("", "", ""), status("", "", ""), ""},
		{"a sync begins", status("", "", ""), status("a", "Syncing", "Deployment/web: 0 of 1"), "ready Syncing a: Deployment/web: 0 of 1"},
		{"it goes on", status("a", "Syncing", "Deployment/web: 0 of 2"), status("a", "Syncing", "Deployment/web: 1 of 2"), ""},
		{"it becomes healthy, which ends it", status("a", "Syncing", ""), status("a", "Healthy", "fine", syncs(healthyA)), "ready Healthy a: fine, sync ended Healthy a: "},
		{"another commit is healthy at once", status("a", "Healthy", "fine", syncs(healthyA)), status("b", "Healthy", "fine", syncs(healthyB, healthyA)), "ready Healthy b: fine, sync ended Healthy b: "},
		{"a healthy environment has a warning more", status("a", "Healthy", "fine"), status("a", "Healthy", "fine; a is deprecated"), ""},
		{"a sync fails", status("a", "Syncing", ""), status("a", "Failed", "Deployment/web: crashes", syncs(failedA)), "ready Failed a: Deployment/web: crashes, sync ended Failed a: Deployment/web: crashes"},
		{"it fails for another reason", status("a", "Failed", "", syncs(failedA)), status("a", "Failed", "", syncs(v1alpha1.SyncStatus{Commit: "a", Outcome: failed, Reason: "another"})), ""},
		{"it ends well after all", status("a", "Failed", "", syncs(failedA)), status("a", "Healthy", "fine", syncs(healthyA)), "ready Healthy a: fine, sync ended Healthy a: "},
		{"it will expire", status("a", "Healthy", ""), status("a", "Healthy", "", condition(v1alpha1.ConditionExpiresSoon, "tomorrow")), "warned ExpiresSoon a: tomorrow"},
		{"it still will", status("a", "Healthy", "", condition(v1alpha1.ConditionExpiresSoon, "tomorrow")), status("a", "Healthy", "", condition(v1alpha1.ConditionExpiresSoon, "today")), ""},
		{"its branch is gone, and its entry moved", status("a", "Healthy", ""), status("a", "Healthy", "", condition(v1alpha1.ConditionBranchGone, "gone"), condition(v1alpha1.ConditionMoved, "moved")), "warned Moved a: moved, warned BranchGone a: gone"},
		{"its deletion begins", status("a", "Healthy", "fine"), status("a", "Deleting", "12 objects"), "ready Deleting a: 12 objects"},
		{"its deletion waits for a Job", status("a", "Deleting", "12 objects"), status("a", "Deleting", "Job/drop failed", stalled), "removal waits Deleting a: Job/drop failed"},
		{"it still waits", status("a", "Deleting", "Job/drop failed", stalled), status("a", "Deleting", "Job/drop failed", stalled), ""},
		{"its expiry waits for a Job", status("a", "Expiring", ""), status("a", "Expiring", "Job/drop failed", stalled), "removal waits Expiring a: Job/drop failed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, transition := range Transitions(test.before, test.after) {
				got = append(got, fmt.Sprintf("%s %s %s: %s", transition.Change, transition.Reason, transition.Commit, transition.Message))
				if (transition.Change == SyncEnded) != (transition.Sync.Outcome != "") {
					t.Errorf("%s has the sync %+v", transition.Change, transition.Sync)
				}
			}
			if text := strings.Join(got, ", "); text != test.want {
				t.Errorf("got  %s\nwant %s", text, test.want)
			}
		})
	}
}

// An event is a warning if a user has to look at it.
func TestWhichTransitionsAreEvents(t *testing.T) {
	for _, test := range []struct {
		transition Transition
		want       string
	}{
		{Transition{Change: ReadyChanged, Reason: v1alpha1.ReasonHealthy, Commit: "a"}, "Normal Healthy Sync a: nothing to add"},
		{Transition{Change: ReadyChanged, Reason: v1alpha1.ReasonFailed, Commit: "a", Message: "it crashes"}, "Warning Failed Sync a: it crashes"},
		{Transition{Change: Warned, Reason: v1alpha1.ConditionMoved, Message: "elsewhere"}, "Warning Moved Live elsewhere"},
		{Transition{Change: RemovalWaits, Reason: v1alpha1.ReasonDeleting, Message: "Job/drop failed"}, "Warning RemovalWaits Delete Job/drop failed"},
		{Transition{Change: SyncEnded}, ""},
	} {
		got := ""
		if e, ok := test.transition.event(); ok {
			got = strings.Join([]string{e.kind, e.reason, e.action, e.note}, " ")
		}
		if got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestWhatIsSaidOfARepository(t *testing.T) {
	of := func(reason string, ok metav1.ConditionStatus, message string, leftOut ...string) v1alpha1.RepositoryStatus {
		s := v1alpha1.RepositoryStatus{Conditions: []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: ok, Reason: reason, Message: message}}}
		for _, branches := range leftOut {
			s.Conditions = append(s.Conditions, metav1.Condition{Type: v1alpha1.ConditionBranchesLeftOut, Status: metav1.ConditionTrue, Message: branches})
		}
		return s
	}
	watching, unreachable := v1alpha1.ReasonWatching, v1alpha1.ReasonUnreachable
	for _, test := range []struct {
		name          string
		before, after v1alpha1.RepositoryStatus
		want          string
	}{
		{"another number of branches", of(watching, "True", "3 branches"), of(watching, "True", "4 branches"), ""},
		{"its server does not answer", of(watching, "True", ""), of(unreachable, "False", "timed out"), "Warning Unreachable timed out"},
		{"it fails otherwise", of(unreachable, "False", "timed out"), of(unreachable, "False", "refused"), "Warning Unreachable refused"},
		{"it answers again", of(unreachable, "False", "refused"), of(watching, "True", "3 branches"), "Normal Watching 3 branches"},
		{"a person is asked", of(watching, "True", ""), of(v1alpha1.ReasonWaiting, "False", "confirm"), "Warning Waiting confirm"},
		{"branches are left out", of(watching, "True", ""), of(watching, "True", "", "a"), "Warning BranchesLeftOut a"},
		{"others are", of(watching, "True", "", "a"), of(watching, "True", "", "a, b"), "Warning BranchesLeftOut a, b"},
		{"the same are", of(watching, "True", "", "a"), of(watching, "True", "", "a"), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, e := range repositoryEvents(test.before, test.after) {
				got = append(got, e.kind+" "+e.reason+" "+e.note)
			}
			if text := strings.Join(got, "; "); text != test.want {
				t.Errorf("got %q, want %q", text, test.want)
			}
		})
	}
}
