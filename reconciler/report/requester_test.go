package report

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/reconciler"
	"berth.dev/berth/reconciler/plan"
)

// acts does what a client does: it writes the request, and who acts.
func (s *story) acts(id, action, user string) {
	if s.env.Annotations == nil {
		s.env.Annotations = map[string]string{}
	}
	switch action {
	case v1alpha1.ActionRetry:
		s.env.Annotations[v1alpha1.AnnotationRetry] = id
	case v1alpha1.ActionConfirm:
		s.env.Annotations[v1alpha1.AnnotationConfirmed] = id
	case v1alpha1.ActionPin:
		s.env.Spec.Pin = id
	case v1alpha1.ActionUnpin:
		s.env.Spec.Pin = ""
	}
	s.env.Annotations[v1alpha1.AnnotationRequestedBy] = id + " " + action + " " + user
}

// retries does what a plan does with a retry.
func (s *story) retries() { s.sync.Started = s.now }

// waits reports that the commit cannot begin yet.
func (s *story) waits(state reconciler.CommitState, commit string) {
	s.commit = commit
	s.judged(reconciler.Judged{State: plan.Waiting, CommitState: state, Commit: commit, Sync: s.sync})
}

// blocks reports that deletions wait for a confirmation.
func (s *story) blocks() {
	s.reports(plan.Waiting)
	s.env.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Message: "7 of 9 objects would be deleted; to allow it: berth confirm " + s.env.Name}}
}

// TestRequester reports syncs of the commits a, b and c, and checks who requested them.
func TestRequester(t *testing.T) {
	for _, test := range []struct {
		name string
		tell func(*story)
		want string
	}{
		{"a sync that looks like an earlier one, in the same second", func(s *story) {
			s.begins("b")
			s.reports(plan.Settled)
			s.begins("c")
			s.reports(plan.Settled)
			s.acts("1", "pin", "ada")
			s.begins("b")
			s.reports(plan.Settled)
		}, "b Healthy pin by ada, c Healthy, b Healthy, a Healthy"},
		{"a sync that a user began names the user", func(s *story) {
			s.acts("1", "pin", "ada")
			s.begins("b").after(time.Second)
			s.reports(plan.Going)
			s.reports(plan.Settled)
		}, "b Healthy pin by ada, a Healthy"},
		{"also one that is healthy at once", func(s *story) {
			s.acts("1", "unpin", "ada")
			s.begins("b")
			s.reports(plan.Settled)
		}, "b Healthy unpin by ada, a Healthy"},
		{"an act counts once: a later push has none", func(s *story) {
			s.acts("1", "resume", "ada")
			s.begins("b")
			s.reports(plan.Settled)
			s.after(time.Hour)
			s.begins("c")
			s.reports(plan.Settled)
		}, "c Healthy, b Healthy resume by ada, a Healthy"},
		{"an act that began nothing does not wait for a push", func(s *story) {
			s.acts("1", "resume", "ada")
			s.reports(plan.Settled)
			s.after(time.Hour)
			s.begins("b")
			s.reports(plan.Settled)
		}, "b Healthy, a Healthy"},
		{"a retry names who retried", func(s *story) {
			s.begins("b").after(time.Second)
			s.reports(plan.Failed)
			s.after(time.Minute)
			s.acts("1", "retry", "ada")
			s.retries()
			s.after(time.Second)
			s.reports(plan.Going)
			s.reports(plan.Settled)
		}, "b Healthy retry by ada, a Healthy"},
		{"a superseded sync keeps its own", func(s *story) {
			s.acts("1", "pin", "ada")
			s.begins("b").after(time.Second)
			s.reports(plan.Going)
			s.acts("2", "unpin", "grace")
			s.begins("c").after(time.Second)
			s.reports(plan.Going)
			s.reports(plan.Settled)
		}, "c Healthy unpin by grace, b Superseded pin by ada, a Healthy"},
		{"a commit that has to wait is still theirs", func(s *story) {
			s.acts("1", "pin", "ada")
			s.waits(reconciler.Unavailable, "b")
			s.renders("b", 3*time.Second)
			s.waits(reconciler.Awaiting, "b")
			s.begins("b")
			s.reports(plan.Settled)
		}, "b Healthy pin by ada, a Healthy"},
		{"a push that replaces it meanwhile is not", func(s *story) {
			s.acts("1", "resume", "ada")
			s.waits(reconciler.Awaiting, "b")
			s.waits(reconciler.Awaiting, "c")
			s.begins("c")
			s.reports(plan.Settled)
			s.begins("b")
			s.reports(plan.Settled)
		}, "b Healthy, c Healthy, a Healthy"},
		{"a commit that is refused was asked for as well", func(s *story) {
			s.acts("1", "pin", "ada")
			s.commit = "b"
			s.rejects("k8s/api.yaml:1 is wrong")
			s.rejects("k8s/api.yaml:1 is wrong")
		}, "b Failed pin by ada, a Healthy"},
		{"what already ran is theirs only if they chose it", func(s *story) {
			s.commit = "b"
			s.rejects("k8s/api.yaml:1 is wrong")
			s.after(time.Second)
			s.acts("1", "pin", "ada")
			s.commit = "a"
			s.reports(plan.Settled)
		}, "a Healthy pin by ada, b Failed, a Healthy"},
		{"an old attempt does not lend its requester to a push", func(s *story) {
			s.acts("1", "resume", "ada")
			s.begins("b")
			s.reports(plan.Settled)
			s.after(time.Second)
			s.commit = "c"
			s.rejects("k8s/api.yaml:1 is wrong")
			s.after(time.Second)
			s.commit = "d"
			s.reports(plan.Settled)
		}, "d Healthy, c Failed, b Healthy resume by ada, a Healthy"},
		{"a rollback is the agent's", func(s *story) {
			s.acts("1", "resume", "ada")
			s.begins("b").after(time.Second)
			s.reports(plan.Failed)
			s.begins("a").after(time.Second)
			s.commit, s.rolledBack = "b", true
			s.reports(plan.Settled)
		}, "a RolledBack, b Failed resume by ada, a Healthy"},
		{"also if a user acts before it begins", func(s *story) {
			s.begins("b").after(time.Second)
			s.reports(plan.Failed)
			s.acts("1", "resume", "ada")
			s.begins("a").after(time.Second)
			s.commit, s.rolledBack = "b", true
			s.reports(plan.Settled)
		}, "a RolledBack, b Failed, a Healthy"},
		{"another outcome of the same attempt has the same requester", func(s *story) {
			s.acts("1", "pin", "ada")
			s.begins("b").after(time.Second)
			s.reports(plan.Settled)
			s.after(time.Minute)
			s.acts("2", "resume", "grace")
			s.reports(plan.Failed)
		}, "b Failed pin by ada, a Healthy"},
		{"a confirmation is theirs where it was needed", func(s *story) {
			s.begins("b")
			s.blocks()
			s.acts("1", "confirm", "ada")
			s.reports(plan.Settled)
		}, "b Healthy confirm by ada, a Healthy"},
		{"who began the sync comes before who confirmed", func(s *story) {
			s.acts("1", "pin", "ada")
			s.begins("b")
			s.blocks()
			s.acts("2", "confirm", "grace")
			s.reports(plan.Settled)
		}, "b Healthy pin by ada, a Healthy"},
		{"a confirmation of nothing is no act of the sync", func(s *story) {
			s.begins("b")
			s.blocks()
			s.env.Status.Conditions[0].Message = "Deployment/api: 1 of 2 ready"
			s.acts("1", "confirm", "ada")
			s.reports(plan.Settled)
		}, "b Healthy, a Healthy"},
		{"suspending begins nothing", func(s *story) {
			s.acts("1", "suspend", "ada")
			s.suspended = true
			s.reports(plan.Settled)
			s.suspended = false
			s.begins("b")
			s.reports(plan.Settled)
		}, "b Healthy, a Healthy"},
		{"an act that kubectl undid before the agent looked does not count", func(s *story) {
			s.acts("1", "pin", "ada")
			s.env.Spec.Pin = ""
			s.begins("b")
			s.reports(plan.Settled)
		}, "b Healthy, a Healthy"},
		{"what a backup restored is no act", func(s *story) {
			s.acts("1", "resume", "ada")
			s.env.Status = v1alpha1.EnvironmentStatus{}
			s.begins("b")
			s.reports(plan.Settled)
		}, "b Healthy"},
		{"control characters and the end of a long name are left out", func(s *story) {
			s.acts("1", "resume", "a\x1b[31m\x00d\u202ea\n\xff "+strings.Repeat("x", 1000))
			s.begins("b")
			s.reports(plan.Settled)
		}, "b Healthy resume by a[31mda " + strings.Repeat("x", maxUser-len("a[31mda ...")) + "..., a Healthy"},
		{"an action that does not exist is no act", func(s *story) {
			s.acts("1", "rm", "-rf")
			s.begins("b")
			s.reports(plan.Settled)
		}, "b Healthy, a Healthy"},
		{"a name of control characters is none", func(s *story) {
			s.acts("1", "resume", "\x1b\u202e ")
			s.begins("b")
			s.reports(plan.Settled)
		}, "b Healthy, a Healthy"},
		{"an id that is too long is none", func(s *story) {
			s.acts(strings.Repeat("1", maxID+1), "resume", "ada")
			s.begins("b")
			s.reports(plan.Settled)
		}, "b Healthy, a Healthy"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &story{now: beginning}
			s.env.Name, s.env.Status.ObservedGeneration = "posts.review.a", 1
			s.begins("a")
			s.reports(plan.Settled)
			s.after(time.Minute)
			test.tell(s)
			var lines []string
			for _, e := range s.env.Status.History {
				lines = append(lines, strings.TrimSpace(e.Commit+" "+e.Outcome+" "+e.RequestedBy.String()))
			}
			if got := strings.Join(lines, ", "); got != test.want {
				t.Errorf("the history is\n%s\n\nand should be\n%s", got, test.want)
			}
		})
	}
}
